//! What the tests of clients share: servers made of bare sockets, and short words for both sides.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::fd::RawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dotsock::{Client, Message, MessageType, Options, Status, Transport};
use serde_json::json;
use tempfile::TempDir;

use crate::common::{PATIENCE, framed};

pub const SOON: Option<Duration> = Some(PATIENCE);
pub const NOW: Option<Duration> = Some(Duration::ZERO);
/// How long to look for something that must not come.
pub const A_WHILE: Duration = Duration::from_millis(150);

/// A socket directory of its own, in which the test is the server.
pub struct Place {
    pub directory: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    pub fn listen(&self) -> UnixListener {
        let path = self.directory.path().join("event.sock");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    }

    pub fn options(&self, options: &[(&str, &str)]) -> Options {
        let mut all = Options::new().unwrap();
        let directory = self.directory.path().to_str().unwrap();
        all.set("socket_dir", Some(directory)).unwrap();
        for (key, value) in options {
            all.set(key, Some(value)).unwrap();
        }
        all
    }

    pub fn client(&self, options: &[(&str, &str)]) -> Client {
        Client::new(Transport::Unix, "event", &self.options(options)).unwrap()
    }

    /// A client that is connected, and the server's end.
    pub fn connected(&self, options: &[(&str, &str)]) -> (Client, UnixStream, UnixListener) {
        let listener = self.listen();
        let client = self.client(options);
        client.connect().unwrap();
        let server = accept(&listener);
        (client, server, listener)
    }
}

pub fn tcp_pair(options: &[(&str, &str)]) -> (Client, TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut all = Options::new().unwrap();
    all.set("port", Some(&port)).unwrap();
    for (key, value) in options {
        all.set(key, Some(value)).unwrap();
    }
    let client = Client::new(Transport::Tcp, "event", &all).unwrap();
    client.connect().unwrap();
    let server = listener.accept().unwrap().0;
    server.set_read_timeout(SOON).unwrap();
    (client, server, listener)
}

pub fn try_accept(listener: &UnixListener, time: Duration) -> Option<UnixStream> {
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(SOON).unwrap();
                return Some(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        if start.elapsed() > time {
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

pub fn accept(listener: &UnixListener) -> UnixStream {
    try_accept(listener, PATIENCE).expect("nobody connected")
}

pub fn data(number: i64) -> Vec<u8> {
    framed(&Message::new("event", MessageType::Data, &json!({ "n": number })).unwrap())
}

pub fn data_of(range: std::ops::Range<i64>) -> Vec<u8> {
    range.flat_map(data).collect()
}

pub fn error(payload: serde_json::Value) -> Vec<u8> {
    framed(&Message::new("event", MessageType::Error, &payload).unwrap())
}

pub fn malformed() -> Vec<u8> {
    vec![0, 0, 0, 1, 0xc0]
}

pub fn number(message: &Message) -> i64 {
    message.get("/n").and_then(|n| n.as_i64()).expect("no number")
}

pub fn recv(client: &Client) -> i64 {
    number(&client.recv(SOON).unwrap())
}

pub fn failure(client: &Client, timeout: Option<Duration>) -> Status {
    client.recv(timeout).expect_err("a message came").status()
}

pub fn send(client: &Client, number: i64) -> Result<(), Status> {
    client.send_data(MessageType::Data, &json!({ "n": number })).map_err(|error| error.status())
}

/// Whether a descriptor is readable, or becomes so within `time`.
pub fn is_readable(fd: RawFd, time: Duration) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    let count = unsafe { libc::poll(&mut entry, 1, time.as_millis() as i32) };
    assert!(count >= 0);
    count == 1
}

/// What recv polls for while the descriptor says that there is something to do; then it is quiet.
pub fn drain(client: &Client, fd: RawFd) -> Vec<Result<i64, Status>> {
    let mut seen = Vec::new();
    let start = Instant::now();
    while is_readable(fd, Duration::ZERO) {
        assert!(start.elapsed() < PATIENCE, "the descriptor never gets quiet");
        match client.recv(NOW) {
            Ok(message) => seen.push(Ok(number(&message))),
            Err(error) if error.status() == Status::Timeout => {}
            Err(error) => seen.push(Err(error.status())),
        }
    }
    seen
}

/// Sends until the socket is full; how many were sent.
pub fn fill(client: &Client) -> i64 {
    let text = "x".repeat(8000);
    (0..)
        .find(|n| client.send_data(MessageType::Data, &json!({"n": n, "t": text})).is_err())
        .unwrap()
}

pub static HANDLED: AtomicBool = AtomicBool::new(false);

extern "C" fn handle(_: libc::c_int) {
    HANDLED.store(true, Ordering::SeqCst);
}

/// Sends a signal to a thread, over and over, until its call has ended.
pub fn interrupt<R: Send>(call: impl FnOnce() -> R + Send) -> R {
    // SAFETY: the handler only stores to an atomic.
    unsafe { libc::signal(libc::SIGUSR1, handle as *const () as libc::sighandler_t) };
    thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let caller = scope.spawn(move || {
            // SAFETY: pthread_self cannot fail.
            tell.send(unsafe { libc::pthread_self() }).unwrap();
            call()
        });
        let thread = told.recv().unwrap();
        while !caller.is_finished() {
            thread::sleep(Duration::from_millis(5));
            // SAFETY: the thread is not joined yet, so its id is valid.
            unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
        }
        caller.join().unwrap()
    })
}
