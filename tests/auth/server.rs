//! The server: who does not show the token gets nothing and is not heard.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use dotsock::{Client, Event, MessageType, Server, Status, Transport};
use serde_json::json;

use crate::common::{PATIENCE, Setup, wait_until};
use crate::support::{
    Raw, TOKEN, auth, client, frame_of, has_come, hmac, recv, started, tcp_server, with_token,
};

#[test]
fn who_knows_the_token_gets_the_backlog_and_is_heard() {
    let setup = with_token(&[]);
    let server = started(&setup);
    server.broadcast(MessageType::Data, &json!({"n": 1})).unwrap();
    let client = client(&setup, &[]);
    client.connect().unwrap();
    assert_eq!(recv(&client), json!({"n": 1}));
    client.send_data(MessageType::Data, &json!({"n": 2})).unwrap();
    wait_until("it is heard", || server.stats().messages_received == 1);
    assert_eq!(server.stats().connections, 1);
    assert_eq!(server.stats().rejected, 0);
    assert_eq!(client.stats().messages_received, 1);
}

#[test]
fn a_peer_of_another_make_passes() {
    let setup = with_token(&[("retain_last", "true")]);
    let server = started(&setup);
    for n in 0..3 {
        server.broadcast(MessageType::Data, &json!({"n": n})).unwrap();
    }
    let mut raw = Raw::pass(&server, TOKEN);
    for n in 0..3 {
        assert_eq!(raw.hear().unwrap().decode::<serde_json::Value>().unwrap(), json!({"n": n}));
    }
    assert_eq!(server.clients()[0].id, "client-1");
}

#[test]
fn nothing_passes_before_the_handshake_is_over() {
    let setup = with_token(&[("retain_last", "true")]);
    let server = tcp_server(&setup);
    let (came, has_come) = std::sync::mpsc::channel();
    server.on_client_connected(move |_, id| came.send(id.to_owned()).unwrap()).unwrap();
    server.start().unwrap();
    server.broadcast(MessageType::Data, &json!({"secret": 1})).unwrap();
    let mut stranger = Raw::connect(&server);
    stranger.nonce();
    server.broadcast(MessageType::Data, &json!({"secret": 2})).unwrap();
    assert!(server.clients().is_empty());
    assert_eq!(server.queue_size(), 2);
    let error = server.unicast("client-1", MessageType::Data, &json!({})).unwrap_err();
    assert_eq!(error.status(), Status::NoClient);
    let mut known = Raw::pass(&server, TOKEN);
    assert_eq!(known.hear().unwrap().decode::<serde_json::Value>().unwrap()["secret"], 1);
    assert_eq!(has_come.recv_timeout(PATIENCE).unwrap(), "client-2");
    // Of all that was sent, the stranger has got the question alone.
    stranger.0.shutdown(Shutdown::Write).unwrap();
    stranger.expect_denial("a stranger who leaves");
    assert!(has_come.try_recv().is_err());
}

#[test]
fn who_does_not_know_it_is_told_so_counted_and_closed() {
    let setup = with_token(&[("linger", "0.1")]);
    let server = started(&setup);
    // What a third party could have seen of a handshake that went well.
    let mut seen = Raw::connect(&server);
    let (old, _) = seen.nonce();
    let mine = [7; 32];
    let good = |theirs: &[u8]| hmac(TOKEN, &[b"client", b"event", theirs, &mine]);
    let replayed = good(&old);
    seen.answer(&mine, &replayed);
    let proof = seen.hear().unwrap().get("/mac").unwrap().as_bytes().unwrap().to_vec();
    seen.0.shutdown(Shutdown::Both).unwrap();

    let control = |payload: &[u8]| frame_of(MessageType::Control, payload);
    type Lie<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let lies: Vec<(&str, Lie)> = vec![
        (
            "another token",
            Box::new(|theirs| {
                let mac = hmac("guess", &[b"client", b"event", theirs, &mine]);
                control(&auth(Some(&mine), Some(&mac)))
            }),
        ),
        (
            "another event",
            Box::new(|theirs| {
                let mac = hmac(TOKEN, &[b"client", b"events", theirs, &mine]);
                control(&auth(Some(&mine), Some(&mac)))
            }),
        ),
        ("replayed", Box::new(|_| control(&auth(Some(&mine), Some(&replayed))))),
        ("the server's own proof", Box::new(|_| control(&auth(Some(&mine), Some(&proof))))),
        (
            "made as a server",
            Box::new(|theirs| {
                let mac = hmac(TOKEN, &[b"server", b"event", &mine, theirs]);
                control(&auth(Some(&mine), Some(&mac)))
            }),
        ),
        (
            "the server's nonce as its own",
            Box::new(|theirs| {
                let mac = hmac(TOKEN, &[b"client", b"event", theirs, theirs]);
                control(&auth(Some(theirs), Some(&mac)))
            }),
        ),
        ("the question sent back", Box::new(|theirs| control(&auth(Some(theirs), None)))),
        ("nonce left out", Box::new(|theirs| control(&auth(None, Some(&good(theirs)))))),
        (
            "MAC cut short",
            Box::new(|theirs| control(&auth(Some(&mine), Some(&good(theirs)[..31])))),
        ),
        ("MAC of no bytes", Box::new(|_| control(&auth(Some(&mine), Some(&[]))))),
        (
            "as data",
            Box::new(|theirs| frame_of(MessageType::Data, &auth(Some(&mine), Some(&good(theirs))))),
        ),
        (
            "a message first",
            Box::new(|theirs| {
                let answer = control(&auth(Some(&mine), Some(&good(theirs))));
                [frame_of(MessageType::Data, &[0x80]), answer].concat()
            }),
        ),
        (
            "a message too early",
            Box::new(|theirs| {
                let answer = control(&auth(Some(&mine), Some(&good(theirs))));
                [answer, frame_of(MessageType::Data, &[0x80])].concat()
            }),
        ),
        ("no MessagePack", Box::new(|_| b"\0\0\0\x04oops".to_vec())),
        ("an empty frame", Box::new(|_| vec![0; 4])),
        ("a huge frame", Box::new(|_| vec![0, 0, 2, 1])),
        ("a browser", Box::new(|_| b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec())),
    ];
    wait_until("the first one is a client", || server.stats().connections == 1);
    for (count, (why, lie)) in lies.iter().enumerate() {
        let mut raw = Raw::connect(&server);
        let (theirs, _) = raw.nonce();
        raw.say(&lie(&theirs));
        raw.expect_denial(why);
        assert_eq!(server.stats().rejected, count as u64 + 1, "{why}");
        // At most sixteen are let go of with care at a time.
        wait_until("it is closed", || common_sockets(&server) < 8);
    }
    let mut raw = Raw::connect(&server);
    let (theirs, _) = raw.nonce();
    let answer = control(&auth(Some(&mine), Some(&good(&theirs))));
    raw.say(&answer[..20]);
    raw.0.shutdown(Shutdown::Write).unwrap();
    raw.expect_denial("half an answer");
    assert_eq!(server.stats().connections, 1);
    assert_eq!(server.stats().messages_received, 0);
}

/// Sockets of this process that are connected to the server's port.
fn common_sockets(server: &Server) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{:04X} ", server.port());
    table.lines().filter(|line| line.contains(&local) && line.contains(" 01 ")).count()
}

#[test]
fn an_answer_may_come_byte_by_byte() {
    let setup = with_token(&[]);
    let server = started(&setup);
    let mut raw = Raw::connect(&server);
    raw.0.set_nodelay(true).unwrap();
    let (theirs, _) = raw.nonce();
    let mine = [1; 32];
    let mac = hmac(TOKEN, &[b"client", b"event", &theirs, &mine]);
    for byte in frame_of(MessageType::Control, &auth(Some(&mine), Some(&mac))) {
        raw.say(&[byte]);
    }
    assert_eq!(raw.hear().unwrap().get("/code").unwrap().as_str(), Some("auth"));
    wait_until("it is a client", || server.clients().len() == 1);
}

#[test]
fn who_stays_silent_has_default_timeout() {
    let setup = with_token(&[("default_timeout", "0.3")]);
    let server = started(&setup);
    let begun = Instant::now();
    let mut silent = Raw::connect(&server);
    let mut half = Raw::connect(&server);
    half.say(&[0, 0, 1]);
    for raw in [&mut silent, &mut half] {
        raw.nonce();
        raw.expect_denial("silence");
    }
    assert!(begun.elapsed() >= Duration::from_millis(250));
    assert_eq!(server.stats().rejected, 2);
}

fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_silent_strangers_keep_nobody_out_and_cost_little() {
    let setup = with_token(&[("default_timeout", "30"), ("max_connections", "2")]);
    let server = started(&setup);
    let before = resident_kilobytes();
    // In rounds: the strangers' own descriptors shall not be the bound that is met.
    let mut strangers = Vec::new();
    for _ in 0..10 {
        strangers.extend((0..100).map(|_| {
            let mut stranger = Raw::connect(&server);
            stranger.nonce();
            stranger.say(&[0, 0]);
            stranger
        }));
        let known = client(&setup, &[("default_timeout", Some("10"))]);
        known.connect().unwrap();
        drop(known);
        strangers.drain(..strangers.len().saturating_sub(200));
    }
    assert!(server.stats().rejected >= 872, "{:?}", server.stats());
    assert_eq!(server.stats().connections, 10);
    let grown = resident_kilobytes().saturating_sub(before);
    assert!(grown < 8192, "{grown} KiB for strangers");
    let begun = Instant::now();
    server.stop().unwrap();
    assert!(begun.elapsed() < PATIENCE);
    let mut waiting = strangers.pop().unwrap();
    assert!(waiting.hear().is_none(), "those who wait are closed");
}

#[test]
fn of_a_crowd_nobody_goes_before_it_has_had_the_time_to_answer() {
    let setup = with_token(&[("default_timeout", "30")]);
    let server = tcp_server(&setup);
    server.open().unwrap();
    let mut crowd: Vec<_> = (0..160).map(|_| Raw::connect(&server)).collect();
    let begun = Instant::now();
    while server.stats().rejected == 0 {
        assert!(begun.elapsed() < PATIENCE, "those who stay silent keep the others out");
        assert!(!has_come(&server, Duration::ZERO));
    }
    assert!(begun.elapsed() >= Duration::from_millis(20));
    // From now on they do answer, and none has to go.
    let rejected = server.stats().rejected;
    assert!(rejected <= 32, "{rejected} of them had to go, which leaves room for more than came");
    std::thread::scope(|scope| {
        scope.spawn(|| crowd.iter_mut().for_each(|raw| drop(raw.answer_for(TOKEN))));
        wait_until("all are judged", || {
            has_come(&server, Duration::from_millis(1));
            server.stats().connections + server.stats().rejected == 160
        });
    });
    assert_eq!(server.stats().rejected, rejected);
    let is_proof = |raw: &mut Raw| raw.hear().is_some_and(|message| message.get("/mac").is_some());
    let let_in = crowd.iter_mut().filter_map(|raw| is_proof(raw).then_some(())).count();
    assert_eq!(let_in as u64, server.stats().connections);
}

#[test]
fn who_has_answered_stays_though_more_have_come_than_may_wait() {
    let setup = with_token(&[("default_timeout", "30")]);
    let server = tcp_server(&setup);
    server.open().unwrap();
    let mut crowd: Vec<_> = (0..100).map(|_| Raw::connect(&server)).collect();
    for raw in &mut crowd {
        raw.0.set_nonblocking(true).unwrap();
        wait_until("it is asked", || {
            assert!(!has_come(&server, Duration::ZERO));
            raw.0.peek(&mut [0]).is_ok()
        });
        raw.0.set_nonblocking(false).unwrap();
    }
    // The program is busy for a while, and hears first of those who came last.
    let _strangers: Vec<_> = (0..60).map(|_| Raw::connect(&server)).collect();
    crowd.iter_mut().for_each(|raw| drop(raw.answer_for(TOKEN)));
    std::thread::sleep(Duration::from_millis(200));
    for count in 0..100 {
        assert!(has_come(&server, PATIENCE), "{count} have come: {:?}", server.stats());
    }
    assert_eq!(server.stats().rejected, 0);
}

#[test]
fn a_full_server_says_so_to_those_alone_who_know_the_token() {
    let setup = with_token(&[("max_connections", "1"), ("auto_reconnect", "false")]);
    let server = started(&setup);
    let _first = Raw::pass(&server, TOKEN);
    wait_until("it is connected", || server.clients().len() == 1);
    let second = client(&setup, &[]);
    second.connect().unwrap();
    let error = second.recv(Some(PATIENCE)).unwrap_err();
    assert_eq!(error.status(), Status::MaxConnections);
    let mut stranger = Raw::connect(&server);
    stranger.nonce();
}

#[test]
fn an_opened_server_goes_on_with_handshakes_in_next() {
    let setup = with_token(&[]);
    let server = tcp_server(&setup);
    server.open().unwrap();
    let other = client(&setup, &[]);
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| other.connect());
        let Event::Connected { client_id } = server.next(Some(PATIENCE)).unwrap() else {
            panic!("not connected");
        };
        assert_eq!(client_id, "client-1");
        connecting.join().unwrap().unwrap();
    });
    let mut stranger = Raw::connect(&server);
    stranger.0.set_nonblocking(true).unwrap();
    assert_eq!(
        server.next(Some(Duration::from_millis(100))).unwrap_err().status(),
        Status::Timeout,
        "a stranger is no event"
    );
    stranger.0.set_nonblocking(false).unwrap();
    stranger.nonce();
}

#[test]
fn without_a_token_nothing_is_asked() {
    let setup = Setup::new(&[("port", "0")]);
    let server = started(&setup);
    let mut raw = Raw::connect(&server);
    wait_until("it is a client", || server.clients().len() == 1);
    server.broadcast(MessageType::Data, &json!({"n": 1})).unwrap();
    assert_eq!(raw.hear().unwrap().get("/n").unwrap().as_i64(), Some(1));
}

#[test]
fn unix_servers_need_no_token_and_do_not_look_for_one() {
    let setup = Setup::new(&[("token", TOKEN), ("token_file", "/nowhere/token")]);
    let server = setup.started();
    let client = Client::new(Transport::Unix, "event", &setup.options).unwrap();
    client.connect().unwrap();
    wait_until("it is a client", || server.clients().len() == 1);
}
