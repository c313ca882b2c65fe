//! Connecting when told to, and what an attempt can end with.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use dotsock::{Client, Options, Status, Transport};

use crate::common::{Call, PATIENCE, wait_until};
use crate::support::{
    NOW, Place, SOON, accept, data, failure, interrupt, is_readable, recv, send, tcp_pair,
    try_accept,
};

#[test]
fn connect_says_that_no_server_is_there() {
    let place = Place::new();
    let client = place.client(&[("auto_reconnect", "false")]);
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(send(&client, 1), Err(Status::Closed));
    let error = client.connect().unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Closed, Some(libc::ENOENT)));
    drop(place.listen());
    let error = client.connect().unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Closed, Some(libc::ECONNREFUSED)));
    assert!(!client.is_connected());
    client.disconnect().unwrap();
    let listener = place.listen();
    client.connect().unwrap();
    client.connect().unwrap();
    assert!(client.is_connected());
    let path = place.directory.path().join("event.sock");
    assert_eq!(client.address(), path.to_str().unwrap());
    assert_eq!(client.server_pid(), Some(std::process::id() as i32));
    accept(&listener);
    assert!(try_accept(&listener, Duration::ZERO).is_none(), "connected twice");
}

#[test]
fn connect_waits_for_a_full_queue_only_so_long() {
    let place = Place::new();
    let listener = place.listen();
    // SAFETY: an open socket; a second listen only changes the length of its queue.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
    let path = place.directory.path().join("event.sock");
    let _first = UnixStream::connect(path).unwrap();
    let client = place.client(&[("default_timeout", "0.1")]);
    let start = Instant::now();
    let failed = client.connect().unwrap_err();
    assert_eq!(failed.status(), Status::Timeout);
    assert!(failed.to_string().contains("queue of connections stayed full"), "{failed}");
    assert!(start.elapsed() >= Duration::from_millis(100));
    let patient = place.client(&[]);
    thread::scope(|scope| {
        let connecting = scope.spawn(|| patient.connect());
        accept(&listener);
        connecting.join().unwrap().unwrap();
    });
}

#[test]
fn a_connect_that_waits_can_be_cancelled_and_interrupted() {
    let place = Place::new();
    let listener = place.listen();
    // SAFETY: an open socket; a second listen only changes the length of its queue.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
    let path = place.directory.path().join("event.sock");
    let _first = UnixStream::connect(path).unwrap();
    let client = place.client(&[("default_timeout", "20")]);
    thread::scope(|scope| {
        let connecting = Call::asleep(scope, || client.connect().unwrap_err().status());
        client.cancel().unwrap();
        assert_eq!(connecting.join(), Status::Cancelled);
    });
    let status = interrupt(|| client.connect().unwrap_err().status());
    assert_eq!(status, Status::Interrupted);
    thread::scope(|scope| {
        let connecting = [(); 3].map(|()| scope.spawn(|| client.connect()));
        let _streams = (accept(&listener), accept(&listener));
        for connecting in connecting {
            connecting.join().unwrap().unwrap();
        }
        assert!(try_accept(&listener, Duration::ZERO).is_none(), "more than one connection");
    });
}

#[test]
fn after_a_failed_lookup_the_client_was_never_told_to_connect() {
    let mut options = Options::new().unwrap();
    options.set("host", Some("no-such-host.invalid")).unwrap();
    options.set("port", Some("9")).unwrap();
    let client = Client::new(Transport::Tcp, "event", &options).unwrap();
    assert_eq!(client.connect().unwrap_err().status(), Status::Io);
    assert_eq!(failure(&client, None), Status::Closed);
    assert_eq!(client.fd(), None);
}

#[test]
fn a_path_too_long_for_a_socket_is_refused() {
    let place = Place::new();
    let directory = place.directory.path().join("x".repeat(120));
    let client = place.client(&[("socket_dir", directory.to_str().unwrap())]);
    assert_eq!(client.open().unwrap_err().status(), Status::Invalid);
    assert_eq!(client.connect().unwrap_err().status(), Status::Invalid);
}

#[test]
fn a_client_whose_server_has_gone_has_no_address() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    assert!(client.address().ends_with("/event.sock"));
    assert!(client.server_pid().is_some() && client.server_uid().is_some());
    server.write_all(&data(1)).unwrap();
    drop(server);
    assert!(!client.is_connected());
    assert_eq!(client.address(), "");
    assert!(client.server_pid().is_none() && client.server_uid().is_none());
    assert_eq!(recv(&client), 1);
}

#[test]
fn open_connects_without_being_waited_for() {
    let place = Place::new();
    let client = place.client(&[]);
    assert_eq!(client.fd(), None);
    client.open().unwrap();
    let fd = client.fd().unwrap();
    assert!(is_readable(fd, PATIENCE), "an attempt is due");
    let listener = place.listen();
    let mut server = None;
    wait_until("the connection", || {
        let _ = client.recv(NOW);
        client.is_connected()
    });
    server.get_or_insert(accept(&listener)).write_all(&data(4)).unwrap();
    assert!(is_readable(fd, PATIENCE));
    assert_eq!(recv(&client), 4);
    assert_eq!(client.stats().reconnects, 0);
    client.disconnect().unwrap();
    assert_eq!(client.fd(), Some(fd));

    let manual = place.client(&[("auto_reconnect", "false")]);
    assert_eq!(manual.open().unwrap_err().status(), Status::State);
    let options = place.options(&[("host", "localhost"), ("port", "9")]);
    let named = Client::new(Transport::Tcp, "event", &options).unwrap();
    assert_eq!(named.open().unwrap_err().status(), Status::State);
}

#[test]
fn tcp_servers_are_found_by_name_and_refusals_have_the_os_error() {
    let (client, mut server, listener) = tcp_pair(&[]);
    let port = listener.local_addr().unwrap().port();
    assert_eq!(client.address(), format!("127.0.0.1:{port}"));
    assert_eq!((client.server_uid(), client.server_pid()), (None, None));
    server.write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
    drop((client, server));

    let mut options = Options::new().unwrap();
    options.set("host", Some("localhost")).unwrap();
    options.set("port", Some(&port.to_string())).unwrap();
    let named = Client::new(Transport::Tcp, "event", &options).unwrap();
    named.connect().unwrap();
    drop((listener.accept().unwrap(), listener));
    named.disconnect().unwrap();
    let error = named.connect().unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Closed, Some(libc::ECONNREFUSED)));
}
