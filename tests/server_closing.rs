//! Connections that end: what is still delivered, to whom, what is counted.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{PATIENCE, Peer, Setup, wait_for_clients, wait_until};
use dotsock::{Event, MessageType, Server, Status, Transport};
use serde_json::json;

fn text(size: usize) -> String {
    "x".repeat(size)
}

#[test]
fn a_closed_connection_ends_without_an_error_though_input_was_unread() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    server
        .on_client_connected(move |server, id| {
            may_go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            server.disconnect_client(id).unwrap();
        })
        .unwrap();
    let (gone, is_gone) = mpsc::channel();
    server.on_client_disconnected(move |_, _| gone.send(()).unwrap()).unwrap();
    server.start().unwrap();
    let mut peer = setup.peer();
    peer.stream.set_nonblocking(true).unwrap();
    while peer.stream.write(&[0; 4096]).is_ok() {}
    peer.stream.set_nonblocking(false).unwrap();
    go_on.send(()).unwrap();
    is_gone.recv_timeout(PATIENCE).unwrap();
    assert_eq!(peer.stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn who_connects_while_an_heir_leaves_gets_the_backlog() {
    let setup = Setup::new(&[("linger", "60")]);
    let server = setup.started();
    for number in 0..100 {
        server.broadcast(MessageType::Data, &json!({"n": number, "text": text(30_000)})).unwrap();
    }
    let first = setup.peer();
    wait_for_clients(&server, 1);
    first.stream.shutdown(Shutdown::Write).unwrap();
    wait_for_clients(&server, 0);
    server.broadcast(MessageType::Data, &json!({"n": 100})).unwrap();
    let left = server.queue_size() as i64;
    assert!((2..100).contains(&left));
    let mut second = setup.peer();
    for number in 101 - left..101 {
        assert_eq!(second.hear_data()["n"], number);
    }
    wait_until("all of it is handed over", || server.queue_size() == 0);
}

#[test]
fn a_cleared_queue_does_not_repeat_the_retained_message() {
    let setup = Setup::new(&[("retain_last", "true")]);
    let server = setup.started();
    server.broadcast(MessageType::Data, &json!({"n": "retained"})).unwrap();
    for _ in 0..100 {
        server.broadcast(MessageType::Control, &json!({"text": text(30_000)})).unwrap();
    }
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    assert_eq!(peer.hear_data(), json!({"n": "retained"}));
    server.clear_queue().unwrap();
    assert_eq!(server.queue_size(), 0);
    server.broadcast(MessageType::Control, &json!({"n": "end"})).unwrap();
    loop {
        let data = peer.hear_data();
        assert_ne!(data, json!({"n": "retained"}));
        if data == json!({"n": "end"}) {
            break;
        }
    }
}

#[test]
fn a_promised_message_that_was_never_taken_counts_as_dropped() {
    let setup = Setup::new(&[("retain_last", "true"), ("linger", "0")]);
    let server = setup.server();
    server.open().unwrap();
    for _ in 0..99 {
        server.broadcast(MessageType::Control, &json!({"text": text(30_000)})).unwrap();
    }
    server.broadcast(MessageType::Data, &json!({"n": "promised"})).unwrap();
    let peer = setup.peer();
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Connected { .. })));
    let waiting = server.queue_size();
    server.clear_queue().unwrap();
    assert_eq!(server.queue_size(), 1);
    let cleared = waiting as u64 - 1;
    drop(peer);
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Disconnected { .. })));
    assert_eq!(server.queue_size(), 0);
    let stats = server.stats();
    assert_eq!(stats.messages_sent + stats.messages_dropped + cleared, 100);
}

#[test]
fn whatever_was_sent_is_in_the_counters_after_a_stop() {
    for _ in 0..20 {
        let setup = Setup::new(&[
            ("slow_client", "block"),
            ("client_queue_size", "50000"),
            ("linger", "0"),
        ]);
        let server = setup.started();
        let _peers = [setup.peer(), setup.peer()];
        wait_for_clients(&server, 2);
        let sent: u64 = std::thread::scope(|scope| {
            let senders = [(); 2].map(|()| {
                scope.spawn(|| {
                    let mut sent = 0;
                    loop {
                        let data = json!({"text": text(10_000)});
                        match server.broadcast(MessageType::Data, &data) {
                            Ok(()) => sent += 1,
                            Err(error) => {
                                assert_eq!(error.status(), Status::NotRunning);
                                return sent;
                            }
                        }
                    }
                })
            });
            wait_until("the queues are full", || {
                server.clients().iter().all(|client| client.queued_bytes > 40_000)
            });
            server.stop().unwrap();
            senders.map(|sender| sender.join().unwrap()).iter().sum()
        });
        let stats = server.stats();
        assert_eq!(stats.messages_sent + stats.messages_dropped, sent * 2);
    }
}

#[test]
fn a_frame_that_arrived_in_time_is_read_before_it_is_judged() {
    let limit = Duration::from_millis(200);
    let setup = Setup::new(&[("frame_timeout", "0.2"), ("buffer_size", "1024")]);
    let server = setup.server();
    let (heard, hears) = mpsc::channel();
    server
        .on_message_received(move |_, _, message| {
            if message.get("/wait").is_some() {
                // Until well after the other one's frame is due.
                let begun = Instant::now();
                while begun.elapsed() < limit * 2 {
                    std::thread::yield_now();
                }
            }
            heard.send(message.data().len()).unwrap();
        })
        .unwrap();
    server.start().unwrap();
    let (mut peer, mut other) = (setup.peer(), setup.peer());
    wait_for_clients(&server, 2);
    let frame = Peer::frame(&json!({"text": text(50_000)}));
    peer.stream.write_all(&frame[..10]).unwrap();
    wait_until("it has begun", || server.stats().bytes_received == 10);
    other.say(&json!({"wait": true}));
    wait_until("the hook runs", || server.stats().messages_received == 1);
    peer.stream.write_all(&frame[10..]).unwrap();
    assert!(hears.recv_timeout(PATIENCE).unwrap() < 100);
    assert!(hears.recv_timeout(PATIENCE).unwrap() > 50_000);
    assert_eq!(server.stats().malformed, 0);
}

#[test]
fn a_connection_that_is_reset_is_not_lingered_for() {
    let setup = Setup::new(&[("port", "0"), ("linger", "60")]);
    let server = Server::new(Transport::Tcp, "event", &setup.options).unwrap();
    server.open().unwrap();
    let peer = TcpStream::connect(server.address()).unwrap();
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Connected { .. })));
    // More than both sockets hold.
    while server.clients()[0].queued_bytes == 0 {
        server.broadcast(MessageType::Data, &json!({"text": text(1 << 20)})).unwrap();
    }
    // Closed with input that nobody read.
    drop(peer);
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Disconnected { .. })));
}
