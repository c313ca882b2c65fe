//! A message that there is no memory for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use dotsock::{Client, Event, Message, MessageType, Options, Server, Status, Transport};
use serde_json::json;
use tempfile::TempDir;

const SOON: Option<Duration> = Some(Duration::from_secs(20));
const NOW: Option<Duration> = Some(Duration::ZERO);

/// Refuses memory to a thread, so many times and for something small, from so many bytes on: what a
/// message needs besides its frame, or the first places in a queue.
struct Scarce;

thread_local! {
    static REFUSES: Cell<(u32, usize)> = const { Cell::new((0, 0)) };
}

#[global_allocator]
static MEMORY: Scarce = Scarce;

// SAFETY: all of it is the system's, or nothing.
unsafe impl GlobalAlloc for Scarce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (times, from) = REFUSES.get();
        if times > 0 && (from..=200).contains(&layout.size()) {
            REFUSES.set((times - 1, from));
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What `call` says where there is no memory for a message.
fn without_memory<R>(call: impl FnOnce() -> R) -> R {
    REFUSES.set((1, 64));
    let result = call();
    assert_eq!(REFUSES.take().0, 0, "it needed no memory");
    result
}

fn options(directory: &TempDir) -> Options {
    let mut options = Options::new().unwrap();
    options.set("socket_dir", directory.path().to_str()).unwrap();
    options
}

/// A frame of a size at which its memory is handed over.
fn frame(number: usize) -> Vec<u8> {
    let data = json!({ "number": number, "text": "x".repeat(40_000) });
    let message = Message::new("event", MessageType::Data, &data).unwrap();
    [&(message.envelope().len() as u32).to_be_bytes(), message.envelope()].concat()
}

fn number(message: &Message) -> usize {
    message.get("/number").unwrap().as_u64().unwrap() as usize
}

#[test]
fn a_client_gets_a_large_message_once_there_is_memory_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("event.sock")).unwrap();
    let client = Client::new(Transport::Unix, "event", &options(&directory)).unwrap();
    client.connect().unwrap();
    let mut server = listener.accept().unwrap().0;
    for sent in 1..3 {
        server.write_all(&frame(sent)).unwrap();
        let error = without_memory(|| client.recv(SOON)).unwrap_err();
        assert_eq!(error.status(), Status::NoMemory);
        assert_eq!(number(&client.recv(NOW).unwrap()), sent);
    }
}

#[test]
fn a_server_drops_a_large_message_that_it_has_no_memory_for_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(Transport::Unix, "event", &options(&directory)).unwrap();
    server.open().unwrap();
    let mut client = UnixStream::connect(directory.path().join("event.sock")).unwrap();
    assert!(matches!(server.next(SOON), Ok(Event::Connected { .. })));
    for sent in 1..3 {
        client.write_all(&frame(0)).unwrap();
        let error = without_memory(|| server.next(NOW)).unwrap_err();
        assert_eq!((error.status(), server.stats().malformed), (Status::Timeout, sent as u64));
        client.write_all(&frame(sent)).unwrap();
        let event = server.next(SOON);
        let Ok(Event::Message { message, .. }) = event else { panic!("{event:?}") };
        assert_eq!(number(&message), sent);
    }
}

/// There is none to queue a message in, and none to note that it was dropped.
#[test]
fn a_message_for_a_slow_client_that_there_is_no_memory_to_queue_is_an_error_and_no_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(Transport::Unix, "event", &options(&directory)).unwrap();
    server.open().unwrap();
    let _client = UnixStream::connect(directory.path().join("event.sock")).unwrap();
    let Ok(Event::Connected { client_id, .. }) = server.next(SOON) else { panic!("nobody came") };
    let data = json!({ "text": "x".repeat(1000) });
    let message = Message::new("event", MessageType::Data, &data).unwrap();
    let error = loop {
        REFUSES.set((u32::MAX, 96));
        let result = server.send(&message, Some(&client_id));
        REFUSES.take();
        if let Err(error) = result {
            break error;
        }
    };
    assert_eq!(error.status(), Status::NoMemory);
    assert_eq!(server.stats().messages_dropped, 1);
    server.send(&message, Some(&client_id)).unwrap();
}
