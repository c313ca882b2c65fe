//! Clients that read slowly or not at all, and what a server keeps for whom.

mod common;

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use common::{PATIENCE, Peer, Setup, wait_for_clients, wait_until};
use dotsock::{MessageType, Server, Status};
use serde_json::json;

fn text() -> String {
    "x".repeat(10_000)
}

/// Sends numbered messages until one is refused, and returns its number.
fn fill(server: &Server) -> (i64, Status) {
    for number in 0.. {
        let data = json!({"n": number, "text": text()});
        if let Err(error) = server.unicast("client-1", MessageType::Data, &data) {
            return (number, error.status());
        }
    }
    unreachable!()
}

/// Reads numbered messages and notices; returns the numbers and the counts of the gaps.
fn read_all(peer: &mut Peer, last: i64) -> (Vec<i64>, i64) {
    let (mut numbers, mut missed) = (Vec::new(), 0);
    while numbers.last() != Some(&last) {
        let message = peer.hear().unwrap();
        match message.get("/n").and_then(|number| number.as_i64()) {
            Some(number) => numbers.push(number),
            None => missed += message.get("/count").unwrap().as_i64().unwrap(),
        }
    }
    (numbers, missed)
}

#[test]
fn drop_newest_keeps_what_was_queued_and_says_where_the_gap_is() {
    let setup = Setup::new(&[("slow_client", "drop_newest"), ("client_queue_size", "100000")]);
    let server = setup.started();
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    let (refused, status) = fill(&server);
    assert_eq!(status, Status::Full);
    assert_eq!(server.clients()[0].dropped, 1);
    assert!(server.clients()[0].queued_bytes <= 100_000);
    for number in 0..refused {
        assert_eq!(peer.hear_data()["n"], number);
    }
    let notice = peer.hear().unwrap();
    assert_eq!(notice.message_type(), MessageType::Control);
    assert_eq!(notice.get("/count").unwrap().as_i64(), Some(1));
    server.broadcast(MessageType::Data, &json!({"n": "after"})).unwrap();
    assert_eq!(peer.hear_data()["n"], "after");
}

#[test]
fn disconnect_ends_a_slow_client_and_no_other() {
    let setup = Setup::new(&[("slow_client", "disconnect"), ("client_queue_size", "100000")]);
    let server = setup.server();
    let (gone, is_gone) = mpsc::channel();
    server.on_client_disconnected(move |_, id| gone.send(id.to_owned()).unwrap()).unwrap();
    server.start().unwrap();
    let mut slow = setup.peer();
    wait_for_clients(&server, 1);
    let mut quick = setup.peer();
    wait_for_clients(&server, 2);
    let reader = std::thread::spawn(move || read_all(&mut quick, 499));
    for number in 0..500 {
        wait_until("the quick one keeps up", || {
            server.client("client-2").unwrap().queued_bytes == 0
        });
        server.broadcast(MessageType::Data, &json!({"n": number, "text": text()})).unwrap();
    }
    assert_eq!(is_gone.recv_timeout(PATIENCE).unwrap(), "client-1");
    assert!(server.stats().messages_dropped > 0);
    let (numbers, missed) = reader.join().unwrap();
    assert_eq!((numbers.len(), missed), (500, 0));
    // Its stream ends, if need be inside a frame.
    std::io::copy(&mut slow.stream, &mut std::io::sink()).unwrap();
}

#[test]
fn block_waits_for_room_and_loses_nothing() {
    let setup = Setup::new(&[("slow_client", "block"), ("client_queue_size", "100000")]);
    let server = setup.started();
    let mut peers = [setup.peer(), setup.peer()];
    wait_for_clients(&server, 2);
    let readers = peers.each_mut().map(|peer| {
        let mut peer = Peer { stream: peer.stream.try_clone().unwrap() };
        std::thread::spawn(move || read_all(&mut peer, 999))
    });
    for number in 0..1000 {
        server.broadcast(MessageType::Data, &json!({"n": number, "text": text()})).unwrap();
    }
    for reader in readers {
        let (numbers, missed) = reader.join().unwrap();
        assert_eq!((numbers, missed), ((0..1000).collect(), 0));
    }
    assert_eq!(server.stats().messages_dropped, 0);
}

#[test]
fn a_blocked_unicast_times_out_and_was_not_queued() {
    let setup = Setup::new(&[
        ("slow_client", "block"),
        ("client_queue_size", "100000"),
        ("send_timeout", "0.1"),
    ]);
    let server = setup.started();
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    let (refused, status) = fill(&server);
    assert_eq!(status, Status::Timeout);
    assert_eq!(server.stats().messages_dropped, 0);
    let begun = Instant::now();
    server.broadcast(MessageType::Data, &json!({"n": "lost", "text": text()})).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(90));
    assert_eq!(server.stats().messages_dropped, 1);
    for number in 0..refused {
        assert_eq!(peer.hear_data()["n"], number);
    }
    assert_eq!(peer.hear_data(), json!({"code": "missed", "count": 1}));
}

#[test]
fn a_cancel_ends_senders_that_wait_and_stays_for_nobody() {
    let setup = Setup::new(&[("slow_client", "block"), ("client_queue_size", "100000")]);
    let server = setup.started();
    let _peer = setup.peer();
    wait_for_clients(&server, 1);
    let waiting = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let senders = [(); 3].map(|()| scope.spawn(|| fill(&server).1));
        scope.spawn(|| {
            while waiting.load(Ordering::Relaxed) {
                server.cancel().unwrap();
                std::thread::yield_now();
            }
        });
        for sender in senders {
            assert_eq!(sender.join().unwrap(), Status::Cancelled);
        }
        waiting.store(false, Ordering::Relaxed);
    });
}

#[test]
fn a_stop_ends_senders_that_wait() {
    let setup =
        Setup::new(&[("slow_client", "block"), ("client_queue_size", "100000"), ("linger", "0")]);
    let server = setup.started();
    let _peer = setup.peer();
    wait_for_clients(&server, 1);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| fill(&server).1);
        wait_until("the queue is full", || {
            server.clients().first().is_some_and(|client| client.queued_bytes > 90_000)
        });
        server.stop().unwrap();
        assert_eq!(sender.join().unwrap(), Status::NotRunning);
    });
}

#[test]
fn a_message_larger_than_the_queue_goes_when_nothing_else_waits() {
    for policy in ["drop_oldest", "drop_newest", "disconnect", "block"] {
        let setup = Setup::new(&[("slow_client", policy), ("client_queue_size", "1000")]);
        let server = setup.started();
        let mut peer = setup.peer();
        wait_for_clients(&server, 1);
        let text = "x".repeat(2 << 20);
        server.broadcast(MessageType::Data, &json!({"text": text})).unwrap();
        assert_eq!(peer.hear_data()["text"].as_str().unwrap().len(), 2 << 20, "{policy}");
    }
}

#[test]
fn what_is_sent_to_a_client_that_has_caught_up_waits_for_nobody() {
    for policy in ["drop_oldest", "drop_newest", "disconnect", "block"] {
        let setup = Setup::new(&[
            ("slow_client", policy),
            ("client_queue_size", "50000"),
            ("send_timeout", "0"),
        ]);
        let server = setup.server();
        server.open().unwrap();
        let mut peer = setup.peer();
        server.next(Some(PATIENCE)).unwrap();
        let send = |number: i64| {
            let data = json!({"n": number, "text": text()});
            server.unicast("client-1", MessageType::Data, &data).unwrap();
        };
        let mut last = 0;
        while server.clients()[0].queued_bytes < 40_000 {
            last += 1;
            send(last);
        }
        // All of it but what the socket never had room for.
        peer.stream.set_nonblocking(true).unwrap();
        let mut early = Vec::new();
        peer.stream.read_to_end(&mut early).unwrap_err();
        send(last + 1);
        assert_eq!(server.clients()[0].queued_bytes, 0, "{policy}");
    }
}

#[test]
fn what_the_first_client_left_of_the_backlog_waits_for_the_next() {
    let setup = Setup::new(&[]);
    let server = setup.started();
    for number in 0..100 {
        let text = "x".repeat(30_000);
        server.broadcast(MessageType::Data, &json!({"n": number, "text": text})).unwrap();
    }
    let mut first = setup.peer();
    wait_for_clients(&server, 1);
    assert_eq!(first.hear_data()["n"], 0);
    assert!(server.queue_size() > 0);
    server.broadcast(MessageType::Data, &json!({"n": "for the first"})).unwrap();
    drop(first);
    wait_until("it has left", || server.clients().is_empty());
    let left = server.queue_size() as i64;
    let mut second = setup.peer();
    for number in 100 - left..100 {
        assert_eq!(second.hear_data()["n"], number);
    }
    wait_until("all of it is handed over", || server.queue_size() == 0);
}

#[test]
fn the_whole_backlog_comes_before_what_is_sent_later() {
    let setup = Setup::new(&[("client_queue_size", "10000000")]);
    let server = setup.started();
    for number in 0..100 {
        let text = "x".repeat(30_000);
        server.broadcast(MessageType::Data, &json!({"n": number, "text": text})).unwrap();
    }
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    for number in 100..110 {
        server.broadcast(MessageType::Data, &json!({"n": number})).unwrap();
    }
    let (numbers, missed) = read_all(&mut peer, 109);
    assert_eq!((numbers, missed), ((0..110).collect(), 0));
}

#[test]
fn every_client_is_sent_the_newest_data_message() {
    let setup = Setup::new(&[("retain_last", "true")]);
    let server = setup.started();
    for number in 0..2 {
        server.broadcast(MessageType::Data, &json!({"n": number})).unwrap();
    }
    server.broadcast(MessageType::Error, &json!({"failed": true})).unwrap();
    let mut first = setup.peer();
    assert_eq!(first.hear_data(), json!({"n": 0}));
    assert_eq!(first.hear_data(), json!({"n": 1}));
    assert_eq!(first.hear_data(), json!({"failed": true}));
    let mut second = setup.peer();
    assert_eq!(second.hear_data(), json!({"n": 1}));
    server.stop().unwrap();
    server.clear_queue().unwrap();
    server.start().unwrap();
    server.broadcast(MessageType::Control, &json!({"back": true})).unwrap();
    let mut third = setup.peer();
    assert_eq!(third.hear_data(), json!({"n": 1}));
    assert_eq!(third.hear_data(), json!({"back": true}));
    wait_until("the queue is handed over", || server.queue_size() == 0);
}

#[test]
fn a_cork_collects_and_keeps_the_order() {
    let setup = Setup::new(&[]);
    let server = setup.started();
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    server.cork().unwrap();
    for number in 0..100 {
        let data = json!({"n": number});
        if number % 3 == 0 {
            server.unicast("client-1", MessageType::Data, &data).unwrap();
        } else {
            server.broadcast(MessageType::Data, &data).unwrap();
        }
    }
    assert_eq!(server.stats().messages_sent, 0);
    server.uncork().unwrap();
    let (numbers, _) = read_all(&mut peer, 99);
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

#[test]
fn threads_that_send_bursts_keep_their_order_and_all_clients_see_the_same() {
    let setup = Setup::new(&[("slow_client", "block")]);
    let server = Arc::new(setup.started());
    let mut peers = [setup.peer(), setup.peer(), setup.peer()];
    wait_for_clients(&server, 3);
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let server = server.clone();
            std::thread::spawn(move || {
                for number in 0..5000 {
                    let data = json!({"sender": sender, "n": number});
                    server.broadcast(MessageType::Data, &data).unwrap();
                    if number % 100 == 0 {
                        let data = json!({"sender": sender, "n": number, "only": true});
                        server.unicast("client-1", MessageType::Data, &data).unwrap();
                    }
                }
            })
        })
        .collect();
    let readers: Vec<_> = peers
        .each_mut()
        .map(|peer| {
            let mut peer = Peer { stream: peer.stream.try_clone().unwrap() };
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                while seen.len() < 20_000 {
                    let message = peer.hear().unwrap();
                    let number = |pointer| message.get(pointer).unwrap().as_i64().unwrap();
                    if message.get("/only").is_none() {
                        seen.push((number("/sender"), number("/n")));
                    }
                }
                seen
            })
        })
        .into_iter()
        .map(|reader| reader.join().unwrap())
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(readers[0], readers[1]);
    assert_eq!(readers[0], readers[2]);
    for sender in 0..4 {
        let numbers = readers[0].iter().filter(|(by, _)| *by == sender).map(|(_, n)| *n);
        assert!(numbers.eq(0..5000));
    }
}

#[test]
fn a_cancel_ends_run_and_is_taken_once() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    server.cancel().unwrap();
    server.cancel().unwrap();
    assert_eq!(server.run().unwrap_err().status(), Status::Cancelled);
    assert!(server.is_running());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _peer = setup.peer();
            wait_for_clients(&server, 1);
            server.stop().unwrap();
            assert!(!server.is_running());
        });
        server.run().unwrap();
    });
    assert_eq!(server.next(None).unwrap_err().status(), Status::NotRunning);
}
