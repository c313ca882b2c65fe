//! Clients whose server does not read, or sends without end: what one thread leaves undone, another
//! must go on with, and nothing grows or lasts without bound.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dotsock::{Client, MessageType, Status};
use serde_json::json;

use crate::common::{Call, Peer, read_frame, wait_until};
use crate::support::{NOW, Place, SOON, data, data_of, failure, recv};

/// Sends what the socket has no room for, the rest of which stays with the client.
fn send_large(client: &Client) {
    let text = "x".repeat(2 << 20);
    client.send_data(MessageType::Data, &json!({ "text": text })).unwrap();
}

#[test]
fn a_receiver_that_sleeps_writes_the_rest_of_what_another_thread_sent() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("send_timeout", "0.05")]);
    thread::scope(|scope| {
        let receiver = Call::asleep(scope, || recv(&client));
        send_large(&client);
        // The server answers once it has all of it.
        read_frame(&mut server).unwrap();
        server.write_all(&data(1)).unwrap();
        assert_eq!(receiver.join(), 1);
    });
}

/// Sends malformed frames (empty ones) for as long as the socket takes them; returns how many bytes
/// that were. Read in small bites, they keep a client busy for longer than a millisecond.
fn flood(server: &mut UnixStream) -> u64 {
    server.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while let Ok(count) = server.write(&[0; 1 << 16]) {
        sent += count as u64;
    }
    sent
}

#[test]
fn a_sender_that_waits_reads_on_once_there_is_room_for_what_arrives() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("client_queue_size", "50000")]);
    thread::scope(|scope| {
        let sender = Call::asleep(scope, || send_large(&client));
        client.cancel().unwrap();
        sender.join();
    });
    assert_eq!(failure(&client, SOON), Status::Cancelled);
    // It sends ten times what the client may keep before it reads a byte.
    let server = thread::spawn(move || {
        for n in 0..500 {
            server.write_all(&Peer::frame(&json!({ "n": n, "text": "y".repeat(1000) }))).unwrap();
        }
        for _ in 0..2 {
            read_frame(&mut server).unwrap();
        }
    });
    thread::scope(|scope| {
        let sender = scope.spawn(|| client.send_data(MessageType::Data, &json!({})));
        let mut taken = 0;
        while taken < 500 && !sender.is_finished() {
            // Not more than there is, so that it is the sender who reads from the socket.
            let received = client.stats().messages_received;
            for _ in taken..received {
                client.recv(NOW).unwrap();
            }
            taken = received;
        }
        sender.join().unwrap().unwrap();
    });
    server.join().unwrap();
}

#[test]
fn recv_keeps_its_timeout_although_what_is_no_message_arrives() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("buffer_size", "64")]);
    let sent = flood(&mut server);
    let error = client.recv(Some(Duration::from_millis(1))).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    let received = client.stats().bytes_received;
    assert!(0 < received && received < sent, "{received} of {sent} bytes");
}

#[test]
fn a_server_that_takes_nothing_and_never_stops_sending_is_read_to_an_end_all_the_same() {
    let settings =
        [("buffer_size", "64"), ("client_queue_size", "1000"), ("auto_reconnect", "false")];
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&settings);
    server.shutdown(Shutdown::Read).unwrap();
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            while server.write_all(&data(1)).is_ok() {
                written.fetch_add(1, Ordering::SeqCst);
            }
        });
        wait_until("more than the queue holds", || written.load(Ordering::SeqCst) > 100);
        let error = client.send_data(MessageType::Data, &json!({})).unwrap_err();
        assert_eq!(error.status(), Status::Closed);
        server.join().unwrap();
    });
    assert_eq!(client.buffer_size(), written.into_inner());
}

#[test]
fn a_server_that_has_left_is_read_to_its_end() {
    let settings = [("client_queue_size", "1000"), ("auto_reconnect", "false")];
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&settings);
    server.write_all(&data_of(0..100)).unwrap();
    drop(server);
    let error = client.send_data(MessageType::Data, &json!({})).unwrap_err();
    assert_eq!(error.status(), Status::Closed);
    assert_eq!(client.buffer_size(), 100);
}
