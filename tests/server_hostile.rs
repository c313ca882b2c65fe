//! Peers that lie, stall, vanish and flood: each gets what the wire protocol says, and the others
//! notice nothing.

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use common::{PATIENCE, Peer, Setup, wait_for_clients, wait_until};
use dotsock::{MessageType, Server, Status};
use serde_json::json;

fn echoing(setup: &Setup) -> Server {
    let server = setup.server();
    server
        .on_message_received(|server, id, message| {
            server.send(message, Some(id)).unwrap();
        })
        .unwrap();
    server.start().unwrap();
    server
}

#[test]
fn every_malformed_vector_is_dropped_or_ends_the_connection() {
    let setup = Setup::new(&[]);
    let server = echoing(&setup);
    let vectors = include_str!("vectors/malformed.jsonl");
    for (count, line) in vectors.lines().enumerate() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let hex = vector["frame"].as_str().unwrap();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let mut peer = setup.peer();
        peer.stream.write_all(&bytes).unwrap();
        if vector["connection"] == "closed" {
            assert!(peer.hear().is_none(), "{line}");
        } else {
            peer.say(&json!({"still": "here"}));
            assert_eq!(peer.hear_data(), json!({"still": "here"}), "{line}");
        }
        wait_until("it is counted", || server.stats().malformed == count as u64 + 1);
    }
}

#[test]
fn a_frame_may_arrive_byte_by_byte() {
    let setup = Setup::new(&[]);
    let _server = echoing(&setup);
    let mut peer = setup.peer();
    for byte in Peer::frame(&json!({"slow": true})) {
        peer.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(peer.hear_data(), json!({"slow": true}));
}

#[test]
fn large_and_small_frames_may_come_in_any_mixture() {
    let setup = Setup::new(&[]);
    let _server = echoing(&setup);
    let mut peer = setup.peer();
    let mut writer = peer.stream.try_clone().unwrap();
    let sizes = [0, 1, 65_000, 16_384, 3, 1 << 20, 70_000, 2, 200_000];
    let frames: Vec<u8> =
        sizes.iter().flat_map(|size| Peer::frame(&json!({"text": "x".repeat(*size)}))).collect();
    let writing = std::thread::spawn(move || writer.write_all(&frames).unwrap());
    for size in sizes {
        assert_eq!(peer.hear_data()["text"].as_str().unwrap().len(), size);
    }
    writing.join().unwrap();
}

#[test]
fn a_peer_that_vanishes_inside_a_frame_is_counted_and_reported() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    let (gone, is_gone) = std::sync::mpsc::channel();
    server.on_client_disconnected(move |_, id| gone.send(id.to_owned()).unwrap()).unwrap();
    server.start().unwrap();
    let mut peer = setup.peer();
    let frame = Peer::frame(&json!({"cut": "off"}));
    peer.stream.write_all(&frame[..frame.len() - 3]).unwrap();
    drop(peer);
    assert_eq!(is_gone.recv_timeout(PATIENCE).unwrap(), "client-1");
    assert_eq!(server.stats().malformed, 1);
}

#[test]
fn a_frame_that_stays_incomplete_ends_the_connection() {
    let setup = Setup::new(&[("frame_timeout", "0.2")]);
    let server = echoing(&setup);
    let mut idle = setup.peer();
    let mut peer = setup.peer();
    peer.stream.write_all(&[0, 0]).unwrap();
    let begun = Instant::now();
    assert!(peer.hear().is_none());
    assert!(begun.elapsed() >= Duration::from_millis(150));
    assert_eq!(server.stats().malformed, 1);
    idle.say(&json!({"idle": "is fine"}));
    assert_eq!(idle.hear_data(), json!({"idle": "is fine"}));
}

#[test]
fn clients_over_the_limit_are_told_so() {
    let setup = Setup::new(&[("max_connections", "2")]);
    let server = setup.started();
    let _peers = [setup.peer(), setup.peer()];
    wait_for_clients(&server, 2);
    for _ in 0..40 {
        let mut refused = setup.peer();
        let message = refused.hear().unwrap();
        assert_eq!(message.message_type(), MessageType::Error);
        assert_eq!(message.get("/code").unwrap().as_str(), Some("max_connections"));
        assert_eq!(message.get("/limit").unwrap().as_i64(), Some(2));
        assert!(refused.hear().is_none());
    }
    assert_eq!(server.stats().rejected, 40);
    assert_eq!(server.stats().connections, 2);
}

#[test]
fn clients_that_may_not_send_are_told_once() {
    let setup = Setup::new(&[("allow_client_send", "false")]);
    let server = setup.started();
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    for _ in 0..3 {
        peer.say(&json!({"a": 1}));
    }
    wait_until("they are counted", || server.stats().denied == 3);
    server.broadcast(MessageType::Data, &json!({"b": 1})).unwrap();
    let message = peer.hear().unwrap();
    assert_eq!(message.get("/code").unwrap().as_str(), Some("send_denied"));
    assert_eq!(peer.hear_data(), json!({"b": 1}));
    assert_eq!(server.stats().messages_received, 0);
}

#[test]
fn a_peer_that_only_reads_gets_what_is_queued_for_it() {
    let setup = Setup::new(&[]);
    let server = setup.started();
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    let text = "x".repeat(100_000);
    for _ in 0..20 {
        server.broadcast(MessageType::Data, &json!({"text": text})).unwrap();
    }
    peer.stream.shutdown(Shutdown::Write).unwrap();
    wait_until("it has left", || server.clients().is_empty());
    for _ in 0..20 {
        peer.hear().unwrap();
    }
    assert!(peer.hear().is_none());
}

#[test]
fn a_peer_that_only_writes_is_heard() {
    let setup = Setup::new(&[]);
    let server = echoing(&setup);
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    peer.stream.shutdown(Shutdown::Read).unwrap();
    for _ in 0..10 {
        peer.say(&json!({"deaf": true}));
    }
    wait_until("all of it is heard", || server.stats().messages_received == 10);
}

#[test]
fn what_nobody_was_left_to_get_waits_in_the_backlog() {
    let setup = Setup::new(&[]);
    let server = setup.started();
    let peer = setup.peer();
    wait_for_clients(&server, 1);
    drop(peer);
    server.broadcast(MessageType::Data, &json!({"n": 1})).unwrap();
    let mut next = setup.peer();
    assert_eq!(next.hear_data(), json!({"n": 1}));
}

#[test]
fn a_dismissed_client_gets_what_is_queued_and_is_heard_no_more() {
    let setup = Setup::new(&[]);
    let server = echoing(&setup);
    let mut peer = setup.peer();
    wait_for_clients(&server, 1);
    let text = "x".repeat(100_000);
    for _ in 0..20 {
        server.broadcast(MessageType::Data, &json!({"text": text})).unwrap();
    }
    server.disconnect_client("client-1").unwrap();
    assert_eq!(server.disconnect_client("client-1").unwrap_err().status(), Status::NoClient);
    assert!(server.clients().is_empty());
    for _ in 0..20 {
        peer.hear().unwrap();
    }
    assert!(peer.hear().is_none());
}
