//! Pieces of the library alone: `make bench-micro`.
//!
//! `sock_send_data` and the bare system call stand side by side, and so do our JSON and that of
//! `serde_json`; what differs is what the library costs.

use std::ffi::{CString, c_int};
use std::hint::black_box;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;

use divan::Bencher;
use dotsock::ffi::{
    sock_event_free, sock_options_free, sock_options_new, sock_options_set, sock_send_data,
    sock_server, sock_server_address, sock_server_free, sock_server_new, sock_server_next,
    sock_server_open,
};
use dotsock::micro::{self, Writer};
use dotsock::{Message, MessageType};
use tempfile::TempDir;

const EVENT: &str = "wallpaper_changed";
const JSON: &str = r#"{"status":"processing","progress":50,"file":"wallpaper/0001.png"}"#;
const UNIX: c_int = 0;
const DATA: c_int = 0;
/// Operations between two looks at the clock. As many messages fit into a socket, and are taken from
/// it before the clock runs again.
const TOGETHER: u32 = 64;

fn main() {
    divan::main();
}

/// The map {"b": bin} with 64 bytes in it.
fn payload() -> Vec<u8> {
    let mut data = b"\x81\xa1b\xc4\x40".to_vec();
    data.resize(5 + 64, 7);
    data
}

fn message() -> Message {
    Message::from_msgpack(EVENT, MessageType::Data, &payload()).expect("a valid payload")
}

/// A message as it travels, with its length in front.
fn frame() -> Vec<u8> {
    let message = message();
    let envelope = message.envelope();
    let mut frame = (envelope.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(envelope);
    frame
}

// --- The envelope --------------------------------------------------------------------------------

/// With a fresh timestamp each time.
#[divan::bench]
fn envelope_written(bencher: Bencher) {
    let (mut writer, mut out) = (Writer::new(EVENT), Vec::with_capacity(1024));
    bencher.bench_local(|| {
        out.clear();
        writer.write(black_box(69), &mut out);
        black_box(&out);
    });
}

#[divan::bench]
fn envelope_checked(bencher: Bencher) {
    let frame = frame();
    assert!(micro::is_valid(&frame));
    bencher.bench_local(|| micro::is_valid(black_box(&frame)));
}

// --- Sending to a client that only reads ---------------------------------------------------------

fn drain(socket: &mut UnixStream) {
    let mut room = [0; 65536];
    loop {
        match socket.read(&mut room) {
            Ok(0) => panic!("the other side is gone"),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// An opened server writes each message before it returns: a system call for each.
struct Server {
    handle: *mut sock_server,
    client: UnixStream,
    _directory: TempDir,
}

impl Server {
    fn new() -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = CString::new(directory.path().as_os_str().as_encoded_bytes()).expect("a path");
        let event = CString::new(EVENT).expect("a name");
        // SAFETY: every text ends with a NUL and outlives its call; the handles are used by this
        // thread alone, and each is freed once.
        unsafe {
            let options = sock_options_new();
            assert_eq!(sock_options_set(options, c"socket_dir".as_ptr(), path.as_ptr()), 0);
            let handle = sock_server_new(UNIX, event.as_ptr(), options);
            sock_options_free(options);
            assert!(!handle.is_null());
            assert_eq!(sock_server_open(handle), 0);
            let address = std::ffi::CStr::from_ptr(sock_server_address(handle));
            let client = UnixStream::connect(address.to_str().expect("a path")).expect("a server");
            client.set_nonblocking(true).expect("a socket");
            let mut event = ptr::null_mut();
            assert_eq!(sock_server_next(handle, 10_000, &mut event), 0);
            sock_event_free(event);
            Server { handle, client, _directory: directory }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: the handle is that of a server that nobody else has, and is not used again.
        unsafe { sock_server_free(self.handle) }
    }
}

#[divan::bench(sample_size = TOGETHER)]
fn send_data(bencher: Bencher) {
    let (mut server, data) = (Server::new(), payload());
    let handle = server.handle;
    bencher.with_inputs(|| drain(&mut server.client)).bench_local_values(|()| {
        // SAFETY: the server lives, and the payload has that many bytes.
        let status =
            unsafe { sock_send_data(handle, DATA, data.as_ptr().cast(), data.len(), ptr::null()) };
        assert_eq!(status, 0);
    });
}

#[divan::bench(sample_size = TOGETHER)]
fn send_system_call(bencher: Bencher) {
    let (sender, mut receiver) = UnixStream::pair().expect("a pair of sockets");
    receiver.set_nonblocking(true).expect("a socket");
    let frame = frame();
    bencher.with_inputs(|| drain(&mut receiver)).bench_local_values(|()| {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the frame has that many bytes.
        let sent =
            unsafe { libc::send(sender.as_raw_fd(), frame.as_ptr().cast(), frame.len(), flags) };
        assert_eq!(sent, frame.len() as isize);
    });
}

// --- JSON ----------------------------------------------------------------------------------------

#[divan::bench(sample_size = TOGETHER)]
fn json_in() -> Message {
    Message::from_json(EVENT, MessageType::Data, black_box(JSON)).expect("valid JSON")
}

#[divan::bench(sample_size = TOGETHER)]
fn json_in_serde_json() -> serde_json::Value {
    serde_json::from_str(black_box(JSON)).expect("valid JSON")
}

/// A message keeps its JSON, so each iteration has a message of its own.
#[divan::bench(sample_size = TOGETHER)]
fn json_out(bencher: Bencher) {
    bencher
        .with_inputs(|| Message::from_json(EVENT, MessageType::Data, JSON).expect("valid JSON"))
        .bench_local_refs(|message| message.data_json().map(str::len).expect("a payload"));
}

#[divan::bench(sample_size = TOGETHER)]
fn json_out_serde_json(bencher: Bencher) {
    let value: serde_json::Value = serde_json::from_str(JSON).expect("valid JSON");
    bencher.bench_local(|| serde_json::to_string(black_box(&value)).expect("a value"));
}
