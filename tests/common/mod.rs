//! What tests of servers share: a directory and options of their own, and clients made of bare
//! sockets that speak the wire format by hand.

#![allow(dead_code)] // each test program uses some of it

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use dotsock::{Message, MessageType, Options, Server, Transport};
use serde_json::Value;
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Setup {
    pub directory: TempDir,
    pub options: Options,
}

impl Setup {
    pub fn new(settings: &[(&str, &str)]) -> Setup {
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::new().unwrap();
        options.set("socket_dir", directory.path().to_str()).unwrap();
        for (key, value) in settings {
            options.set(key, Some(value)).unwrap();
        }
        Setup { directory, options }
    }

    pub fn server(&self) -> Server {
        Server::new(Transport::Unix, "event", &self.options).unwrap()
    }

    pub fn started(&self) -> Server {
        let server = self.server();
        server.start().unwrap();
        server
    }

    pub fn peer(&self) -> Peer {
        Peer::new(UnixStream::connect(self.directory.path().join("event.sock")).unwrap())
    }
}

/// A client made of a bare socket.
pub struct Peer {
    pub stream: UnixStream,
}

impl Peer {
    pub fn new(stream: UnixStream) -> Peer {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { stream }
    }

    pub fn frame(data: &Value) -> Vec<u8> {
        let message = Message::new("event", MessageType::Data, data).unwrap();
        let body = message.envelope();
        [&(body.len() as u32).to_be_bytes(), body].concat()
    }

    pub fn say(&mut self, data: &Value) {
        self.stream.write_all(&Peer::frame(data)).unwrap();
    }

    pub fn hear(&mut self) -> Option<Message> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            Err(error) => panic!("{error}"),
        }
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut body).unwrap();
        Some(Message::from_envelope(&body).unwrap())
    }

    pub fn hear_data(&mut self) -> Value {
        let message = self.hear().expect("the server closed the connection");
        message.decode().unwrap()
    }
}

pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

pub fn wait_for_clients(server: &Server, count: usize) {
    wait_until("clients connect", || server.clients().len() == count);
}
