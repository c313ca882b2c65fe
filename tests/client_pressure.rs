//! Clients whose server does not read, or sends without end: what one thread leaves undone, another
//! must go on with, and nothing grows or lasts without bound.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use dotsock::{Client, MessageType, Status, Transport};
use serde_json::json;

mod common;
use common::{PATIENCE, Peer, Setup, wait_until};

/// A client that is connected to a bare socket, and that socket.
fn connected(setup: &Setup) -> (Client, Peer, UnixListener) {
    let listener = UnixListener::bind(setup.directory.path().join("event.sock")).unwrap();
    let client = Client::new(Transport::Unix, "event", &setup.options).unwrap();
    client.connect().unwrap();
    let (stream, _) = listener.accept().unwrap();
    (client, Peer::new(stream), listener)
}

fn send_large(client: &Client) {
    let text = "x".repeat(2 << 20);
    client.send_data(MessageType::Data, &json!({ "text": text })).unwrap();
}

/// Waits until a thread of this process sleeps in a system call.
fn wait_until_asleep(thread: libc::pid_t) {
    wait_until("a thread sleeps", || {
        let path = format!("/proc/self/task/{thread}/stat");
        std::fs::read_to_string(path).is_ok_and(|stat| stat.contains(") S "))
    });
}

#[test]
fn a_receiver_that_sleeps_writes_the_rest_of_what_another_thread_sent() {
    let setup = Setup::new(&[]);
    let (client, mut server, _listener) = connected(&setup);
    thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let client = &client;
        let receiver = scope.spawn(move || {
            // SAFETY: gettid cannot fail.
            tell.send(unsafe { libc::gettid() }).unwrap();
            client.recv(Some(PATIENCE)).map(|message| message.get("/answer").is_some())
        });
        wait_until_asleep(told.recv().unwrap());
        send_large(client);
        // The server answers once it has all of it.
        assert!(server.hear().is_some());
        server.say(&json!({ "answer": 1 }));
        assert!(receiver.join().unwrap().unwrap());
    });
}

/// Sends malformed frames (empty ones) for as long as the socket takes them; returns how many bytes
/// that were. Read in small bites, they keep a client busy for longer than a millisecond.
fn flood(server: &mut Peer) -> u64 {
    server.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while let Ok(count) = server.stream.write(&[0; 1 << 16]) {
        sent += count as u64;
    }
    sent
}

#[test]
fn a_sender_that_waits_reads_on_once_there_is_room_for_what_arrives() {
    let setup = Setup::new(&[("client_queue_size", "50000")]);
    let (client, mut server, _listener) = connected(&setup);
    send_large(&client);
    // It sends ten times what the client may keep before it reads a byte.
    let server = thread::spawn(move || {
        for n in 0..500 {
            server.say(&json!({ "n": n, "text": "y".repeat(1000) }));
        }
        assert!(server.hear().is_some() && server.hear().is_some());
    });
    thread::scope(|scope| {
        let sender = scope.spawn(|| client.send_data(MessageType::Data, &json!({})));
        let mut taken = 0;
        while taken < 500 && !sender.is_finished() {
            // Not more than there is, so that it is the sender who reads from the socket.
            let received = client.stats().messages_received;
            for _ in taken..received {
                client.recv(Some(Duration::ZERO)).unwrap();
            }
            taken = received;
        }
        sender.join().unwrap().unwrap();
    });
    server.join().unwrap();
}

#[test]
fn recv_keeps_its_timeout_although_what_is_no_message_arrives() {
    let setup = Setup::new(&[("buffer_size", "64")]);
    let (client, mut server, _listener) = connected(&setup);
    let sent = flood(&mut server);
    let error = client.recv(Some(Duration::from_millis(1))).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    let received = client.stats().bytes_received;
    assert!(0 < received && received < sent, "{received} of {sent} bytes");
}

#[test]
fn a_server_that_takes_nothing_is_not_read_to_an_end_that_may_never_come() {
    let settings =
        [("buffer_size", "64"), ("client_queue_size", "1000"), ("auto_reconnect", "false")];
    let setup = Setup::new(&settings);
    let (client, mut server, _listener) = connected(&setup);
    server.stream.shutdown(Shutdown::Read).unwrap();
    flood(&mut server);
    let error = client.send_data(MessageType::Data, &json!({})).unwrap_err();
    assert_eq!(error.status(), Status::Closed);
    let received = client.stats().bytes_received;
    assert!(received < 2000, "{received} bytes");
}

#[test]
fn a_server_that_has_left_is_read_to_its_end() {
    let settings = [("client_queue_size", "1000"), ("auto_reconnect", "false")];
    let setup = Setup::new(&settings);
    let (client, mut server, _listener) = connected(&setup);
    for n in 0..100 {
        server.say(&json!({ "n": n }));
    }
    drop(server);
    let error = client.send_data(MessageType::Data, &json!({})).unwrap_err();
    assert_eq!(error.status(), Status::Closed);
    assert_eq!(client.buffer_size(), 100);
}
