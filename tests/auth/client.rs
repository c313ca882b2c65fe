//! The client: a server that does not show the token hears nothing.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use dotsock::{MessageType, Status};
use serde_json::json;

use crate::common::{PATIENCE, Setup, wait_until};
use crate::support::{
    Child, Raw, TOKEN, auth, client, false_server, frame_of, has_come, hmac, recv, started,
    tcp_server, with_token,
};

/// How `connect` ends against a server that does this.
fn outcome(play: impl FnOnce(Raw) + Send) -> dotsock::Error {
    let (listener, setup) = false_server(&[]);
    let client = client(&setup, &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| play(Raw::accept(&listener)));
        let error = client.connect().unwrap_err();
        assert!(!client.is_connected());
        assert!(!error.to_string().contains(TOKEN), "{error}");
        error
    })
}

#[test]
fn a_server_that_does_not_show_the_token_is_refused() {
    let mine = [9; 32];
    let question = || frame_of(MessageType::Control, &auth(Some(&mine), None));
    let control = |payload: &[u8]| frame_of(MessageType::Control, payload);
    type Play<'a> = Box<dyn FnOnce(Raw) + Send + 'a>;
    let hold = |mut raw: Raw| while raw.hear().is_some() {};
    let plays: Vec<(&str, Play)> = vec![
        ("did not ask", Box::new(hold)),
        (
            "sends without asking",
            Box::new(|mut raw| {
                raw.say(&frame_of(MessageType::Data, &[0x80]));
                hold(raw);
            }),
        ),
        (
            "sends without asking",
            Box::new(|mut raw| {
                raw.say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                hold(raw);
            }),
        ),
        (
            "sends without asking",
            Box::new(|mut raw| {
                raw.say(&control(&auth(Some(&[0; 31]), None)));
                hold(raw);
            }),
        ),
        (
            "did not show within",
            Box::new(|mut raw| {
                raw.say(&question());
                raw.nonce();
                hold(raw);
            }),
        ),
        (
            "does not know the token",
            Box::new(|mut raw| {
                raw.say(&question());
                let (theirs, _) = raw.nonce();
                let mac = hmac("guess", &[b"server", b"event", &theirs, &mine]);
                raw.say(&control(&auth(None, Some(&mac))));
                hold(raw);
            }),
        ),
        (
            "does not know the token",
            Box::new(|mut raw| {
                raw.say(&question());
                let (_, mac) = raw.nonce();
                raw.say(&control(&auth(None, mac.as_deref())));
                hold(raw);
            }),
        ),
        (
            "without having shown",
            Box::new(|mut raw| {
                raw.say(&question());
                raw.nonce();
                raw.say(&frame_of(MessageType::Data, &[0x80]));
                hold(raw);
            }),
        ),
        (
            "without having shown",
            Box::new(|mut raw| {
                raw.say(&[question(), question()].concat());
                hold(raw);
            }),
        ),
        (
            "It said: wrong",
            Box::new(|mut raw| {
                raw.say(&question());
                raw.nonce();
                let payload = b"\x82\xa4code\xabauth_denied\xa7message\xa7w\x1brong\n";
                raw.say(&frame_of(MessageType::Error, payload));
                hold(raw);
            }),
        ),
    ];
    for (expected, play) in plays {
        let error = outcome(play);
        assert_eq!(error.status(), Status::Permission, "{expected}: {error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
    let error = outcome(|mut raw| {
        raw.say(&question());
        raw.nonce();
    });
    assert_eq!(error.status(), Status::Closed, "{error}");
    assert_eq!(outcome(drop).status(), Status::Closed);
}

#[test]
fn a_refusal_is_told_by_recv_once_for_each_attempt() {
    let setup = with_token(&[]);
    let server = started(&setup);
    let other = client(&setup, &[("token", Some("guess")), ("reconnect_delay", Some("0.01"))]);
    assert_eq!(other.connect().unwrap_err().status(), Status::Permission);
    for _ in 0..3 {
        let error = other.recv(Some(PATIENCE)).unwrap_err();
        assert_eq!(error.status(), Status::Permission);
        assert!(error.to_string().contains("token_file"), "{error}");
        let text = error.to_string();
        assert!(!text.contains("guess") && !text.contains(TOKEN), "{text}");
    }
    assert_eq!(server.stats().rejected, 4);
    assert_eq!(server.stats().connections, 0);
}

#[test]
fn a_server_that_has_another_token_for_a_while_is_asked_again_by_the_backoff() {
    let setup = with_token(&[]);
    let server = started(&setup);
    let port = server.port().to_string();
    let more = [("port", Some(&*port)), ("reconnect_delay", Some("0.1"))];
    let other = client(&setup, &more);
    other.connect().unwrap();
    server.stop().unwrap();
    let restarted = |token| {
        let setup = Setup::new(&[("token", token), ("port", &*port)]);
        let server = started(&setup);
        server.broadcast(MessageType::Data, &json!({"n": 1})).unwrap();
        (server, setup)
    };
    let (server, _setup) = restarted("another one");
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(other.recv(Some(PATIENCE)).unwrap_err().status(), Status::Permission);
    }
    // At once, then after 0.1 s and 0.2 s, give or take a fifth.
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_eq!(server.stats().rejected, 3);
    server.stop().unwrap();
    let (_server, _setup) = restarted(TOKEN);
    assert_eq!(recv(&other), json!({"n": 1}));
}

#[test]
fn a_client_without_a_token_says_what_is_missing() {
    let setup = with_token(&[]);
    let _server = started(&setup);
    let other = client(&setup, &[("token", None), ("auto_reconnect", Some("false"))]);
    other.connect().unwrap();
    let error = other.recv(Some(PATIENCE)).unwrap_err();
    assert_eq!(error.status(), Status::Permission);
    assert!(error.to_string().contains("set token or token_file"), "{error}");
    assert!(!other.is_connected());
    assert_eq!(other.stats().messages_received, 0);
}

#[test]
fn each_connection_is_a_new_handshake_and_a_send_waits_for_it() {
    let setup = with_token(&[]);
    let server = started(&setup);
    let port = server.port().to_string();
    let other = client(&setup, &[("port", Some(&port)), ("reconnect_delay", Some("0.01"))]);
    other.connect().unwrap();
    server.stop().unwrap();
    drop(server);

    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    let mut nonces = Vec::new();
    for _ in 0..2 {
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                // Notices that the last connection is over.
                let error = other.recv(Some(Duration::from_millis(1))).unwrap_err();
                assert_eq!(error.status(), Status::Timeout);
                other.send_data(MessageType::Data, &json!({"n": 1}))
            });
            let mut raw = Raw::accept(&listener);
            let mine = [3; 32];
            raw.say(&frame_of(MessageType::Control, &auth(Some(&mine), None)));
            let (theirs, mac) = raw.nonce();
            assert_eq!(mac.unwrap(), hmac(TOKEN, &[b"client", b"event", &mine, &theirs]));
            // The message stays where it is until the server has shown the token, too.
            raw.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(
                matches!(raw.0.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
            );
            raw.0.set_read_timeout(Some(PATIENCE)).unwrap();
            let proof = hmac(TOKEN, &[b"server", b"event", &theirs, &mine]);
            let first = frame_of(MessageType::Data, b"\x81\xa1n\x05");
            raw.say(&[frame_of(MessageType::Control, &auth(None, Some(&proof))), first].concat());
            assert_eq!(raw.hear().unwrap().get("/n").unwrap().as_i64(), Some(1));
            sending.join().unwrap().unwrap();
            nonces.push(theirs);
        });
        assert_eq!(recv(&other), json!({"n": 5}), "what came in one piece with the proof");
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn the_descriptor_leads_through_a_handshake() {
    let setup = with_token(&[]);
    let server = started(&setup);
    let other = client(&setup, &[]);
    other.open().unwrap();
    server.broadcast(MessageType::Data, &json!({"n": 1})).unwrap();
    let mut message = None;
    let count = wakes(other.fd().unwrap(), || {
        match other.recv(Some(Duration::ZERO)) {
            Ok(first) => message = Some(first),
            Err(error) => assert_eq!(error.status(), Status::Timeout, "{error}"),
        }
        message.is_some()
    });
    assert!(count < 20, "the descriptor is readable without anything to do: {count} times");
    let message = message.unwrap();
    assert_eq!(message.get("/n").unwrap().as_i64(), Some(1));
}

/// How often an event loop on this descriptor is woken until `turn` says that it is over.
fn wakes(fd: i32, mut turn: impl FnMut() -> bool) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    for count in 1.. {
        let mut watched = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one live entry, counted right.
        let ready = unsafe { libc::poll(&mut watched, 1, 10_000) };
        assert!(ready == 1 && Instant::now() < deadline, "the descriptor stays quiet");
        if turn() {
            return count;
        }
    }
    unreachable!("somebody counts beyond all numbers");
}

#[test]
fn nobody_is_woken_for_a_peer_that_stays_silent() {
    let (listener, setup) = false_server(&[]);
    let other = client(&setup, &[]);
    other.open().unwrap();
    let mut raw = None;
    let count = wakes(other.fd().unwrap(), || {
        let error = other.recv(Some(Duration::ZERO)).unwrap_err();
        raw.get_or_insert_with(|| Raw::accept(&listener));
        error.status() == Status::Permission
    });
    assert!(count < 10, "a client was woken {count} times");

    let setup = with_token(&[("default_timeout", "1")]);
    let server = tcp_server(&setup);
    server.open().unwrap();
    let mut stranger = Raw::connect(&server);
    let count = wakes(server.fd().unwrap(), || {
        let error = server.next(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.status(), Status::Timeout);
        server.stats().rejected == 1
    });
    assert!(count < 10, "a server was woken {count} times");
    stranger.nonce();
    stranger.expect_denial("silence");
}

#[test]
fn a_program_that_comes_late_judges_by_what_has_arrived() {
    let setup = with_token(&[("default_timeout", "0.3")]);
    let server = tcp_server(&setup);
    server.open().unwrap();
    let (mut known, mut silent) = (Raw::connect(&server), Raw::connect(&server));
    for raw in [&mut known, &mut silent] {
        wait_until("it is asked", || {
            assert!(!has_come(&server, Duration::ZERO));
            raw.0.set_nonblocking(true).unwrap();
            let is_asked = raw.0.peek(&mut [0]).is_ok();
            raw.0.set_nonblocking(false).unwrap();
            is_asked
        });
    }
    // Time is up before the answer comes; the program has seen neither.
    std::thread::sleep(Duration::from_millis(400));
    known.answer_for(TOKEN);
    assert!(has_come(&server, PATIENCE));
    while server.stats().rejected == 0 {
        assert!(!has_come(&server, Duration::from_millis(1)));
    }
    silent.nonce();
    silent.expect_denial("silence");
    assert_eq!(known.hear().unwrap().get("/code").unwrap().as_str(), Some("auth"));
}

#[test]
fn a_handshake_can_be_cancelled_and_disconnected() {
    let (listener, setup) = false_server(&[("default_timeout", "20")]);
    for disconnect in [false, true] {
        let other = client(&setup, &[]);
        std::thread::scope(|scope| {
            let connecting = scope.spawn(|| other.connect());
            let mut raw = Raw::accept(&listener);
            raw.say(&frame_of(MessageType::Control, &auth(Some(&[5; 32]), None)));
            raw.nonce();
            // A child that has the socket, too, does not keep the connection alive.
            let _child = Child::fork();
            let expected = match disconnect {
                true => (other.disconnect().unwrap(), Status::Closed).1,
                false => (other.cancel().unwrap(), Status::Cancelled).1,
            };
            assert_eq!(connecting.join().unwrap().unwrap_err().status(), expected);
            assert!(raw.hear().is_none(), "the connection is closed");
        });
    }
}
