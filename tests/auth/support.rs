//! Both sides with a token, and peers made of bare sockets that do the handshake by hand.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use dotsock::{Client, Event, Message, MessageType, Server, Transport};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::common::{PATIENCE, Setup, framed, read_frame};

pub const TOKEN: &str = "a token that nobody guesses";

pub fn tcp_server(setup: &Setup) -> Server {
    Server::new(Transport::Tcp, "event", &setup.options).unwrap()
}

pub fn started(setup: &Setup) -> Server {
    let server = tcp_server(setup);
    server.start().unwrap();
    server
}

pub fn with_token(more: &[(&str, &str)]) -> Setup {
    Setup::new(&[&[("token", TOKEN), ("port", "0")], more].concat())
}

pub fn client(setup: &Setup, options: &[(&str, Option<&str>)]) -> Client {
    let mut own = setup.options.clone();
    for (key, value) in options {
        own.set(key, Some(value.unwrap_or_default())).unwrap();
    }
    Client::new(Transport::Tcp, "event", &own).unwrap()
}

/// One end of a TCP connection that speaks by hand.
pub struct Raw(pub TcpStream);

impl Drop for Raw {
    fn drop(&mut self) {
        // A child that another test has forked may have it open, too.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// The payload of a message of the handshake.
pub fn auth(nonce: Option<&[u8]>, mac: Option<&[u8]>) -> Vec<u8> {
    let mut pairs = vec![("code".into(), "auth".into())];
    for (key, value) in [("nonce", nonce), ("mac", mac)] {
        pairs.extend(value.map(|bytes| (key.into(), rmpv::Value::from(bytes))));
    }
    let mut payload = Vec::new();
    rmpv::encode::write_value(&mut payload, &rmpv::Value::Map(pairs)).unwrap();
    payload
}

pub fn frame_of(message_type: MessageType, payload: &[u8]) -> Vec<u8> {
    framed(&Message::from_msgpack("event", message_type, payload).unwrap())
}

pub fn hmac(token: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

impl Raw {
    pub fn connect(server: &Server) -> Raw {
        Raw::new(TcpStream::connect(("127.0.0.1", server.port())).unwrap())
    }

    pub fn new(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw(stream)
    }

    pub fn accept(listener: &TcpListener) -> Raw {
        let mut watched =
            libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live entry, counted right.
        assert_eq!(unsafe { libc::poll(&mut watched, 1, 10_000) }, 1, "nobody connects");
        Raw::new(listener.accept().unwrap().0)
    }

    pub fn hear(&mut self) -> Option<Message> {
        match read_frame(&mut self.0) {
            Ok(message) => Some(message),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Other) => {
                panic!("nothing more came: {error}")
            }
            Err(_) => None,
        }
    }

    /// The nonce in a question or an answer.
    pub fn nonce(&mut self) -> (Vec<u8>, Option<Vec<u8>>) {
        let message = self.hear().expect("a message of the handshake");
        assert_eq!(message.message_type(), MessageType::Control);
        assert_eq!(message.event_name(), "event");
        assert_eq!(message.get("/code").unwrap().as_str(), Some("auth"));
        let bytes = |key| Some(message.get(key)?.as_bytes().expect("binary").to_vec());
        (bytes("/nonce").expect("a nonce"), bytes("/mac"))
    }

    pub fn say(&mut self, bytes: &[u8]) {
        // A peer that was turned away may have reset the connection.
        let _ = self.0.write_all(bytes);
    }

    pub fn answer(&mut self, nonce: &[u8], mac: &[u8]) {
        self.say(&frame_of(MessageType::Control, &auth(Some(nonce), Some(mac))));
    }

    /// Says what proves that it knows the token, and returns the server's nonce.
    pub fn answer_for(&mut self, token: &str) -> Vec<u8> {
        let (theirs, _) = self.nonce();
        let mine = [7; 32];
        self.answer(&mine, &hmac(token, &[b"client", b"event", &theirs, &mine]));
        theirs
    }

    /// Does what the protocol says.
    pub fn pass(server: &Server, token: &str) -> Raw {
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

    pub fn expect_denial(&mut self, why: &str) {
        let message = self.hear().unwrap_or_else(|| panic!("{why}: closed without a word"));
        assert_eq!(message.message_type(), MessageType::Error, "{why}");
        assert_eq!(message.get("/code").unwrap().as_str(), Some("auth_denied"), "{why}");
        assert!(!message.get("/message").unwrap().as_str().unwrap().is_empty(), "{why}");
        assert!(self.hear().is_none(), "{why}: something came after the denial");
    }
}

pub fn recv(client: &Client) -> serde_json::Value {
    client.recv(Some(PATIENCE)).unwrap().decode().unwrap()
}

/// A server made of a bare socket, and the options that lead to it.
pub fn false_server(more: &[(&str, &str)]) -> (TcpListener, Setup) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let setup = Setup::new(
        &[&[("token", TOKEN), ("port", &*port), ("default_timeout", "1")], more].concat(),
    );
    (listener, setup)
}

/// Whether the next event is that a client has come.
pub fn has_come(server: &Server, patience: Duration) -> bool {
    matches!(server.next(Some(patience)), Ok(Event::Connected { .. }))
}

/// A forked child that has everything open that this process has, until this value is dropped.
pub struct Child(libc::pid_t);

impl Child {
    pub fn fork() -> Child {
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
