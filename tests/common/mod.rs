//! What tests share: a directory and options of their own, clients made of bare sockets that speak
//! the wire format by hand, and waiting for what has to happen.

#![allow(dead_code)] // each test program uses some of it

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use dotsock::{Message, MessageType, Options, Server, Transport};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; only failures take as long.
pub const PATIENCE: Duration = Duration::from_secs(20);

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

pub fn framed(message: &Message) -> Vec<u8> {
    let body = message.envelope();
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

pub fn read_frame(stream: &mut impl Read) -> io::Result<Message> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream
        .read_exact(&mut body)
        .map_err(|error| io::Error::other(format!("within a frame: {error}")))?;
    Ok(Message::from_envelope(&body).unwrap())
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
        framed(&Message::new("event", MessageType::Data, data).unwrap())
    }

    pub fn say(&mut self, data: &Value) {
        self.stream.write_all(&Peer::frame(data)).unwrap();
    }

    pub fn hear(&mut self) -> Option<Message> {
        match read_frame(&mut self.stream) {
            Ok(message) => Some(message),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => panic!("{error}"),
        }
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
        thread::sleep(Duration::from_millis(1));
    }
}

/// A call on a thread of its own.
pub struct Call<'scope, R> {
    thread: ScopedJoinHandle<'scope, R>,
    id: libc::pid_t,
}

impl<'scope, R: Send + 'scope> Call<'scope, R> {
    pub fn begin(
        scope: &'scope Scope<'scope, '_>,
        call: impl FnOnce() -> R + Send + 'scope,
    ) -> Call<'scope, R> {
        let (tell, told) = mpsc::channel();
        let thread = scope.spawn(move || {
            // SAFETY: gettid cannot fail.
            tell.send(unsafe { libc::gettid() }).unwrap();
            call()
        });
        Call { thread, id: told.recv().unwrap() }
    }

    /// Begins it, and waits until it sleeps.
    pub fn asleep(
        scope: &'scope Scope<'scope, '_>,
        call: impl FnOnce() -> R + Send + 'scope,
    ) -> Call<'scope, R> {
        let call = Call::begin(scope, call);
        call.wait_until_asleep();
        call
    }

    /// Waits until it sleeps in a system call, or is over.
    pub fn wait_until_asleep(&self) {
        let path = format!("/proc/self/task/{}/stat", self.id);
        wait_until("a call sleeps", || {
            self.is_over() || std::fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") S "))
        });
    }

    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// What came of it.
    pub fn join(self) -> R {
        self.thread.join().unwrap()
    }
}

pub fn wait_for_clients(server: &Server, count: usize) {
    wait_until("clients connect", || server.clients().len() == count);
}
