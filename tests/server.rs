//! Servers seen from outside: clients are raw sockets that speak the wire format by hand.

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::{PATIENCE, Setup, wait_for_clients, wait_until};
use dotsock::{Event, MessageType, Status};
use serde_json::{Value, json};

#[test]
fn a_broadcast_reaches_every_client_in_order() {
    let setup = Setup::new(&[]);
    let server = setup.started();
    let mut peers = [setup.peer(), setup.peer(), setup.peer()];
    wait_for_clients(&server, 3);
    for number in 0..1000 {
        server.broadcast(MessageType::Data, &json!({"n": number})).unwrap();
    }
    for peer in &mut peers {
        for number in 0..1000 {
            assert_eq!(peer.hear_data(), json!({"n": number}));
        }
    }
}

#[test]
fn a_unicast_reaches_only_its_client() {
    let setup = Setup::new(&[]);
    let server = setup.started();
    let mut first = setup.peer();
    wait_for_clients(&server, 1);
    let mut second = setup.peer();
    wait_for_clients(&server, 2);
    let ids: Vec<String> = server.clients().into_iter().map(|client| client.id).collect();
    server.unicast(&ids[1], MessageType::Control, &json!({"for": 2})).unwrap();
    server.broadcast(MessageType::Data, &json!({"for": "all"})).unwrap();
    assert_eq!(first.hear_data(), json!({"for": "all"}));
    assert_eq!(second.hear_data(), json!({"for": 2}));
    assert_eq!(second.hear_data(), json!({"for": "all"}));
    let error = server.unicast("client-99", MessageType::Data, &json!({})).unwrap_err();
    assert_eq!(error.status(), Status::NoClient);
}

#[test]
fn the_first_client_gets_the_backlog_and_the_second_does_not() {
    let setup = Setup::new(&[("message_queue_size", "3")]);
    let server = setup.started();
    for number in 0..5 {
        server.broadcast(MessageType::Data, &json!({"n": number})).unwrap();
    }
    assert_eq!(server.queue_size(), 3);
    assert_eq!(server.stats().messages_dropped, 2);
    let mut first = setup.peer();
    for number in 2..5 {
        assert_eq!(first.hear_data(), json!({"n": number}));
    }
    wait_until("the backlog is handed over", || server.queue_size() == 0);
    let mut second = setup.peer();
    wait_for_clients(&server, 2);
    server.broadcast(MessageType::Data, &json!({"n": "new"})).unwrap();
    assert_eq!(second.hear_data(), json!({"n": "new"}));
}

#[test]
fn hooks_tell_who_came_spoke_and_went() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    let (told, hears) = mpsc::channel();
    let (connected, message, disconnected) = (told.clone(), told.clone(), told);
    server.on_client_connected(move |_, id| connected.send(format!("+{id}")).unwrap()).unwrap();
    server
        .on_message_received(move |server, id, said| {
            let said_data: Value = said.decode().unwrap();
            message.send(format!("{id} {said_data}")).unwrap();
            server.send(said, Some(id)).unwrap();
        })
        .unwrap();
    server
        .on_client_disconnected(move |_, id| disconnected.send(format!("-{id}")).unwrap())
        .unwrap();
    server.start().unwrap();
    assert_eq!(server.on_client_connected(|_, _| {}).unwrap_err().status(), Status::State);
    let mut peer = setup.peer();
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), "+client-1");
    peer.say(&json!({"hello": 1}));
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), "client-1 {\"hello\":1}");
    assert_eq!(peer.hear_data(), json!({"hello": 1}));
    drop(peer);
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), "-client-1");
}

#[test]
fn a_stop_delivers_what_is_queued_and_ends_every_connection() {
    let setup = Setup::new(&[]);
    let server = setup.started();
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    let text = "x".repeat(1 << 20);
    for _ in 0..4 {
        server.broadcast(MessageType::Data, &json!({"text": text})).unwrap();
    }
    let reader = std::thread::spawn(move || {
        let mut heard = 0;
        while peer.hear().is_some() {
            heard += 1;
        }
        heard
    });
    server.stop().unwrap();
    assert!(!server.is_running());
    assert_eq!(reader.join().unwrap(), 4);
    assert_eq!(std::fs::read_dir(setup.directory.path()).unwrap().count(), 0);
    let error = server.broadcast(MessageType::Data, &json!({})).unwrap_err();
    assert_eq!(error.status(), Status::NotRunning);
    server.start().unwrap();
}

#[test]
fn an_opened_server_yields_events_one_by_one() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    assert_eq!(server.next(Some(Duration::ZERO)).unwrap_err().status(), Status::NotRunning);
    server.open().unwrap();
    assert_eq!(server.next(Some(Duration::ZERO)).unwrap_err().status(), Status::Timeout);
    let mut peer = setup.peer();
    for number in 0..3 {
        peer.say(&json!({"n": number}));
    }
    let next = || server.next(Some(PATIENCE)).unwrap();
    assert!(matches!(next(), Event::Connected { client_id } if client_id == "client-1"));
    for number in 0..3 {
        match next() {
            Event::Message { message, .. } => {
                assert_eq!(message.get("/n").unwrap().as_i64(), Some(number));
            }
            other => panic!("{other:?}"),
        }
    }
    server.stop().unwrap();
    assert!(matches!(next(), Event::Disconnected { .. }));
    assert_eq!(server.next(None).unwrap_err().status(), Status::NotRunning);
}

#[test]
fn a_slow_client_is_told_what_it_missed() {
    let setup = Setup::new(&[("client_queue_size", "100000")]);
    let server = setup.started();
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    let text = "x".repeat(10_000);
    for number in 0..500 {
        server.broadcast(MessageType::Data, &json!({"n": number, "text": text})).unwrap();
    }
    let dropped = server.stats().messages_dropped;
    assert!(dropped > 0);
    assert_eq!(server.clients()[0].dropped, dropped);
    server.broadcast(MessageType::Control, &json!({"end": true})).unwrap();
    let dropped = server.stats().messages_dropped;
    let (mut expected, mut missed) = (0, 0);
    loop {
        let message = peer.hear().unwrap();
        if let Some(count) = message.get("/count") {
            assert_eq!(message.get("/code").unwrap().as_str(), Some("missed"));
            missed += count.as_i64().unwrap();
            expected += count.as_i64().unwrap();
        } else if let Some(number) = message.get("/n") {
            assert_eq!(number.as_i64(), Some(expected));
            expected += 1;
        } else {
            break;
        }
    }
    assert_eq!(missed as u64, dropped);
    assert_eq!(expected, 500);
}
