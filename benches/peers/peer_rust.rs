//! This library through its Rust API, behind the same command line: linked with `bench.c`.
//!
//! A payload is the map `{"b": bin}`. Clients that are slow hold the sender up
//! (`slow_client = block`), so that nothing is lost.

#![expect(missing_docs, reason = "bench.h says what each function is for")]

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dotsock::{Client, Message, MessageType, Options, Result, Server, Status, Transport};

const EVENT: &str = "wallpaper_changed";

/// `struct cfg` of bench.h.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Config {
    pattern: c_int,
    size: usize,
    count: c_long,
    clients: c_int,
    batch: usize,
    sndbuf: c_int,
    window: c_int,
    idle: c_int,
    up: c_int,
    cork: c_int,
    dir: *const c_char,
    path: [c_char; 100],
    port: c_int,
    tcp: c_int,
    spin: c_int,
}

impl Config {
    fn dir(&self) -> &str {
        // SAFETY: the harness hands over a NUL-terminated path that lives as long as the process.
        unsafe { CStr::from_ptr(self.dir) }.to_str().unwrap_or_default()
    }

    fn transport(&self) -> Transport {
        if self.tcp != 0 { Transport::Tcp } else { Transport::Unix }
    }

    /// How many of the connections only exist.
    fn plain(&self, count: c_int) -> c_int {
        match self.pattern {
            _ if self.tcp != 0 => 0,
            _ if self.idle != 0 => count,
            MULTI => count - 1,
            _ => 0,
        }
    }
}

const PUBSUB: c_int = 1;
const MULTI: c_int = 2;

unsafe extern "C" {
    fn harness_got(connection: c_int, payload: *const c_void, size: usize);
}

fn check<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{error}");
        process::exit(2)
    })
}

fn options(config: &Config) -> Options {
    let mut options = check(Options::new());
    check(options.set("socket_dir", Some(config.dir())));
    check(options.set("port", Some(&config.port.to_string())));
    check(options.set("max_connections", Some("100000")));
    check(options.set("slow_client", Some("block")));
    check(options.set("spin", Some(&config.spin.to_string())));
    options
}

/// The map around a payload is written into the room in front of it.
const HEAD: usize = 8;

/// # Safety
/// In front of `payload` are `HEAD` bytes that may be written, behind it `size` that may be read.
unsafe fn wrapped<'a>(payload: *mut u8, size: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe {
        let start = payload.sub(HEAD);
        start.copy_from_nonoverlapping(b"\x81\xa1b\xc6".as_ptr(), 4);
        start.add(4).copy_from_nonoverlapping((size as u32).to_be_bytes().as_ptr(), 4);
        std::slice::from_raw_parts(start, HEAD + size)
    }
}

fn unwrapped(message: &Message) -> &[u8] {
    message.data().strip_prefix(b"\x81\xa1b\xc6").and_then(|rest| rest.get(4..)).unwrap_or_else(
        || {
            eprintln!("bad payload");
            process::exit(3)
        },
    )
}

fn got(connection: usize, message: &Message) {
    let payload = unwrapped(message);
    // SAFETY: the harness only reads the payload during the call.
    unsafe { harness_got(connection as c_int, payload.as_ptr().cast(), payload.len()) }
}

// --- The server ----------------------------------------------------------------------------------

pub struct Publisher {
    config: Config,
    server: Server,
    echoed: Arc<AtomicU64>,
    seen: u64,
    corked: bool,
}

/// # Safety
/// `config` points to what the harness was called with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srv_open(config: *const Config) -> *mut Publisher {
    // SAFETY: the caller's promise.
    let config = unsafe { *config };
    let server = check(Server::new(config.transport(), EVENT, &options(&config)));
    let echoed = Arc::new(AtomicU64::new(0));
    let (counter, up) = (echoed.clone(), config.up != 0);
    check(server.on_message_received(move |server, client_id, message| {
        if up {
            return got(0, message);
        }
        check(server.send_msgpack(MessageType::Data, message.data(), Some(client_id)));
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    check(server.start());
    Box::into_raw(Box::new(Publisher { config, server, echoed, seen: 0, corked: false }))
}

/// # Safety
/// This and all `srv_*` below: `publisher` is what `srv_open` returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srv_wait(publisher: &mut Publisher, clients: c_int) {
    while publisher.server.stats().clients < clients as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// # Safety
/// As for [`wrapped`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srv_send(publisher: &mut Publisher, payload: *mut u8, size: usize) {
    if publisher.config.cork != 0 && !publisher.corked {
        check(publisher.server.cork());
        publisher.corked = true;
    }
    // SAFETY: the caller's promise.
    let data = unsafe { wrapped(payload, size) };
    check(publisher.server.send_msgpack(MessageType::Data, data, None));
}

/// # Safety
/// As for [`wrapped`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srv_bcast(publisher: &mut Publisher, payload: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { srv_send(publisher, payload, size) }
}

#[unsafe(no_mangle)]
pub extern "C" fn srv_flush(publisher: &mut Publisher) {
    if std::mem::take(&mut publisher.corked) {
        check(publisher.server.uncork());
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn srv_echo(publisher: &mut Publisher) {
    while publisher.echoed.load(Ordering::Relaxed) <= publisher.seen {
        std::thread::sleep(Duration::from_millis(5));
    }
    publisher.seen += 1;
}

#[unsafe(no_mangle)]
pub extern "C" fn srv_take(_: &mut Publisher) {
    std::thread::sleep(Duration::from_millis(5));
}

// --- The clients ---------------------------------------------------------------------------------

pub struct Listeners {
    config: Config,
    clients: Vec<Client>,
    held: Option<Message>,
    epoll: c_int,
    corked: bool,
}

/// Connections that only exist are the same to the server whoever made them, and this way 9,000 of
/// them need no more than that many descriptors.
fn connect_plain(config: &Config, count: c_int) {
    let path = format!("{}/{EVENT}.sock", config.dir());
    for _ in 0..count {
        match UnixStream::connect(&path) {
            Ok(stream) => std::mem::forget(stream),
            Err(error) => {
                eprintln!("{path}: {error}");
                process::exit(2)
            }
        }
    }
}

/// # Safety
/// `config` points to what the harness was called with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cli_open(config: *const Config, count: c_int) -> *mut Listeners {
    // SAFETY: the caller's promise.
    let config = unsafe { *config };
    let plain = config.plain(count);
    connect_plain(&config, plain);
    let options = options(&config);
    // SAFETY: a call without pointers.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let mut clients = Vec::new();
    for number in 0..count - plain {
        let client = check(Client::new(config.transport(), EVENT, &options));
        check(client.connect());
        // Asked for in vain it would cost a descriptor.
        if let Some(fd) = (config.pattern == PUBSUB).then(|| client.fd()).flatten() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
            // SAFETY: the event is read during the call alone.
            unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) };
        }
        clients.push(client);
    }
    let listeners = Listeners { config, clients, held: None, epoll, corked: false };
    Box::into_raw(Box::new(listeners))
}

/// # Safety
/// As for [`wrapped`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cli_send(listeners: &mut Listeners, payload: *mut u8, size: usize) {
    let client = &listeners.clients[0];
    if listeners.config.cork != 0 && !listeners.corked {
        check(client.cork());
        listeners.corked = true;
    }
    // SAFETY: the caller's promise.
    let data = unsafe { wrapped(payload, size) };
    check(client.send_msgpack(MessageType::Data, data));
}

#[unsafe(no_mangle)]
pub extern "C" fn cli_flush(listeners: &mut Listeners) {
    if std::mem::take(&mut listeners.corked) {
        check(listeners.clients[0].uncork());
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cli_recv(listeners: &mut Listeners, size: &mut usize) -> *const u8 {
    let message = listeners.held.insert(check(listeners.clients[0].recv(None)));
    let payload = unwrapped(message);
    *size = payload.len();
    payload.as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn cli_pump(listeners: &mut Listeners) {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
    // SAFETY: there is room for that many events.
    let ready = unsafe { libc::epoll_wait(listeners.epoll, events.as_mut_ptr(), 256, 100) };
    for event in &events[..ready.max(0) as usize] {
        let number = event.u64 as usize;
        loop {
            match listeners.clients[number].recv(Some(Duration::ZERO)) {
                Ok(message) => got(number, &message),
                Err(error) if error.status() == Status::Timeout => break,
                Err(error) => return check(Err(error)),
            }
            if !listeners.clients[number].has_next() {
                break;
            }
        }
    }
}
