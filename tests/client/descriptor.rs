//! The descriptor, and what is buffered.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use dotsock::Status;

use crate::common::{PATIENCE, wait_until};
use crate::support::{
    A_WHILE, NOW, Place, accept, data, data_of, drain, fill, is_readable, malformed, number, recv,
    send, tcp_pair,
};

#[test]
fn the_descriptor_is_readable_exactly_while_recv_has_something_to_do() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[]);
    let fd = client.fd().unwrap();
    assert!(!is_readable(fd, A_WHILE), "connected, and nothing has arrived");
    server.write_all(&data_of(0..3)).unwrap();
    for n in 0..3 {
        // Level-triggered, though the first recv read all of it.
        assert!(is_readable(fd, PATIENCE) && is_readable(fd, Duration::ZERO));
        assert_eq!(number(&client.recv(NOW).unwrap()), n);
    }
    assert!(!is_readable(fd, A_WHILE));
    let frame = data(3);
    server.write_all(&frame[..10]).unwrap();
    assert!(is_readable(fd, PATIENCE));
    assert_eq!(drain(&client, fd), []);
    server.write_all(&frame[10..]).unwrap();
    assert!(is_readable(fd, PATIENCE));
    assert_eq!(drain(&client, fd), [Ok(3)]);

    // A lost server: attempts are due now and then, and between them all is quiet.
    drop((server, listener));
    assert!(is_readable(fd, PATIENCE));
    assert_eq!(drain(&client, fd), []);
    assert!(is_readable(fd, PATIENCE), "an attempt is due");
    let listener = place.listen();
    wait_until("the connection", || {
        is_readable(fd, PATIENCE);
        let _ = client.recv(NOW);
        client.is_connected()
    });
    let mut server = accept(&listener);
    assert!(!is_readable(fd, A_WHILE));
    server.write_all(&data(4)).unwrap();
    assert!(is_readable(fd, PATIENCE));
    assert_eq!(drain(&client, fd), [Ok(4)]);
    assert_eq!(client.fd(), Some(fd));
}

#[test]
fn an_end_is_told_by_the_descriptor_once() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("auto_reconnect", "false")]);
    let fd = client.fd().unwrap();
    server.write_all(&data(1)).unwrap();
    drop(server);
    assert!(is_readable(fd, PATIENCE));
    assert_eq!(drain(&client, fd), [Ok(1), Err(Status::Closed)]);
    assert!(!is_readable(fd, A_WHILE));
    client.connect().unwrap();
    client.disconnect().unwrap();
    assert_eq!(drain(&client, fd), [Err(Status::Closed)]);
    // What the program ended by connecting anew is not told.
    let (client, mut server, listener) = Place::connected(&place, &[("auto_reconnect", "false")]);
    let fd = client.fd().unwrap();
    server.write_all(&data(1)).unwrap();
    drop(server);
    wait_until("the loss", || !client.is_connected());
    client.connect().unwrap();
    accept(&listener).write_all(&data(2)).unwrap();
    assert_eq!((recv(&client), recv(&client)), (1, 2));
    assert!(is_readable(fd, PATIENCE), "the second server has gone too");
}

#[test]
fn the_descriptor_follows_what_other_threads_read() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("send_timeout", "0.05")]);
    let fd = client.fd().unwrap();
    fill(&client);
    server.write_all(&data(1)).unwrap();
    assert_eq!(send(&client, 1), Err(Status::Timeout), "and read meanwhile");
    assert!(is_readable(fd, Duration::ZERO));
    assert_eq!(number(&client.recv(NOW).unwrap()), 1);
    assert!(!is_readable(fd, A_WHILE));
}

#[test]
fn a_tcp_connection_that_is_reset_makes_no_descriptor_spin() {
    let (client, server, listener) = tcp_pair(&[("reconnect_delay", "0.2")]);
    let fd = client.fd().unwrap();
    server.shutdown(Shutdown::Both).unwrap();
    drop((server, listener));
    assert!(is_readable(fd, PATIENCE));
    assert_eq!(drain(&client, fd), []);
    assert!(!is_readable(fd, Duration::from_millis(20)));
}

#[test]
fn the_buffer_can_be_counted_and_cleared() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    assert_eq!(client.buffer_size(), 0);
    let begun = data(9);
    server.write_all(&[data_of(0..3), malformed(), data(3), begun[..5].to_vec()].concat()).unwrap();
    assert_eq!(client.buffer_size(), 4);
    assert_eq!(recv(&client), 0);
    assert_eq!(client.buffer_size(), 3);
    client.clear_buffer().unwrap();
    assert_eq!(client.buffer_size(), 0);
    server.write_all(&begun[5..]).unwrap();
    assert_eq!(recv(&client), 9);
}
