//! Clients whose server does not read, or sends without end: what one thread leaves undone, another
//! must go on with, and nothing grows or lasts without bound.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use dotsock::{Client, Message, MessageType, Status, Transport};
use serde_json::json;

mod common;
use common::{PATIENCE, Peer, Setup, wait_until};

/// A client that is connected to a bare socket, and that socket.
fn connected(setup: &Setup) -> (Client, Peer, UnixListener) {
    let listener = UnixListener::bind(setup.directory.path().join("event.sock")).unwrap();
    let client = Client::new(Transport::Unix, "event", &setup.options).unwrap();
    client.connect().unwrap();
    let (stream, _) = listener.accept().unwrap();
    (client, Peer::new(stream), listener)
}

fn send_large(client: &Client) {
    let text = "x".repeat(2 << 20);
    client.send_data(MessageType::Data, &json!({ "text": text })).unwrap();
}

/// Waits until a thread of this process sleeps in a system call.
fn wait_until_asleep(thread: libc::pid_t) {
    wait_until("a thread sleeps", || {
        let path = format!("/proc/self/task/{thread}/stat");
        std::fs::read_to_string(path).is_ok_and(|stat| stat.contains(") S "))
    });
}

#[test]
fn a_receiver_that_sleeps_writes_the_rest_of_what_another_thread_sent() {
    let setup = Setup::new(&[]);
    let (client, mut server, _listener) = connected(&setup);
    thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let client = &client;
        let receiver = scope.spawn(move || {
            // SAFETY: gettid cannot fail.
            tell.send(unsafe { libc::gettid() }).unwrap();
            client.recv(Some(PATIENCE)).map(|message| message.get("/answer").is_some())
        });
        wait_until_asleep(told.recv().unwrap());
        send_large(client);
        // The server answers once it has all of it.
        assert!(server.hear().is_some());
        server.say(&json!({ "answer": 1 }));
        assert!(receiver.join().unwrap().unwrap());
    });
}
