//! Connecting again by itself: what is told, how often, and how fast.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use dotsock::{MessageType, Status};
use serde_json::json;

use crate::common::{read_frame, wait_until};
use crate::support::{
    A_WHILE, NOW, Place, SOON, accept, data, data_of, error, failure, number, recv, send,
    try_accept,
};

#[test]
fn other_failures_to_connect_again_are_told_once() {
    let place = Place::new();
    let (client, server, listener) = place.connected(&[("reconnect_delay", "0.02")]);
    // Not to be trusted: others may write there.
    let mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place.directory.path(), permissions).unwrap();
    };
    mode(0o777);
    drop(server);
    assert_eq!(failure(&client, SOON), Status::Permission);
    assert_eq!(failure(&client, Some(A_WHILE)), Status::Timeout);
    mode(0o700);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(&client));
        accept(&listener).write_all(&data(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), 1);
    });
}

#[test]
fn recv_reconnects_by_itself_and_counts_it() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[]);
    server.write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
    drop((server, listener));
    let listener = thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(&client));
        wait_until("the loss", || !client.is_connected());
        let listener = place.listen();
        accept(&listener).write_all(&data(2)).unwrap();
        assert_eq!(receiver.join().unwrap(), 2);
        listener
    });
    assert_eq!(client.stats().reconnects, 1);
    // The server of the scope has closed again.
    let mut server = thread::scope(|scope| {
        let sender = scope.spawn(|| send(&client, 3));
        let server = accept(&listener);
        sender.join().unwrap().unwrap();
        server
    });
    assert_eq!(number(&read_frame(&mut server).unwrap()), 3);
}

#[test]
fn with_report_loss_closed_stands_between_the_messages_of_two_connections() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[("report_loss", "true")]);
    server.write_all(&data_of(0..2)).unwrap();
    drop(server);
    // A send connects again; what had arrived before stays receivable, in its place.
    let mut server = thread::scope(|scope| {
        let sender = scope.spawn(|| send(&client, 7));
        let server = accept(&listener);
        sender.join().unwrap().unwrap();
        server
    });
    assert_eq!(number(&read_frame(&mut server).unwrap()), 7);
    server.write_all(&data(2)).unwrap();
    assert_eq!((recv(&client), recv(&client)), (0, 1));
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(recv(&client), 2);
}

#[test]
fn attempts_are_paced_and_come_to_an_end() {
    let place = Place::new();
    let options = [("reconnect_delay", "0.05"), ("reconnect_max_attempts", "3")];
    let client = place.client(&options);
    assert_eq!(client.connect().unwrap_err().status(), Status::Closed);
    let start = Instant::now();
    let error = client.recv(SOON).unwrap_err();
    assert_eq!(error.status(), Status::Closed);
    assert!(error.to_string().contains("reconnect_max_attempts"), "{error}");
    // At once, after 50 ms, after 100 ms more; a fifth less at most.
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(120), "{waited:?}");
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(send(&client, 1), Err(Status::Closed));
    let listener = place.listen();
    assert_eq!(failure(&client, NOW), Status::Closed, "it waits to be told");
    client.connect().unwrap();
    accept(&listener).write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
}

#[test]
fn a_server_that_hangs_up_on_everybody_is_not_called_at_full_speed() {
    let place = Place::new();
    let listener = place.listen();
    let client = place.client(&[("reconnect_delay", "0.1")]);
    client.open().unwrap();
    let calls = thread::scope(|scope| {
        let receiver = scope.spawn(|| failure(&client, Some(Duration::from_millis(500))));
        let mut calls = 0;
        while !receiver.is_finished() {
            calls += u32::from(try_accept(&listener, Duration::from_millis(5)).is_some());
        }
        assert_eq!(receiver.join().unwrap(), Status::Timeout);
        calls
    });
    // At 0, 100, 300 and perhaps, with jitter, 700 ms.
    assert!((2..=5).contains(&calls), "{calls} calls");
}

#[test]
fn a_refusal_is_told_once_and_then_paced() {
    let place = Place::new();
    let refusal = error(json!({"code": "max_connections", "limit": 3, "message": "full"}));
    let (client, mut server, listener) = place.connected(&[("reconnect_delay", "0.1")]);
    server.write_all(&refusal).unwrap();
    drop(server);
    let failed = client.recv(SOON).unwrap_err();
    assert_eq!(failed.status(), Status::MaxConnections);
    assert!(!client.is_connected());
    let start = Instant::now();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| failure(&client, SOON));
        accept(&listener).write_all(&refusal).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(80), "the backoff");
        assert_eq!(receiver.join().unwrap(), Status::MaxConnections);
        // A sender is told as well.
        let sender = scope.spawn(|| (0..100_000).find_map(|n| send(&client, n).err()));
        let mut server = accept(&listener);
        server.write_all(&refusal).unwrap();
        drop(server);
        assert_eq!(sender.join().unwrap(), Some(Status::MaxConnections));
        // Later in a connection the same code is a message like another.
        let receiver = scope.spawn(|| recv(&client));
        let mut server = accept(&listener);
        server.write_all(&[data(1), refusal.clone()].concat()).unwrap();
        assert_eq!(receiver.join().unwrap(), 1);
        assert_eq!(client.recv(SOON).unwrap().message_type(), MessageType::Error);
        assert!(client.is_connected());
    });
    assert_eq!(client.stats().messages_received, 2);
}

#[test]
fn a_refusal_without_auto_reconnect_leaves_the_client_closed() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("auto_reconnect", "false")]);
    let long = "x".repeat(50_000);
    server.write_all(&error(json!({"code": "max_connections", "message": long}))).unwrap();
    let refusal = client.recv(SOON).unwrap_err();
    assert_eq!(refusal.status(), Status::MaxConnections);
    assert!(refusal.to_string().len() < 1000, "a server may say anything");
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert!(!client.is_connected());
}

#[test]
fn the_first_send_knows_of_a_refusal_that_has_arrived() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    // It goes on reading, so that the send could be written.
    server.write_all(&error(json!({"code": "max_connections"}))).unwrap();
    assert_eq!(send(&client, 1), Err(Status::MaxConnections));
}

#[test]
fn connecting_anew_forgets_the_ends_that_are_none_any_more() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[("report_loss", "true")]);
    client.disconnect().unwrap();
    client.connect().unwrap();
    drop(accept(&listener));
    assert_eq!(failure(&client, SOON), Status::Closed, "the loss alone");
    thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(&client));
        server = accept(&listener);
        server.write_all(&data(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), 1);
    });
    drop(server);
    wait_until("the loss", || !client.is_connected());
    // Refused, noticed by a look at the buffer, and connected anew before anybody was told.
    client.connect().unwrap();
    let refusal = error(json!({"code": "max_connections"}));
    accept(&listener).write_all(&refusal).unwrap();
    wait_until("the refusal", || !client.is_connected() || client.buffer_size() > 0);
    client.buffer_size();
    client.connect().unwrap();
    let mut server = accept(&listener);
    server.write_all(&data(2)).unwrap();
    assert_eq!(failure(&client, SOON), Status::Closed, "the loss");
    assert_eq!(recv(&client), 2);
}
