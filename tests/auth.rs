//! TCP with a token: who does not know it gets nothing and is heard by nobody, on either side.
//!
//! Peers made of bare sockets do by hand what the protocol says, and what it forbids.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{PATIENCE, Setup, wait_until};
use dotsock::{Client, Event, Message, MessageType, Server, Status, Transport};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

const TOKEN: &str = "a token that nobody guesses";

// ---- helpers ----

fn tcp_server(setup: &Setup) -> Server {
    Server::new(Transport::Tcp, "event", &setup.options).unwrap()
}

fn started(setup: &Setup) -> Server {
    let server = tcp_server(setup);
    server.start().unwrap();
    server
}

fn with_token(more: &[(&str, &str)]) -> Setup {
    Setup::new(&[&[("token", TOKEN), ("port", "0")], more].concat())
}

fn client(setup: &Setup, options: &[(&str, Option<&str>)]) -> Client {
    let mut own = setup.options.clone();
    for (key, value) in options {
        own.set(key, Some(value.unwrap_or_default())).unwrap();
    }
    Client::new(Transport::Tcp, "event", &own).unwrap()
}

/// One end of a TCP connection that speaks by hand.
struct Raw(TcpStream);

impl Drop for Raw {
    fn drop(&mut self) {
        // A child that another test has forked may have it open, too.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// The payload of a message of the handshake.
fn auth(nonce: Option<&[u8]>, mac: Option<&[u8]>) -> Vec<u8> {
    let mut pairs = vec![("code".into(), "auth".into())];
    for (key, value) in [("nonce", nonce), ("mac", mac)] {
        pairs.extend(value.map(|bytes| (key.into(), rmpv::Value::from(bytes))));
    }
    let mut payload = Vec::new();
    rmpv::encode::write_value(&mut payload, &rmpv::Value::Map(pairs)).unwrap();
    payload
}

fn framed(message_type: MessageType, payload: &[u8]) -> Vec<u8> {
    let message = Message::from_msgpack("event", message_type, payload).unwrap();
    let body = message.envelope();
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

fn hmac(token: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

impl Raw {
    fn connect(server: &Server) -> Raw {
        Raw::new(TcpStream::connect(("127.0.0.1", server.port())).unwrap())
    }

    fn new(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw(stream)
    }

    fn accept(listener: &TcpListener) -> Raw {
        let mut watched =
            libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live entry, counted right.
        assert_eq!(unsafe { libc::poll(&mut watched, 1, 10_000) }, 1, "nobody connects");
        Raw::new(listener.accept().unwrap().0)
    }

    fn hear(&mut self) -> Option<Message> {
        let mut length = [0; 4];
        match self.0.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing came"),
            Err(_) => return None,
        }
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).unwrap();
        Some(Message::from_envelope(&body).unwrap())
    }

    /// The nonce in a question or an answer.
    fn nonce(&mut self) -> (Vec<u8>, Option<Vec<u8>>) {
        let message = self.hear().expect("a message of the handshake");
        assert_eq!(message.message_type(), MessageType::Control);
        assert_eq!(message.event_name(), "event");
        assert_eq!(message.get("/code").unwrap().as_str(), Some("auth"));
        let bytes = |key| Some(message.get(key)?.as_bytes().expect("binary").to_vec());
        (bytes("/nonce").expect("a nonce"), bytes("/mac"))
    }

    fn say(&mut self, bytes: &[u8]) {
        // A peer that was turned away may have reset the connection.
        let _ = self.0.write_all(bytes);
    }

    fn answer(&mut self, nonce: &[u8], mac: &[u8]) {
        self.say(&framed(MessageType::Control, &auth(Some(nonce), Some(mac))));
    }

    /// Says what proves that it knows the token, and returns the server's nonce.
    fn answer_for(&mut self, token: &str) -> Vec<u8> {
        let (theirs, _) = self.nonce();
        let mine = [7; 32];
        self.answer(&mine, &hmac(token, &[b"client", b"event", &theirs, &mine]));
        theirs
    }

    /// Does what the protocol says.
    fn pass(server: &Server, token: &str) -> Raw {
        let mut raw = Raw::connect(server);
        let theirs = raw.answer_for(token);
        let mine = [7; 32];
        let proof = raw.hear().expect("the end of the handshake");
        assert_eq!(
            proof.get("/mac").unwrap().as_bytes().unwrap(),
            hmac(token, &[b"server", b"event", &mine, &theirs])
        );
        assert!(proof.get("/nonce").is_none());
        raw
    }

    fn expect_denial(&mut self, why: &str) {
        let message = self.hear().unwrap_or_else(|| panic!("{why}: closed without a word"));
        assert_eq!(message.message_type(), MessageType::Error, "{why}");
        assert_eq!(message.get("/code").unwrap().as_str(), Some("auth_denied"), "{why}");
        assert!(!message.get("/message").unwrap().as_str().unwrap().is_empty(), "{why}");
        assert!(self.hear().is_none(), "{why}: something came after the denial");
    }
}

fn recv(client: &Client) -> serde_json::Value {
    client.recv(Some(PATIENCE)).unwrap().decode().unwrap()
}

// ---- the server ----

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

    let control = |payload: &[u8]| framed(MessageType::Control, payload);
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
            Box::new(|theirs| framed(MessageType::Data, &auth(Some(&mine), Some(&good(theirs))))),
        ),
        (
            "a message first",
            Box::new(|theirs| {
                let answer = control(&auth(Some(&mine), Some(&good(theirs))));
                [framed(MessageType::Data, &[0x80]), answer].concat()
            }),
        ),
        (
            "a message too early",
            Box::new(|theirs| {
                let answer = control(&auth(Some(&mine), Some(&good(theirs))));
                [answer, framed(MessageType::Data, &[0x80])].concat()
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
    for byte in framed(MessageType::Control, &auth(Some(&mine), Some(&mac))) {
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

/// Whether the next event is that a client has come.
fn has_come(server: &Server, patience: Duration) -> bool {
    matches!(server.next(Some(patience)), Ok(Event::Connected { .. }))
}

/// Whether nobody is closed of many who come while the program is busy, and who have no time to
/// answer while it catches up.
fn is_crowd_let_in() -> bool {
    let setup = with_token(&[("default_timeout", "30")]);
    let server = tcp_server(&setup);
    server.open().unwrap();
    let mut crowd: Vec<_> = (0..160).map(|_| Raw::connect(&server)).collect();
    for _ in 0..20 {
        assert!(!has_come(&server, Duration::ZERO));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| crowd.iter_mut().for_each(|raw| drop(raw.answer_for(TOKEN))));
        let begun = Instant::now();
        let has_judged_all = || server.stats().connections + server.stats().rejected == 160;
        while !has_judged_all() {
            assert!(begun.elapsed() < PATIENCE, "{:?}", server.stats());
            has_come(&server, Duration::from_millis(1));
        }
    });
    let is_proof = |raw: &mut Raw| raw.hear().is_some_and(|message| message.get("/mac").is_some());
    let let_in = crowd.iter_mut().filter_map(|raw| is_proof(raw).then_some(())).count();
    assert_eq!(let_in as u64, server.stats().connections);
    let_in == 160
}

#[test]
fn a_crowd_that_knows_the_token_is_let_in_without_exception() {
    // On a machine that is busy, somebody may be too slow.
    assert!((0..10).any(|_| is_crowd_let_in()));
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

// ---- the client ----

/// A server made of a bare socket, and the options that lead to it.
fn false_server(more: &[(&str, &str)]) -> (TcpListener, Setup) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let setup = Setup::new(
        &[&[("token", TOKEN), ("port", &*port), ("default_timeout", "1")], more].concat(),
    );
    (listener, setup)
}

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
    let question = || framed(MessageType::Control, &auth(Some(&mine), None));
    let control = |payload: &[u8]| framed(MessageType::Control, payload);
    type Play<'a> = Box<dyn FnOnce(Raw) + Send + 'a>;
    let hold = |mut raw: Raw| while raw.hear().is_some() {};
    let plays: Vec<(&str, Play)> = vec![
        ("did not ask", Box::new(hold)),
        (
            "sends without asking",
            Box::new(|mut raw| {
                raw.say(&framed(MessageType::Data, &[0x80]));
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
                raw.say(&framed(MessageType::Data, &[0x80]));
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
                raw.say(&framed(MessageType::Error, payload));
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
            raw.say(&framed(MessageType::Control, &auth(Some(&mine), None)));
            let (theirs, mac) = raw.nonce();
            assert_eq!(mac.unwrap(), hmac(TOKEN, &[b"client", b"event", &mine, &theirs]));
            // The message stays where it is until the server has shown the token, too.
            raw.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(
                matches!(raw.0.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
            );
            raw.0.set_read_timeout(Some(PATIENCE)).unwrap();
            let proof = hmac(TOKEN, &[b"server", b"event", &theirs, &mine]);
            let first = framed(MessageType::Data, b"\x81\xa1n\x05");
            raw.say(&[framed(MessageType::Control, &auth(None, Some(&proof))), first].concat());
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
            raw.say(&framed(MessageType::Control, &auth(Some(&[5; 32]), None)));
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

fn open_sockets() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// A forked child that has everything open that this process has, until this value is dropped.
struct Child(libc::pid_t);

impl Child {
    fn fork() -> Child {
        // SAFETY: the child only waits to be killed.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: takes nothing; an end by SIGALRM comes in any case.
            unsafe {
                libc::alarm(60);
                libc::pause();
                libc::_exit(0)
            };
        }
        Child(child)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: kills and waits for the child made above.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

#[test]
fn who_is_turned_away_sees_the_end_though_a_child_has_the_socket() {
    let setup = with_token(&[]);
    let server = started(&setup);
    // More than are let go of with care at a time.
    let mut strangers: Vec<_> = (0..40).map(|_| Raw::connect(&server)).collect();
    for stranger in &mut strangers {
        stranger.nonce();
    }
    let _child = Child::fork();
    for stranger in &mut strangers {
        stranger.say(&[0xff; 4]);
    }
    for stranger in &mut strangers {
        while stranger.hear().is_some() {}
    }
}

#[test]
fn a_stop_closes_those_who_wait_though_a_child_has_their_sockets() {
    let setup = with_token(&[]);
    let server = started(&setup);
    let mut stranger = Raw::connect(&server);
    stranger.nonce();
    let _child = Child::fork();
    server.stop().unwrap();
    assert!(stranger.hear().is_none());
}

#[test]
fn a_forked_child_does_a_handshake_no_harm() {
    let (listener, setup) = false_server(&[("default_timeout", "20")]);
    let other = &client(&setup, &[]);
    std::thread::scope(|scope| {
        let (told, thread) = std::sync::mpsc::channel();
        let connecting = scope.spawn(move || {
            // SAFETY: takes nothing and cannot fail.
            told.send(unsafe { libc::gettid() }).unwrap();
            other.connect()
        });
        let mut raw = Raw::accept(&listener);
        let mine = [5; 32];
        raw.say(&framed(MessageType::Control, &auth(Some(&mine), None)));
        let (theirs, _) = raw.nonce();
        // What is locked at the moment of a fork is left alone.
        let stat = format!("/proc/self/task/{}/stat", thread.recv().unwrap());
        wait_until("it sleeps", || std::fs::read_to_string(&stat).unwrap().contains(") S "));
        // SAFETY: the child only drops a client, makes a call on it and leaves.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_forked = other.connect().is_err_and(|error| error.status() == Status::Forked);
            let before = open_sockets();
            // SAFETY: the parent goes on with the original; this copy is used here alone.
            drop(unsafe { std::ptr::read(other) });
            // Or the connection would live on here, whatever the parent does.
            let is_closed = open_sockets() == before - 1;
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!is_forked) + 2 * i32::from(!is_closed)) };
        }
        let mut status = -1;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        let proof = hmac(TOKEN, &[b"server", b"event", &theirs, &mine]);
        raw.say(&framed(MessageType::Control, &auth(None, Some(&proof))));
        connecting.join().unwrap().unwrap();
        assert!(other.is_connected());
    });
}

// ---- the options ----

fn token_file(setup: &Setup, token: &str, mode: u32) -> String {
    let path = setup.directory.path().join("token");
    std::fs::write(&path, token).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_token_file_is_read_when_a_server_starts_and_a_client_connects() {
    let mut setup = Setup::new(&[("port", "0"), ("auto_reconnect", "false")]);
    let path = token_file(&setup, "first\n", 0o600);
    setup.options.set("token_file", Some(&path)).unwrap();
    let server = tcp_server(&setup);
    token_file(&setup, "second\n", 0o600);
    server.start().unwrap();
    client(&setup, &[("token_file", None), ("token", Some("second"))]).connect().unwrap();
    let other = client(&setup, &[]);
    other.connect().unwrap();
    other.disconnect().unwrap();
    token_file(&setup, "third\n", 0o600);
    assert_eq!(other.connect().unwrap_err().status(), Status::Permission);
}

#[test]
fn a_token_file_that_others_may_read_stops_both_sides() {
    let mut setup = Setup::new(&[("port", "0")]);
    let path = token_file(&setup, "secret\n", 0o600);
    setup.options.set("token_file", Some(&path)).unwrap();
    let server = started(&setup);
    token_file(&setup, "secret\n", 0o640);
    let errors = [tcp_server(&setup).start(), client(&setup, &[]).connect()];
    for error in errors.map(Result::unwrap_err) {
        assert_eq!(error.status(), Status::Permission);
        let text = error.to_string();
        assert!(text.contains("0640") && text.contains(&path), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = client(&setup, &[]).connect().unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Io, Some(libc::ENOENT)));
    assert!(server.is_running());
}

#[test]
fn tokens_that_contradict_each_other_are_refused() {
    let setup = with_token(&[("token_file", "/some/file")]);
    let error = tcp_server(&setup).start().unwrap_err();
    assert_eq!(error.status(), Status::Invalid);
    let text = error.to_string();
    assert!(text.contains("/some/file") && !text.contains(TOKEN), "{text}");
    let setup = with_token(&[("default_timeout", "0")]);
    let error = tcp_server(&setup).start().unwrap_err();
    assert!(error.to_string().contains("default_timeout"), "{error}");
}

#[test]
fn a_token_shows_itself_nowhere() {
    let setup = with_token(&[]);
    let mut options = setup.options.clone();
    assert_eq!(options.get("token").unwrap(), "(set)");
    assert!(!format!("{options:?}").contains(TOKEN));
    for value in ["(set)", "a\0b", &"long secret ".repeat(400)] {
        let error = options.set("token", Some(value)).unwrap_err().to_string();
        assert!(error.starts_with("token = (not shown)") && !error.contains("secret"), "{error}");
    }
    let path = setup.directory.path().join("settings.toml");
    std::fs::write(&path, "token = 271828\n").unwrap();
    let error = options.load(&path).unwrap_err().to_string();
    assert!(error.contains("line 1, column 9") && !error.contains("271828"), "{error}");
    options.set("token", Some("")).unwrap();
    assert_eq!(options.get("token").unwrap(), "");
}

// ---- what is logged ----

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }
    fn log(&self, record: &log::Record) {
        let line = format!("{} {}", record.level(), record.args());
        LOGGED.lock().unwrap().push(line);
    }
    fn flush(&self) {}
}

#[test]
fn denials_are_logged_with_the_address_and_an_open_door_is_warned_of() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let has = |parts: &[&str]| {
        let logged = LOGGED.lock().unwrap();
        logged.iter().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    let setup = with_token(&[("host", "0.0.0.0")]);
    let server = started(&setup);
    let mut raw = Raw::connect(&server);
    let address = raw.0.local_addr().unwrap().to_string();
    raw.say(&[0xff; 4]);
    raw.nonce();
    raw.expect_denial("nonsense");
    wait_until("it is logged", || has(&["WARN", &address, "auth_denied"]));
    let port = format!(":{} ", server.port());
    assert!(!has(&["without a token", &port]));

    let open = Server::new(
        Transport::Tcp,
        "open",
        &Setup::new(&[("host", "0.0.0.0"), ("port", "0")]).options,
    );
    let open = open.unwrap();
    open.start().unwrap();
    assert!(has(&["WARN", "'open'", "without a token", "token_file"]));
    let local =
        Server::new(Transport::Tcp, "local", &Setup::new(&[("port", "0")]).options).unwrap();
    local.start().unwrap();
    assert!(!has(&["'local'", "without a token"]));
    let logged = LOGGED.lock().unwrap();
    assert!(
        logged.iter().all(|line| !line.contains(TOKEN) && !line.contains("guess")),
        "{logged:?}"
    );
}
