//! Clients against servers that are raw sockets, so that every byte and its moment is chosen here.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dotsock::{Client, Message, MessageType, Options, Status, Transport};
use serde_json::json;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; only failures take as long.
const LONG: Duration = Duration::from_secs(20);
const SOON: Option<Duration> = Some(LONG);
const NOW: Option<Duration> = Some(Duration::ZERO);
/// How long to look for something that must not come.
const A_WHILE: Duration = Duration::from_millis(150);

/// A socket directory of its own, in which the test is the server.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    fn listen(&self) -> UnixListener {
        let path = self.directory.path().join("event.sock");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    }

    fn options(&self, options: &[(&str, &str)]) -> Options {
        let mut all = Options::new().unwrap();
        let directory = self.directory.path().to_str().unwrap();
        all.set("socket_dir", Some(directory)).unwrap();
        for (key, value) in options {
            all.set(key, Some(value)).unwrap();
        }
        all
    }

    fn client(&self, options: &[(&str, &str)]) -> Client {
        Client::new(Transport::Unix, "event", &self.options(options)).unwrap()
    }

    /// A client that is connected, and the server's end.
    fn connected(&self, options: &[(&str, &str)]) -> (Client, UnixStream, UnixListener) {
        let listener = self.listen();
        let client = self.client(options);
        client.connect().unwrap();
        let server = accept(&listener);
        (client, server, listener)
    }
}

fn tcp_pair(options: &[(&str, &str)]) -> (Client, TcpStream, TcpListener) {
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

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{what}: not within {LONG:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn try_accept(listener: &UnixListener, time: Duration) -> Option<UnixStream> {
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

fn accept(listener: &UnixListener) -> UnixStream {
    try_accept(listener, LONG).expect("nobody connected")
}

fn framed(message: &Message) -> Vec<u8> {
    let body = message.envelope();
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn data(number: i64) -> Vec<u8> {
    framed(&Message::new("event", MessageType::Data, &json!({ "n": number })).unwrap())
}

fn data_of(range: std::ops::Range<i64>) -> Vec<u8> {
    range.flat_map(data).collect()
}

fn error(payload: serde_json::Value) -> Vec<u8> {
    framed(&Message::new("event", MessageType::Error, &payload).unwrap())
}

fn malformed() -> Vec<u8> {
    vec![0, 0, 0, 1, 0xc0]
}

fn number(message: &Message) -> i64 {
    message.get("/n").and_then(|n| n.as_i64()).expect("no number")
}

fn recv(client: &Client) -> i64 {
    number(&client.recv(SOON).unwrap())
}

fn failure(client: &Client, timeout: Option<Duration>) -> Status {
    client.recv(timeout).expect_err("a message came").status()
}

fn send(client: &Client, number: i64) -> Result<(), Status> {
    client.send_data(MessageType::Data, &json!({ "n": number })).map_err(|error| error.status())
}

/// Reads one frame as a server does.
fn read_frame(stream: &mut impl Read) -> std::io::Result<Message> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let mut body = vec![0; u32::from_be_bytes(header) as usize];
    stream.read_exact(&mut body)?;
    Ok(Message::from_envelope(&body).unwrap())
}

/// Whether a descriptor is readable, or becomes so within `time`.
fn is_readable(fd: RawFd, time: Duration) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    let count = unsafe { libc::poll(&mut entry, 1, time.as_millis() as i32) };
    assert!(count >= 0);
    count == 1
}

/// What recv polls for while the descriptor says that there is something to do; then it is quiet.
fn drain(client: &Client, fd: RawFd) -> Vec<Result<i64, Status>> {
    let mut seen = Vec::new();
    let start = Instant::now();
    while is_readable(fd, Duration::ZERO) {
        assert!(start.elapsed() < LONG, "the descriptor never gets quiet");
        match client.recv(NOW) {
            Ok(message) => seen.push(Ok(number(&message))),
            Err(error) if error.status() == Status::Timeout => {}
            Err(error) => seen.push(Err(error.status())),
        }
    }
    seen
}

// Receiving

#[test]
fn messages_arrive_in_order_however_their_bytes_are_split() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    server.write_all(&data_of(0..100)).unwrap();
    for expected in 0..100 {
        assert_eq!(recv(&client), expected);
    }
    for byte in data_of(100..103) {
        server.write_all(&[byte]).unwrap();
        let _ = client.recv(NOW).map(|message| assert!(number(&message) >= 100));
    }
    let frames = data_of(200..202);
    for cut in 1..frames.len() {
        server.write_all(&frames[..cut]).unwrap();
        if cut < frames.len() / 2 {
            assert_eq!(failure(&client, NOW), Status::Timeout);
        }
        server.write_all(&frames[cut..]).unwrap();
        assert_eq!((recv(&client), recv(&client)), (200, 201));
    }
    let stats = client.stats();
    assert_eq!(stats.malformed, 0);
    assert_eq!(stats.messages_received, 103 + 2 * (frames.len() as u64 - 1));
}

#[test]
fn what_was_read_and_not_taken_is_known_without_a_look_at_the_socket() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    assert!(!client.has_next());
    // One write, so that one read has all of it; the last frame is not whole.
    let last = data(3);
    let (begun, rest) = last.split_at(20);
    server.write_all(&[&data_of(0..3), begun].concat()).unwrap();
    for expected in 0..3 {
        assert_eq!(recv(&client), expected);
        assert_eq!(client.has_next(), expected < 2);
    }
    server.write_all(rest).unwrap();
    assert!(!client.has_next(), "it has looked");
    assert_eq!(recv(&client), 3);
    // What another call has read counts, too.
    server.write_all(&data(4)).unwrap();
    wait_until("it has been read", || client.buffer_size() == 1);
    assert!(client.has_next());
    client.clear_buffer().unwrap();
    assert!(!client.has_next());
}

#[test]
fn a_timeout_passes_and_nothing_is_lost() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let start = Instant::now();
    assert_eq!(failure(&client, Some(Duration::from_millis(80))), Status::Timeout);
    assert!(start.elapsed() >= Duration::from_millis(80));
    server.write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
}

#[test]
fn large_messages_arrive_whole() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let bytes = vec![7u8; 3 << 20];
    let payload = [&[0x81, 0xa1, b'b', 0xc6][..], &(3u32 << 20).to_be_bytes(), &bytes].concat();
    let message = Message::from_msgpack("event", MessageType::Data, &payload).unwrap();
    let frame = framed(&message);
    let writer = thread::spawn(move || {
        server.write_all(&frame).unwrap();
        server.write_all(&data(2)).unwrap();
        server
    });
    assert_eq!(client.recv(SOON).unwrap().data(), payload);
    assert_eq!(recv(&client), 2);
    writer.join().unwrap();
}

#[test]
fn malformed_messages_are_dropped_and_counted_and_the_rest_arrives() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("max_depth", "3")]);
    let deep = json!({"a": {"b": {"c": {}}}});
    let deep = framed(&Message::new("event", MessageType::Data, &deep).unwrap());
    server.write_all(&[malformed(), data(1), deep, malformed(), data(2)].concat()).unwrap();
    assert_eq!((recv(&client), recv(&client)), (1, 2));
    assert_eq!(client.stats().malformed, 3);
    assert!(client.is_connected());
}

#[test]
fn without_auto_reconnect_what_had_arrived_comes_before_closed() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("auto_reconnect", "false")]);
    server.write_all(&data_of(0..3)).unwrap();
    server.write_all(&data(9)[..7]).unwrap();
    drop(server);
    wait_until("the end to be noticed", || !client.is_connected());
    assert_eq!((recv(&client), recv(&client), recv(&client)), (0, 1, 2));
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(failure(&client, NOW), Status::Closed);
    assert_eq!(send(&client, 1), Err(Status::Closed));
    assert_eq!(client.stats().malformed, 1, "the frame that was cut off");
    assert_eq!(client.address(), "");
    assert_eq!((client.server_uid(), client.server_pid()), (None, None));
}

#[test]
fn a_length_that_is_too_large_ends_the_connection_after_what_came_before() {
    let place = Place::new();
    let options = [("auto_reconnect", "false"), ("max_message_size", "1000")];
    let (client, mut server, _listener) = place.connected(&options);
    server.write_all(&[data(1), b"GET / HTTP/1.1\r\n\r\n".to_vec(), data(2)].concat()).unwrap();
    assert_eq!(recv(&client), 1);
    let error = client.recv(SOON).unwrap_err();
    assert_eq!(error.status(), Status::Message);
    assert!(error.to_string().contains("max_message_size"), "{error}");
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(client.stats().malformed, 1);
}

#[test]
fn after_garbage_an_auto_reconnecting_client_goes_on() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[]);
    server.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(failure(&client, SOON), Status::Message);
    let writer = thread::spawn(move || {
        let mut server = accept(&listener);
        server.write_all(&data(5)).unwrap();
        (server, listener)
    });
    assert_eq!(recv(&client), 5);
    writer.join().unwrap();
}

#[test]
fn a_frame_that_stays_incomplete_ends_the_connection() {
    let place = Place::new();
    let options = [("auto_reconnect", "false"), ("frame_timeout", "0.1")];
    let (client, mut server, _listener) = place.connected(&options);
    let start = Instant::now();
    server.write_all(&[data(1), data(2)[..9].to_vec()].concat()).unwrap();
    assert_eq!(recv(&client), 1);
    let error = client.recv(SOON).unwrap_err();
    assert_eq!(error.status(), Status::Closed);
    assert!(error.to_string().contains("frame_timeout"), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(client.stats().malformed, 1);
    assert_eq!(server.read(&mut [0]).unwrap(), 0, "the socket is closed");
}

#[test]
fn a_late_reader_judges_a_frame_only_after_reading_what_has_arrived() {
    let place = Place::new();
    let options = [("auto_reconnect", "false"), ("frame_timeout", "0.05")];
    let (client, mut server, _listener) = place.connected(&options);
    let frame = data(1);
    server.write_all(&frame[..9]).unwrap();
    assert_eq!(failure(&client, NOW), Status::Timeout);
    thread::sleep(Duration::from_millis(60));
    server.write_all(&frame[9..]).unwrap();
    assert_eq!(recv(&client), 1);
    // More than a second late, more of the frame starts the time anew.
    server.write_all(&frame[..9]).unwrap();
    assert_eq!(failure(&client, NOW), Status::Timeout);
    thread::sleep(Duration::from_millis(1100));
    server.write_all(&frame[9..12]).unwrap();
    assert_eq!(failure(&client, NOW), Status::Timeout);
    server.write_all(&frame[12..]).unwrap();
    assert_eq!(recv(&client), 1);
}

// Connecting, and connecting again

#[test]
fn connect_says_that_no_server_is_there() {
    let place = Place::new();
    let client = place.client(&[("auto_reconnect", "false")]);
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(send(&client, 1), Err(Status::Closed));
    let error = client.connect().unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Closed, Some(libc::ENOENT)));
    drop(place.listen());
    let error = client.connect().unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Closed, Some(libc::ECONNREFUSED)));
    assert!(!client.is_connected());
    client.disconnect().unwrap();
    let listener = place.listen();
    client.connect().unwrap();
    client.connect().unwrap();
    assert!(client.is_connected());
    let path = place.directory.path().join("event.sock");
    assert_eq!(client.address(), path.to_str().unwrap());
    assert_eq!(client.server_pid(), Some(std::process::id() as i32));
    accept(&listener);
    assert!(try_accept(&listener, Duration::ZERO).is_none(), "connected twice");
}

#[test]
fn connect_waits_for_a_full_queue_only_so_long() {
    let place = Place::new();
    let listener = place.listen();
    // SAFETY: an open socket; a second listen only changes the length of its queue.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
    let path = place.directory.path().join("event.sock");
    let _first = UnixStream::connect(path).unwrap();
    let client = place.client(&[("default_timeout", "0.1")]);
    let start = Instant::now();
    let failed = client.connect().unwrap_err();
    assert_eq!(failed.status(), Status::Timeout);
    assert!(failed.to_string().contains("queue of connections stayed full"), "{failed}");
    assert!(start.elapsed() >= Duration::from_millis(100));
    let patient = place.client(&[]);
    thread::scope(|scope| {
        let connecting = scope.spawn(|| patient.connect());
        accept(&listener);
        connecting.join().unwrap().unwrap();
    });
}

#[test]
fn a_connect_that_waits_can_be_cancelled_and_interrupted() {
    let place = Place::new();
    let listener = place.listen();
    // SAFETY: an open socket; a second listen only changes the length of its queue.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
    let path = place.directory.path().join("event.sock");
    let _first = UnixStream::connect(path).unwrap();
    let client = place.client(&[("default_timeout", "20")]);
    thread::scope(|scope| {
        let connecting = scope.spawn(|| client.connect().unwrap_err().status());
        thread::sleep(A_WHILE);
        client.cancel().unwrap();
        assert_eq!(connecting.join().unwrap(), Status::Cancelled);
    });
    let status = interrupt(|| client.connect().unwrap_err().status());
    assert_eq!(status, Status::Interrupted);
    thread::scope(|scope| {
        let connecting = [(); 3].map(|()| scope.spawn(|| client.connect()));
        let _streams = (accept(&listener), accept(&listener));
        for connecting in connecting {
            connecting.join().unwrap().unwrap();
        }
        assert!(try_accept(&listener, Duration::ZERO).is_none(), "more than one connection");
    });
}

#[test]
fn after_a_failed_lookup_the_client_was_never_told_to_connect() {
    let mut options = Options::new().unwrap();
    options.set("host", Some("no-such-host.invalid")).unwrap();
    options.set("port", Some("9")).unwrap();
    let client = Client::new(Transport::Tcp, "event", &options).unwrap();
    assert_eq!(client.connect().unwrap_err().status(), Status::Io);
    assert_eq!(failure(&client, None), Status::Closed);
    assert_eq!(client.fd(), None);
}

#[test]
fn a_path_too_long_for_a_socket_is_refused() {
    let place = Place::new();
    let directory = place.directory.path().join("x".repeat(120));
    let client = place.client(&[("socket_dir", directory.to_str().unwrap())]);
    assert_eq!(client.open().unwrap_err().status(), Status::Invalid);
    assert_eq!(client.connect().unwrap_err().status(), Status::Invalid);
}

#[test]
fn other_failures_to_connect_again_are_told_once() {
    let place = Place::new();
    let (client, server, listener) = place.connected(&[("reconnect_delay", "0.02")]);
    // Not to be trusted: others may write there.
    let mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place.directory.path(), permissions).unwrap();
    };
    mode(0o777);
    drop(server);
    assert_eq!(failure(&client, SOON), Status::Permission);
    assert_eq!(failure(&client, Some(A_WHILE)), Status::Timeout);
    mode(0o700);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(&client));
        accept(&listener).write_all(&data(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), 1);
    });
}

#[test]
fn recv_reconnects_by_itself_and_counts_it() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[]);
    server.write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
    drop((server, listener));
    let listener = thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(&client));
        wait_until("the loss", || !client.is_connected());
        let listener = place.listen();
        accept(&listener).write_all(&data(2)).unwrap();
        assert_eq!(receiver.join().unwrap(), 2);
        listener
    });
    assert_eq!(client.stats().reconnects, 1);
    // The server of the scope has closed again.
    let mut server = thread::scope(|scope| {
        let sender = scope.spawn(|| send(&client, 3));
        let server = accept(&listener);
        sender.join().unwrap().unwrap();
        server
    });
    assert_eq!(number(&read_frame(&mut server).unwrap()), 3);
}

#[test]
fn with_report_loss_closed_stands_between_the_messages_of_two_connections() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[("report_loss", "true")]);
    server.write_all(&data_of(0..2)).unwrap();
    drop(server);
    // A send connects again; what had arrived before stays receivable, in its place.
    let mut server = thread::scope(|scope| {
        let sender = scope.spawn(|| send(&client, 7));
        let server = accept(&listener);
        sender.join().unwrap().unwrap();
        server
    });
    assert_eq!(number(&read_frame(&mut server).unwrap()), 7);
    server.write_all(&data(2)).unwrap();
    assert_eq!((recv(&client), recv(&client)), (0, 1));
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(recv(&client), 2);
}

#[test]
fn attempts_are_paced_and_come_to_an_end() {
    let place = Place::new();
    let options = [("reconnect_delay", "0.05"), ("reconnect_max_attempts", "3")];
    let client = place.client(&options);
    assert_eq!(client.connect().unwrap_err().status(), Status::Closed);
    let start = Instant::now();
    let error = client.recv(SOON).unwrap_err();
    assert_eq!(error.status(), Status::Closed);
    assert!(error.to_string().contains("reconnect_max_attempts"), "{error}");
    // At once, after 50 ms, after 100 ms more; a fifth less at most.
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(120), "{waited:?}");
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(send(&client, 1), Err(Status::Closed));
    let listener = place.listen();
    assert_eq!(failure(&client, NOW), Status::Closed, "it waits to be told");
    client.connect().unwrap();
    accept(&listener).write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
}

#[test]
fn a_server_that_hangs_up_on_everybody_is_not_called_at_full_speed() {
    let place = Place::new();
    let listener = place.listen();
    let client = place.client(&[("reconnect_delay", "0.1")]);
    client.open().unwrap();
    let calls = thread::scope(|scope| {
        let receiver = scope.spawn(|| failure(&client, Some(Duration::from_millis(500))));
        let mut calls = 0;
        while !receiver.is_finished() {
            calls += u32::from(try_accept(&listener, Duration::from_millis(5)).is_some());
        }
        assert_eq!(receiver.join().unwrap(), Status::Timeout);
        calls
    });
    // At 0, 100, 300 and perhaps, with jitter, 700 ms.
    assert!((2..=5).contains(&calls), "{calls} calls");
}

#[test]
fn a_refusal_is_told_once_and_then_paced() {
    let place = Place::new();
    let refusal = error(json!({"code": "max_connections", "limit": 3, "message": "full"}));
    let (client, mut server, listener) = place.connected(&[("reconnect_delay", "0.1")]);
    server.write_all(&refusal).unwrap();
    drop(server);
    let failed = client.recv(SOON).unwrap_err();
    assert_eq!(failed.status(), Status::MaxConnections);
    assert!(!client.is_connected());
    let start = Instant::now();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| failure(&client, SOON));
        accept(&listener).write_all(&refusal).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(80), "the backoff");
        assert_eq!(receiver.join().unwrap(), Status::MaxConnections);
        // A sender is told as well.
        let sender = scope.spawn(|| (0..100_000).find_map(|n| send(&client, n).err()));
        let mut server = accept(&listener);
        server.write_all(&refusal).unwrap();
        drop(server);
        assert_eq!(sender.join().unwrap(), Some(Status::MaxConnections));
        // Later in a connection the same code is a message like another.
        let receiver = scope.spawn(|| recv(&client));
        let mut server = accept(&listener);
        server.write_all(&[data(1), refusal.clone()].concat()).unwrap();
        assert_eq!(receiver.join().unwrap(), 1);
        assert_eq!(client.recv(SOON).unwrap().message_type(), MessageType::Error);
        assert!(client.is_connected());
    });
    assert_eq!(client.stats().messages_received, 2);
}

#[test]
fn a_refusal_without_auto_reconnect_leaves_the_client_closed() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("auto_reconnect", "false")]);
    let long = "x".repeat(50_000);
    server.write_all(&error(json!({"code": "max_connections", "message": long}))).unwrap();
    let refusal = client.recv(SOON).unwrap_err();
    assert_eq!(refusal.status(), Status::MaxConnections);
    assert!(refusal.to_string().len() < 1000, "a server may say anything");
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert!(!client.is_connected());
}

#[test]
fn the_first_send_knows_of_a_refusal_that_has_arrived() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    // It goes on reading, so that the send could be written.
    server.write_all(&error(json!({"code": "max_connections"}))).unwrap();
    assert_eq!(send(&client, 1), Err(Status::MaxConnections));
}

#[test]
fn a_client_whose_server_has_gone_has_no_address() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    assert!(client.address().ends_with("/event.sock"));
    assert!(client.server_pid().is_some() && client.server_uid().is_some());
    server.write_all(&data(1)).unwrap();
    drop(server);
    assert!(!client.is_connected());
    assert_eq!(client.address(), "");
    assert!(client.server_pid().is_none() && client.server_uid().is_none());
    assert_eq!(recv(&client), 1);
}

#[test]
fn connecting_anew_forgets_the_ends_that_are_none_any_more() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[("report_loss", "true")]);
    client.disconnect().unwrap();
    client.connect().unwrap();
    drop(accept(&listener));
    assert_eq!(failure(&client, SOON), Status::Closed, "the loss alone");
    thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(&client));
        server = accept(&listener);
        server.write_all(&data(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), 1);
    });
    drop(server);
    wait_until("the loss", || !client.is_connected());
    // Refused, noticed by a look at the buffer, and connected anew before anybody was told.
    client.connect().unwrap();
    let refusal = error(json!({"code": "max_connections"}));
    accept(&listener).write_all(&refusal).unwrap();
    wait_until("the refusal", || !client.is_connected() || client.buffer_size() > 0);
    client.buffer_size();
    client.connect().unwrap();
    let mut server = accept(&listener);
    server.write_all(&data(2)).unwrap();
    assert_eq!(failure(&client, SOON), Status::Closed, "the loss");
    assert_eq!(recv(&client), 2);
}

#[test]
fn open_connects_without_being_waited_for() {
    let place = Place::new();
    let client = place.client(&[]);
    assert_eq!(client.fd(), None);
    client.open().unwrap();
    let fd = client.fd().unwrap();
    assert!(is_readable(fd, LONG), "an attempt is due");
    let listener = place.listen();
    let mut server = None;
    wait_until("the connection", || {
        let _ = client.recv(NOW);
        client.is_connected()
    });
    server.get_or_insert(accept(&listener)).write_all(&data(4)).unwrap();
    assert!(is_readable(fd, LONG));
    assert_eq!(recv(&client), 4);
    assert_eq!(client.stats().reconnects, 0);
    client.disconnect().unwrap();
    assert_eq!(client.fd(), Some(fd));

    let manual = place.client(&[("auto_reconnect", "false")]);
    assert_eq!(manual.open().unwrap_err().status(), Status::State);
    let options = place.options(&[("host", "localhost"), ("port", "9")]);
    let named = Client::new(Transport::Tcp, "event", &options).unwrap();
    assert_eq!(named.open().unwrap_err().status(), Status::State);
}

#[test]
fn tcp_servers_are_found_by_name_and_refusals_have_the_os_error() {
    let (client, mut server, listener) = tcp_pair(&[]);
    let port = listener.local_addr().unwrap().port();
    assert_eq!(client.address(), format!("127.0.0.1:{port}"));
    assert_eq!((client.server_uid(), client.server_pid()), (None, None));
    server.write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
    drop((client, server));

    let mut options = Options::new().unwrap();
    options.set("host", Some("localhost")).unwrap();
    options.set("port", Some(&port.to_string())).unwrap();
    let named = Client::new(Transport::Tcp, "event", &options).unwrap();
    named.connect().unwrap();
    drop((listener.accept().unwrap(), listener));
    named.disconnect().unwrap();
    let error = named.connect().unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Closed, Some(libc::ECONNREFUSED)));
}

// Sending

#[test]
fn what_is_sent_arrives_as_it_was_given() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    send(&client, 1).unwrap();
    client.send_json(MessageType::Control, r#"{"code": "x"}"#).unwrap();
    client.send_msgpack(MessageType::Error, &[]).unwrap();
    let foreign = Message::new("other", MessageType::Data, &json!({"n": 5})).unwrap();
    client.send(&foreign).unwrap();
    let first = read_frame(&mut server).unwrap();
    assert_eq!((first.event_name(), number(&first)), ("event", 1));
    assert_eq!(read_frame(&mut server).unwrap().message_type(), MessageType::Control);
    assert_eq!(read_frame(&mut server).unwrap().data(), [0x80]);
    assert_eq!(read_frame(&mut server).unwrap().envelope(), foreign.envelope());
    let stats = client.stats();
    assert_eq!(stats.messages_sent, 4);
    let failed = client.send_msgpack(MessageType::Data, &[0xc0]).unwrap_err();
    assert_eq!(failed.status(), Status::Message);
    assert_eq!(client.stats().messages_sent, 4);
}

#[test]
fn messages_too_large_or_too_deep_for_the_handle_are_not_sent() {
    let place = Place::new();
    let options = [("max_message_size", "300"), ("max_depth", "2")];
    let (client, mut server, _listener) = place.connected(&options);
    let large = Message::new("event", MessageType::Data, &json!({"t": "x".repeat(300)})).unwrap();
    assert_eq!(client.send(&large).unwrap_err().status(), Status::Message);
    let failed = client.send_msgpack(MessageType::Data, large.data()).unwrap_err();
    assert!(failed.to_string().contains("max_message_size"), "{failed}");
    let deep = Message::new("event", MessageType::Data, &json!({"a": {"b": {}}})).unwrap();
    assert_eq!(client.send(&deep).unwrap_err().status(), Status::Message);
    assert_eq!(
        client.send_msgpack(MessageType::Data, deep.data()).unwrap_err().status(),
        Status::Message
    );
    send(&client, 1).unwrap();
    assert_eq!(number(&read_frame(&mut server).unwrap()), 1);
}

#[test]
fn a_message_that_came_from_elsewhere_is_held_to_the_depth_of_the_handle_that_sends_it() {
    let (from, to) = (Place::new(), Place::new());
    let (from, mut elsewhere, _from) = from.connected(&[("max_depth", "1000")]);
    let (to, mut server, _to) = to.connected(&[("max_depth", "300")]);
    // An envelope whose data has one map in the other.
    let shallow = data(1);
    let nested = |levels: usize| {
        let place = shallow.len() - b"\x81\xa1n\x01".len();
        let body = [&shallow[4..place], &b"\x81\xa1a".repeat(levels - 1), b"\x80"].concat();
        [&(body.len() as u32).to_be_bytes(), &body[..]].concat()
    };
    elsewhere.write_all(&[nested(300), nested(301)].concat()).unwrap();
    to.send(&from.recv(SOON).unwrap()).unwrap();
    let deep = from.recv(SOON).unwrap();
    assert_eq!(to.send(&deep).unwrap_err().status(), Status::Message);
    let mut arrived = vec![0; nested(300).len()];
    server.read_exact(&mut arrived).unwrap();
    assert!(arrived == nested(300), "byte for byte");
}

/// Sends until the socket is full; how many were sent.
fn fill(client: &Client) -> i64 {
    let text = "x".repeat(8000);
    (0..)
        .find(|n| client.send_data(MessageType::Data, &json!({"n": n, "t": text})).is_err())
        .unwrap()
}

#[test]
fn a_send_waits_for_room_only_so_long_and_nothing_is_torn() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("send_timeout", "0.1")]);
    let start = Instant::now();
    let sent = fill(&client);
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(send(&client, -1), Err(Status::Timeout));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for expected in 0..sent {
                assert_eq!(number(&read_frame(&mut server).unwrap()), expected);
            }
            number(&read_frame(&mut server).unwrap())
        });
        wait_until("room", || send(&client, sent).is_ok());
        assert_eq!(reader.join().unwrap(), sent);
    });
    assert_eq!(client.stats().messages_sent as i64, sent + 1);
}

#[test]
fn the_rest_of_a_frame_is_written_by_recv_and_the_descriptor_asks_for_it() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[("send_timeout", "0.05")]);
    let fd = client.fd().unwrap();
    let big = json!({"n": 1, "t": "x".repeat(2 << 20)});
    client.send_data(MessageType::Data, &big).unwrap();
    assert!(!is_readable(fd, Duration::ZERO), "there is no room for the rest");
    assert_eq!(send(&client, 2), Err(Status::Timeout));
    let size = framed(&Message::new("event", MessageType::Data, &big).unwrap()).len();
    let mut read = 0;
    while read < size {
        read += server.read(&mut vec![0; 1 << 20]).unwrap();
        if client.stats().bytes_sent < size as u64 {
            assert!(is_readable(fd, LONG), "there is room");
            assert_eq!(failure(&client, NOW), Status::Timeout);
        }
    }
    assert!(!is_readable(fd, A_WHILE));

    // The rest of a frame that has begun is of no use to the next connection.
    client.send_data(MessageType::Data, &big).unwrap();
    drop(server);
    thread::scope(|scope| {
        let sender = scope.spawn(|| wait_until("a server", || send(&client, 3).is_ok()));
        let mut server = accept(&listener);
        assert_eq!(number(&read_frame(&mut server).unwrap()), 3);
        sender.join().unwrap();
    });
}

#[test]
fn a_large_message_arrives_though_its_sender_makes_no_other_call() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let big = json!({"n": 1, "t": "x".repeat(4 << 20)});
    thread::scope(|scope| {
        let reader = scope.spawn(move || read_frame(&mut server).map(|message| number(&message)));
        client.send_data(MessageType::Data, &big).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn a_cancel_ends_the_wait_for_the_rest_of_a_message_that_counts_as_sent() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("send_timeout", "60")]);
    let big = json!({"n": 1, "t": "x".repeat(2 << 20)});
    thread::scope(|scope| {
        let sender = scope.spawn(|| client.send_data(MessageType::Data, &big));
        wait_until("a part has left", || client.stats().bytes_sent > 0);
        client.cancel().unwrap();
        sender.join().unwrap().unwrap();
    });
    assert_eq!(failure(&client, SOON), Status::Cancelled);
    let reader = thread::spawn(move || read_frame(&mut server).map(|message| number(&message)));
    wait_until("recv writes the rest", || {
        assert_eq!(failure(&client, NOW), Status::Timeout);
        reader.is_finished()
    });
    assert_eq!(reader.join().unwrap().unwrap(), 1);
}

#[test]
fn a_send_that_waits_reads_what_a_flooding_server_sends() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    // The server sends 4 MiB before it reads a byte.
    let flood = thread::spawn(move || {
        let text = "y".repeat(4000);
        for n in 0..1000 {
            let message = Message::new("event", MessageType::Data, &json!({"n": n, "t": text}));
            server.write_all(&framed(&message.unwrap())).unwrap();
        }
        for n in 0..100 {
            assert_eq!(number(&read_frame(&mut server).unwrap()), n);
        }
    });
    let text = "x".repeat(20_000);
    for n in 0..100 {
        client.send_data(MessageType::Data, &json!({"n": n, "t": text})).unwrap();
    }
    for n in 0..1000 {
        assert_eq!(recv(&client), n);
    }
    flood.join().unwrap();
}

#[test]
fn a_send_that_waits_reads_no_more_than_client_queue_size() {
    let place = Place::new();
    let options =
        [("client_queue_size", "100000"), ("send_timeout", "0.2"), ("buffer_size", "4096")];
    let (client, mut server, _listener) = place.connected(&options);
    fill(&client);
    server.set_nonblocking(true).unwrap();
    let frames = data_of(0..100);
    let mut written = 0;
    while let Ok(count) = server.write(&frames) {
        written += count;
    }
    assert_eq!(send(&client, -1), Err(Status::Timeout));
    while let Ok(count) = server.write(&frames) {
        written += count;
    }
    let received = client.stats().bytes_received;
    assert!((100_000..120_000).contains(&received), "{received} of {written} bytes");
}

#[test]
fn a_denial_is_delivered_and_remembered_until_the_connection_ends() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[]);
    send(&client, 1).unwrap();
    server.write_all(&[data(0), error(json!({"code": "send_denied"}))].concat()).unwrap();
    wait_until("the denial", || send(&client, 2) == Err(Status::SendDenied));
    assert_eq!(recv(&client), 0);
    let denial = client.recv(SOON).unwrap();
    assert_eq!(denial.get("/code").and_then(|code| code.as_str()), Some("send_denied"));
    assert_eq!(send(&client, 3), Err(Status::SendDenied), "taken or not");
    drop(server);
    wait_until("the loss", || !client.is_connected());
    thread::scope(|scope| {
        scope.spawn(|| wait_until("a new connection", || send(&client, 4).is_ok()));
        let mut server = accept(&listener);
        assert_eq!(number(&read_frame(&mut server).unwrap()), 4);
    });
}

#[test]
fn a_send_with_nobody_there_waits_for_a_server() {
    let place = Place::new();
    let client = place.client(&[("default_timeout", "0.1"), ("reconnect_max_delay", "0.1")]);
    client.open().unwrap();
    assert_eq!(send(&client, 1), Err(Status::Timeout));
    let listener = place.listen();
    wait_until("the server to be found", || send(&client, 2).is_ok());
    assert_eq!(number(&read_frame(&mut accept(&listener)).unwrap()), 2);
}

#[test]
fn a_cork_collects_and_recv_and_uncork_write() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let fd = client.fd().unwrap();
    server.set_nonblocking(true).unwrap();
    let nothing = |server: &mut UnixStream| {
        server.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    client.cork().unwrap();
    for n in 0..3 {
        send(&client, n).unwrap();
    }
    assert!(nothing(&mut server));
    assert!(!is_readable(fd, Duration::ZERO), "a cork waits for the program");
    assert_eq!(client.stats().messages_sent, 0);
    assert_eq!(failure(&client, NOW), Status::Timeout);
    assert_eq!(client.stats().messages_sent, 3);
    for n in 0..3 {
        assert_eq!(number(&read_frame(&mut server).unwrap()), n);
    }
    send(&client, 3).unwrap();
    assert!(nothing(&mut server), "recv leaves it on");
    client.uncork().unwrap();
    assert_eq!(number(&read_frame(&mut server).unwrap()), 3);
    send(&client, 4).unwrap();
    assert_eq!(number(&read_frame(&mut server).unwrap()), 4);
    client.cork().unwrap();
    let text = "x".repeat(1000);
    for n in 0..100 {
        client.send_data(MessageType::Data, &json!({"n": n, "t": text})).unwrap();
    }
    assert!(client.stats().messages_sent >= 5 + 50, "64 KiB are written");
    client.uncork().unwrap();
    assert_eq!(client.stats().messages_sent, 105);
}

#[test]
fn what_a_cork_holds_goes_first_on_a_new_connection() {
    let place = Place::new();
    let (client, server, listener) = place.connected(&[]);
    client.cork().unwrap();
    send(&client, 1).unwrap();
    drop(server);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            client.uncork().unwrap();
            send(&client, 2).unwrap();
        });
        let mut server = accept(&listener);
        assert_eq!(number(&read_frame(&mut server).unwrap()), 1);
        assert_eq!(number(&read_frame(&mut server).unwrap()), 2);
        sender.join().unwrap();
    });
}

// Disconnecting

#[test]
fn disconnect_ends_a_blocked_recv_and_keeps_what_had_been_read() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    server.write_all(&data_of(0..3)).unwrap();
    assert_eq!(recv(&client), 0);
    client.disconnect().unwrap();
    client.disconnect().unwrap();
    assert!(!client.is_connected());
    assert_eq!((recv(&client), recv(&client)), (1, 2));
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(server.read(&mut [0]).unwrap(), 0, "no reset");

    client.connect().unwrap();
    thread::scope(|scope| {
        let receivers = [(); 2].map(|()| scope.spawn(|| failure(&client, None)));
        thread::sleep(A_WHILE);
        client.disconnect().unwrap();
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), Status::Closed);
        }
    });
}

#[test]
fn disconnect_delivers_what_the_kernel_took_although_the_server_goes_on_sending() {
    let (client, mut server, _listener) = tcp_pair(&[("linger", "10")]);
    server.write_all(&data_of(0..200)).unwrap();
    let text = "x".repeat(1 << 20);
    let message = json!({"n": 1, "t": text});
    client.send_data(MessageType::Data, &message).unwrap();
    let mut writing = server.try_clone().unwrap();
    let flood = thread::spawn(move || {
        while writing.write_all(&data(0)).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let reader = thread::spawn(move || {
        // Slowly, so that the end of the client comes first.
        thread::sleep(A_WHILE);
        number(&read_frame(&mut server).unwrap())
    });
    client.disconnect().unwrap();
    assert_eq!(reader.join().unwrap(), 1);
    assert_eq!(client.stats().messages_sent, 1);
    flood.join().unwrap();
}

#[test]
fn disconnect_lingers_only_so_long() {
    for tcp in [false, true] {
        let place = Place::new();
        let options = [("linger", "0.2"), ("send_timeout", "0.05")];
        let (client, _keep): (Client, Box<dyn Send>) = if tcp {
            let (client, server, listener) = tcp_pair(&options);
            (client, Box::new((server, listener)))
        } else {
            let (client, server, listener) = place.connected(&options);
            (client, Box::new((server, listener)))
        };
        fill(&client);
        let start = Instant::now();
        client.disconnect().unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

// Waiting in several threads, cancelling, signals

#[test]
fn one_thread_receives_while_another_sends() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let echo = thread::spawn(move || {
        while let Ok(message) = read_frame(&mut server) {
            server.write_all(&framed(&message)).unwrap();
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..5000 {
                send(&client, n).unwrap();
            }
        });
        for n in 0..5000 {
            assert_eq!(recv(&client), n);
        }
    });
    client.disconnect().unwrap();
    echo.join().unwrap();
}

#[test]
fn several_receivers_share_what_arrives() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let sum: i64 = thread::scope(|scope| {
        let receivers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut sum = 0;
                loop {
                    match client.recv(None) {
                        Ok(message) => sum += number(&message),
                        Err(error) => {
                            assert_eq!(error.status(), Status::Closed);
                            return sum;
                        }
                    }
                }
            })
        });
        for n in 0..300 {
            server.write_all(&data_of(n * 10..n * 10 + 10)).unwrap();
        }
        wait_until("all to be taken", || client.stats().messages_received == 3000);
        client.disconnect().unwrap();
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum()
    });
    assert_eq!(sum, (0..3000i64).sum::<i64>());
}

#[test]
fn cancel_ends_one_recv_and_every_send_that_waits() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    // Pending, whatever is ready, until a call that may wait takes it; once.
    server.write_all(&data(1)).unwrap();
    client.cancel().unwrap();
    client.cancel().unwrap();
    assert_eq!(number(&client.recv(NOW).unwrap()), 1);
    server.write_all(&data(2)).unwrap();
    assert_eq!(failure(&client, SOON), Status::Cancelled);
    assert_eq!(recv(&client), 2);

    for _ in 0..20 {
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let text = "x".repeat(8000);
                loop {
                    if let Err(error) = client.send_data(MessageType::Data, &json!({"t": text})) {
                        return error.status();
                    }
                }
            });
            let receiver = scope.spawn(|| failure(&client, None));
            thread::sleep(Duration::from_millis(5));
            client.cancel().unwrap();
            assert_eq!(receiver.join().unwrap(), Status::Cancelled);
            // Whether it waited then is a matter of luck; with a cancel pending it must not wait.
            client.cancel().unwrap();
            assert_eq!(sender.join().unwrap(), Status::Cancelled);
            assert_eq!(client.connect().unwrap_err().status(), Status::Cancelled);
        });
    }
    assert_eq!(failure(&client, Some(Duration::from_millis(1))), Status::Timeout);
}

#[test]
fn a_cancel_that_is_pending_ends_a_send_that_comes_to_wait_and_stays() {
    let place = Place::new();
    let (client, _server, _listener) = place.connected(&[("send_timeout", "0.1")]);
    fill(&client);
    client.cancel().unwrap();
    assert_eq!(send(&client, 1), Err(Status::Cancelled));
    assert_eq!(send(&client, 1), Err(Status::Cancelled));
    assert_eq!(failure(&client, SOON), Status::Cancelled);
    assert_eq!(send(&client, 1), Err(Status::Timeout));
}

#[test]
fn cancel_ends_a_recv_that_waits_for_a_server() {
    let place = Place::new();
    let client = place.client(&[]);
    client.cancel().unwrap();
    assert_eq!(client.connect().unwrap_err().status(), Status::Cancelled);
    assert!(client.fd().is_some(), "it was told to connect");
    thread::scope(|scope| {
        let receiver = scope.spawn(|| failure(&client, None));
        thread::sleep(A_WHILE);
        client.cancel().unwrap();
        assert_eq!(receiver.join().unwrap(), Status::Cancelled);
    });
}

/// How long this thread has run.
fn thread_time() -> Duration {
    // SAFETY: a timespec is plain integers; the call writes it.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn calls_that_wait_sleep() {
    let place = Place::new();
    let time = Some(Duration::from_millis(400));
    let sleeps = |what: &str, status, call: &dyn Fn() -> Status| {
        let before = thread_time();
        assert_eq!(call(), status, "{what}");
        let took = thread_time() - before;
        assert!(took < Duration::from_millis(100), "{what}: {took:?}");
    };
    let options = [("client_queue_size", "50000"), ("send_timeout", "0.4")];
    let (client, mut server, _listener) = place.connected(&options);
    client.fd().unwrap();
    let cancel = || {
        client.cancel().unwrap();
        assert_eq!(failure(&client, time), Status::Cancelled);
    };
    assert_eq!(failure(&client, Some(Duration::from_millis(1))), Status::Timeout);
    cancel();
    sleeps("recv after a cancel", Status::Timeout, &|| failure(&client, time));
    server.write_all(&data(1)[..20]).unwrap();
    sleeps("recv within a frame", Status::Timeout, &|| failure(&client, time));
    fill(&client);
    sleeps("recv with no room to write", Status::Timeout, &|| failure(&client, time));
    cancel();
    sleeps("send after a cancel", Status::Timeout, &|| send(&client, 1).unwrap_err());
    server.write_all(&data(1)[20..]).unwrap();
    server.write_all(&data_of(0..1000)).unwrap();
    sleeps("send with a full inbox", Status::Timeout, &|| send(&client, 1).unwrap_err());
    drop((server, _listener));
    client.clear_buffer().unwrap();
    sleeps("send with nobody there", Status::Timeout, &|| send(&client, 1).unwrap_err());
    client.clear_buffer().unwrap();
    sleeps("recv with nobody there", Status::Timeout, &|| failure(&client, time));
}

static HANDLED: AtomicBool = AtomicBool::new(false);

extern "C" fn handle(_: libc::c_int) {
    HANDLED.store(true, Ordering::SeqCst);
}

/// Sends a signal to a thread, over and over, until its call has ended.
fn interrupt<R: Send>(call: impl FnOnce() -> R + Send) -> R {
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

#[test]
fn a_signal_handler_interrupts_the_calls_that_wait() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    assert_eq!(interrupt(|| failure(&client, None)), Status::Interrupted);
    assert!(HANDLED.load(Ordering::SeqCst));
    let waiting = || {
        (0..).find_map(|_| {
            client.send_data(MessageType::Data, &json!({"t": "x".repeat(9000)})).err()
        })
    };
    assert_eq!(interrupt(waiting).unwrap().status(), Status::Interrupted);
    server.write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
}

#[test]
fn the_iterator_yields_messages_until_closed() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("auto_reconnect", "false")]);
    server.write_all(&data_of(0..5)).unwrap();
    drop(server);
    let numbers: Vec<_> = client.messages().map(|message| number(&message.unwrap())).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}

// The descriptor, and what is buffered

#[test]
fn the_descriptor_is_readable_exactly_while_recv_has_something_to_do() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[]);
    let fd = client.fd().unwrap();
    assert!(!is_readable(fd, A_WHILE), "connected, and nothing has arrived");
    server.write_all(&data_of(0..3)).unwrap();
    for n in 0..3 {
        // Level-triggered, though the first recv read all of it.
        assert!(is_readable(fd, LONG) && is_readable(fd, Duration::ZERO));
        assert_eq!(number(&client.recv(NOW).unwrap()), n);
    }
    assert!(!is_readable(fd, A_WHILE));
    let frame = data(3);
    server.write_all(&frame[..10]).unwrap();
    assert!(is_readable(fd, LONG));
    assert_eq!(drain(&client, fd), []);
    server.write_all(&frame[10..]).unwrap();
    assert!(is_readable(fd, LONG));
    assert_eq!(drain(&client, fd), [Ok(3)]);

    // A lost server: attempts are due now and then, and between them all is quiet.
    drop((server, listener));
    assert!(is_readable(fd, LONG));
    assert_eq!(drain(&client, fd), []);
    assert!(is_readable(fd, LONG), "an attempt is due");
    let listener = place.listen();
    wait_until("the connection", || {
        is_readable(fd, LONG);
        let _ = client.recv(NOW);
        client.is_connected()
    });
    let mut server = accept(&listener);
    assert!(!is_readable(fd, A_WHILE));
    server.write_all(&data(4)).unwrap();
    assert!(is_readable(fd, LONG));
    assert_eq!(drain(&client, fd), [Ok(4)]);
    assert_eq!(client.fd(), Some(fd));
}

#[test]
fn an_end_is_told_by_the_descriptor_once() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("auto_reconnect", "false")]);
    let fd = client.fd().unwrap();
    server.write_all(&data(1)).unwrap();
    drop(server);
    assert!(is_readable(fd, LONG));
    assert_eq!(drain(&client, fd), [Ok(1), Err(Status::Closed)]);
    assert!(!is_readable(fd, A_WHILE));
    client.connect().unwrap();
    client.disconnect().unwrap();
    assert_eq!(drain(&client, fd), [Err(Status::Closed)]);
    // What the program ended by connecting anew is not told.
    let (client, mut server, listener) = Place::connected(&place, &[("auto_reconnect", "false")]);
    let fd = client.fd().unwrap();
    server.write_all(&data(1)).unwrap();
    drop(server);
    wait_until("the loss", || !client.is_connected());
    client.connect().unwrap();
    accept(&listener).write_all(&data(2)).unwrap();
    assert_eq!((recv(&client), recv(&client)), (1, 2));
    assert!(is_readable(fd, LONG), "the second server has gone too");
}

#[test]
fn the_descriptor_follows_what_other_threads_read() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("send_timeout", "0.05")]);
    let fd = client.fd().unwrap();
    fill(&client);
    server.write_all(&data(1)).unwrap();
    assert_eq!(send(&client, 1), Err(Status::Timeout), "and read meanwhile");
    assert!(is_readable(fd, Duration::ZERO));
    assert_eq!(number(&client.recv(NOW).unwrap()), 1);
    assert!(!is_readable(fd, A_WHILE));
}

#[test]
fn a_tcp_connection_that_is_reset_makes_no_descriptor_spin() {
    let (client, server, listener) = tcp_pair(&[("reconnect_delay", "0.2")]);
    let fd = client.fd().unwrap();
    server.shutdown(Shutdown::Both).unwrap();
    drop((server, listener));
    assert!(is_readable(fd, LONG));
    assert_eq!(drain(&client, fd), []);
    assert!(!is_readable(fd, Duration::from_millis(20)));
}

#[test]
fn the_buffer_can_be_counted_and_cleared() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    assert_eq!(client.buffer_size(), 0);
    let begun = data(9);
    server.write_all(&[data_of(0..3), malformed(), data(3), begun[..5].to_vec()].concat()).unwrap();
    assert_eq!(client.buffer_size(), 4);
    assert_eq!(recv(&client), 0);
    assert_eq!(client.buffer_size(), 3);
    client.clear_buffer().unwrap();
    assert_eq!(client.buffer_size(), 0);
    server.write_all(&begun[5..]).unwrap();
    assert_eq!(recv(&client), 9);
}

// Loggers and forks

/// Calls back into the library, as a program's logger may.
struct Logger;

static LOGGED: std::sync::Mutex<Option<(Arc<Client>, Vec<String>)>> = std::sync::Mutex::new(None);

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let mut logged = LOGGED.lock().unwrap();
        if let Some((client, records)) = &mut *logged
            && record.args().to_string().contains("logged-event")
        {
            client.is_connected();
            records.push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_logger_may_call_back() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let place = Place::new();
    let listener = UnixListener::bind(place.directory.path().join("logged-event.sock")).unwrap();
    let options = place.options(&[]);
    let client = Arc::new(Client::new(Transport::Unix, "logged-event", &options).unwrap());
    client.connect().unwrap();
    drop(listener.accept().unwrap());
    *LOGGED.lock().unwrap() = Some((client.clone(), Vec::new()));
    assert_eq!(failure(&client, Some(A_WHILE)), Status::Timeout);
    let (_, records) = LOGGED.lock().unwrap().take().unwrap();
    assert!(records.iter().any(|text| text.contains("is over")), "{records:?}");
}

fn open_sockets() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = descriptors.flat_map(|entry| std::fs::read_link(entry.path()));
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn a_child_closes_what_a_thread_of_its_parent_sleeps_on() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let client = std::mem::ManuallyDrop::new(Arc::new(client));
    let sleeper = Arc::clone(&client);
    let receiver = thread::spawn(move || recv(&sleeper));
    thread::sleep(A_WHILE);
    // SAFETY: the child runs on with this thread alone, looks at its descriptors and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let before = open_sockets();
        let client = std::mem::ManuallyDrop::into_inner(client);
        // SAFETY: the thread that has the other one does not exist here.
        unsafe { Arc::decrement_strong_count(Arc::as_ptr(&client)) };
        drop(client);
        let closed = before - open_sockets();
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(closed as i32) };
    }
    let mut status = 0;
    // SAFETY: waits for the child that was just made.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(libc::WEXITSTATUS(status), 1, "one socket is closed in the child");
    server.write_all(&data(1)).unwrap();
    assert_eq!(receiver.join().unwrap(), 1);
    drop(std::mem::ManuallyDrop::into_inner(client));
}

#[test]
fn a_forked_child_cannot_use_the_client_and_does_it_no_harm() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let fd = client.fd().unwrap();
    let client = std::mem::ManuallyDrop::new(client);
    // SAFETY: the child runs only calls of the client, which take no lock there, and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = |result: dotsock::Result<()>| result.err().map(|error| error.status());
        let forked = Some(Status::Forked);
        let good = status(client.recv(NOW).map(drop)) == forked
            && status(client.send_msgpack(MessageType::Data, &[])) == forked
            && status(client.cancel()) == forked
            && status(client.disconnect()) == forked
            && !client.is_connected()
            && client.address().is_empty()
            && client.server_pid().is_none()
            && client.fd().is_none();
        drop(std::mem::ManuallyDrop::into_inner(client));
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child that was just made.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    let client = std::mem::ManuallyDrop::into_inner(client);
    server.write_all(&data(1)).unwrap();
    assert!(is_readable(fd, LONG));
    assert_eq!(recv(&client), 1);
    send(&client, 2).unwrap();
    assert_eq!(number(&read_frame(&mut server).unwrap()), 2);
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}
