//! Servers: the API.
//!
//! | file | what it is about |
//! | --- | --- |
//! | `shared` | the state of a server and its locks |
//! | `lifecycle` | three ways to run one engine: starting, stopping |
//! | `driving`, `hooks` | turns of the loop, and what of the program's runs in it |
//! | `engine`, `reading`, `connection` | the event loop: accepting, reading, deadlines |
//! | `gate` | connections that have not shown their token yet |
//! | `sending`, `waiting` | sends, and senders that wait for room |
//! | `delivery`, `common`, `load`, `recipient`, `outbox`, `segment`, `backlog`, `burst` | what is sent, to whom, and when it is written |
//! | `dismissal` | telling a client to leave: no message of it is handed over any more |
//! | `farewell` | closing a connection without taking anything away |
//! | `cancels` | calls of `cancel`, from anywhere |
//! | `io` | the descriptors, and what threads ask of the engine |

mod backlog;
mod burst;
mod cancels;
mod common;
mod connection;
mod delivery;
mod dismissal;
mod driving;
mod engine;
mod farewell;
mod gate;
mod hooks;
mod io;
mod lifecycle;
mod load;
mod outbox;
mod reading;
mod recipient;
mod segment;
mod sending;
mod shared;
mod waiting;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::transport::{Peer, Transport};
use crate::wire::json;
use crate::{Error, Message, MessageType, Options, Payload, Result, ServerBuilder, Status};
use common::Outgoing;
pub(crate) use engine::Happened;
use recipient::Recipient;
pub(crate) use shared::with_client_id;
use shared::{Phase, Shared, client_id, parse_client_id};

/// What happened to a server that the program drives itself, from [`Server::next`].
///
/// The events of one client come as connected, messages, disconnected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A client has connected; what waited for it is queued ahead of everything else.
    Connected {
        /// The client's id, never used again by this server.
        client_id: String,
    },
    /// A client has left.
    Disconnected {
        /// The id that it had.
        client_id: String,
    },
    /// A client sent a message.
    Message {
        /// The client's id.
        client_id: String,
        /// What it sent.
        message: Message,
    },
}

/// Counters of a server, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Clients that are connected now.
    pub clients: u64,
    /// Clients that were accepted.
    pub connections: u64,
    /// Connections that were turned away: over `max_connections`, or without the token.
    pub rejected: u64,
    /// Messages that the kernel took, per recipient, notices of the library included.
    pub messages_sent: u64,
    /// Well-formed messages from clients that may send.
    pub messages_received: u64,
    /// Bytes that the kernel took, lengths included.
    pub bytes_sent: u64,
    /// Bytes that came from clients.
    pub bytes_received: u64,
    /// Messages that the kernel never took, per recipient: a full queue or backlog, a client that
    /// left, a `linger` that was over.
    pub messages_dropped: u64,
    /// Frames that were malformed, too large, cut off, or not complete in `frame_timeout`.
    pub malformed: u64,
    /// Well-formed frames that `allow_client_send = false` refused.
    pub denied: u64,
    /// Messages in the backlog now.
    pub queued: u64,
}

impl ServerStats {
    /// The names of all counters, as the C API calls them.
    pub const NAMES: [&'static str; 11] = [
        "clients",
        "connections",
        "rejected",
        "messages_sent",
        "messages_received",
        "bytes_sent",
        "bytes_received",
        "messages_dropped",
        "malformed",
        "denied",
        "queued",
    ];

    /// The counter of this name, as the C API calls it.
    pub fn get(&self, name: &str) -> Option<u64> {
        let values = [
            self.clients,
            self.connections,
            self.rejected,
            self.messages_sent,
            self.messages_received,
            self.bytes_sent,
            self.bytes_received,
            self.messages_dropped,
            self.malformed,
            self.denied,
            self.queued,
        ];
        Self::NAMES.iter().position(|known| *known == name).map(|index| values[index])
    }
}

/// One connected client, as it was when the list was made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The client's id: `[A-Za-z0-9-]{1,63}`, never used again by this server.
    pub id: String,
    /// Where it comes from: `uid 1000, pid 4242`, or a numeric `host:port`.
    pub address: String,
    /// When it connected, in Unix milliseconds.
    pub connected_at_ms: i64,
    /// The user it runs as; `None` where the transport does not tell.
    pub uid: Option<u32>,
    /// Its process; `None` where the transport does not tell.
    pub pid: Option<i32>,
    /// Messages that were dropped for this client.
    pub dropped: u64,
    /// Bytes that wait for this client.
    pub queued_bytes: u64,
}

/// A hook for a client that came or went: gets the server and the client's id.
pub type ClientHook = Arc<dyn Fn(&Server, &str) + Send + Sync>;
/// A hook for a message: gets the server, the client's id and the message.
pub type MessageHook = Arc<dyn Fn(&Server, &str, &Message) + Send + Sync>;

/// The hooks of a server.
#[derive(Default, Clone)]
pub(crate) struct Hooks {
    pub connected: Option<ClientHook>,
    pub disconnected: Option<ClientHook>,
    pub message: Option<MessageHook>,
}

/// A server named by an event.
///
/// It sends messages to the clients that are connected, and keeps them for the first one that
/// comes while none is. All of its methods may be called from any number of threads at once.
/// Dropping it stops it.
///
/// Three ways to run it: [`start`](Server::start) on a thread of the library's own,
/// [`run`](Server::run) on the calling thread, and [`open`](Server::open) with
/// [`next`](Server::next) and [`fd`](Server::fd) for programs with an event loop of their own.
///
/// ```
/// use dotsock::{MessageType, Server};
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().to_str().unwrap();
/// let server = Server::builder("my_event")
/// #   .option("socket_dir", directory)
///     .on_client_connected(|_, client| println!("{client} is here"))
///     .start()?;
/// server.broadcast(MessageType::Data, &serde_json::json!({"progress": 50}))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    shared: Arc<Shared>,
    /// Not so for the server that a hook is given: it ends with the hook.
    owned: bool,
}

impl Server {
    /// Makes a server; nothing is opened yet. `options` are copied.
    ///
    /// Errors: [`Status::Invalid`] for a name that is not `^[A-Za-z0-9_-]{1,64}$` and for options
    /// that contradict each other.
    pub fn new(transport: Transport, event_name: &str, options: &Options) -> Result<Server> {
        let shared = Shared::new(transport, event_name, options.settings()?)?;
        Ok(Server { shared: Arc::new(shared), owned: true })
    }

    /// Begins a server of this event; see [`ServerBuilder`].
    pub fn builder(event_name: &str) -> ServerBuilder {
        ServerBuilder::new(event_name)
    }

    fn borrowed(shared: Arc<Shared>) -> Server {
        Server { shared, owned: false }
    }

    /// Sets what is called when a client has connected. Hooks run with [`start`](Server::start)
    /// and [`run`](Server::run), one at a time, on the thread of the loop; they may call
    /// everything.
    ///
    /// Errors: [`Status::State`] while the server is running.
    pub fn on_client_connected(
        &self,
        hook: impl Fn(&Server, &str) + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_hooks(|hooks| hooks.connected.replace(Arc::new(hook))).map(drop)
    }

    /// Sets what is called when a client has left, as [`on_client_connected`](Server::on_client_connected).
    pub fn on_client_disconnected(
        &self,
        hook: impl Fn(&Server, &str) + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_hooks(|hooks| hooks.disconnected.replace(Arc::new(hook))).map(drop)
    }

    /// Sets what is called when a client sent a message, as
    /// [`on_client_connected`](Server::on_client_connected).
    pub fn on_message_received(
        &self,
        hook: impl Fn(&Server, &str, &Message) + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_hooks(|hooks| hooks.message.replace(Arc::new(hook))).map(drop)
    }

    /// Changes the hooks; `change` is not called when that is not possible.
    pub(crate) fn set_hooks<R>(&self, change: impl FnOnce(&mut Hooks) -> R) -> Result<R> {
        self.shared.check_process()?;
        let state = self.shared.lock();
        if state.phase != Phase::Idle {
            return Err(Error::new(
                Status::State,
                format!(
                    "Hooks of '{}' are set while it is not running: stop it first",
                    self.event_name()
                ),
            ));
        }
        Ok(change(&mut self.shared.hooks.lock()))
    }

    /// Starts the server on a thread of its own (which receives no signal) and returns once it is
    /// listening. With `blocking_mode` it does what [`run`](Server::run) does.
    ///
    /// Errors: [`Status::State`] while it runs, [`Status::InUse`] when a live server has this
    /// event or no port is free, [`Status::Permission`] for a `socket_dir` that is not to be
    /// trusted or written and for a `token_file` that others may read, [`Status::Invalid`] for a
    /// path that is too long and for tokens that contradict each other, [`Status::Io`].
    pub fn start(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.start()
    }

    /// Runs the server on the calling thread until somebody calls [`stop`](Server::stop).
    ///
    /// Errors: those of [`start`](Server::start); [`Status::Cancelled`] after
    /// [`cancel`](Server::cancel) and [`Status::Interrupted`] after a signal handler, both with the
    /// server still listening: call it again to go on, or stop.
    pub fn run(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.run()
    }

    /// Begins to listen without a thread: [`next`](Server::next) drives the server, and hooks do
    /// not run. Errors: those of [`start`](Server::start).
    pub fn open(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.open()
    }

    /// Drives an opened server until it has an event, for at most `limit`: `None` waits without
    /// end, zero does not wait.
    ///
    /// Errors: [`Status::Timeout`], [`Status::Cancelled`], [`Status::Interrupted`];
    /// [`Status::NotRunning`] when it is not open, after a stop once everything left was yielded;
    /// [`Status::State`] when it runs in another way.
    pub fn next(&self, limit: Option<Duration>) -> Result<Event> {
        self.take_next(limit).map(|event| match event {
            Happened::Connected(id) => Event::Connected { client_id: client_id(id) },
            Happened::Disconnected(id) => Event::Disconnected { client_id: client_id(id) },
            Happened::Message(id, message) => Event::Message { client_id: client_id(id), message },
        })
    }

    /// [`next`](Server::next), with clients as numbers.
    pub(crate) fn take_next(&self, limit: Option<Duration>) -> Result<Happened> {
        self.shared.check_process()?;
        self.shared.next(limit)
    }

    /// A descriptor that is readable for as long as [`next`](Server::next) has something to do;
    /// the same from the first [`open`](Server::open) until the server is dropped, `None` before.
    /// Wait for it, but never read or close it.
    pub fn fd(&self) -> Option<RawFd> {
        self.shared.check_process().ok()?;
        self.shared.fd()
    }

    /// Sends a message to one client, or to all of them where `client_id` is `None`.
    ///
    /// A broadcast without any client goes to the backlog. It waits only with
    /// `slow_client = block`.
    ///
    /// Errors: [`Status::NotRunning`], [`Status::NoClient`]; [`Status::Message`] for one that is
    /// too large or too deep; for a unicast to a slow client, by `slow_client`: [`Status::Full`],
    /// [`Status::Timeout`], [`Status::Cancelled`], [`Status::Interrupted`].
    pub fn send(&self, message: &Message, client_id: Option<&str>) -> Result<()> {
        self.dispatch(&Outgoing::Message(message), client_id)
    }

    /// Sends a payload that is MessagePack already: one map with str keys, or nothing for the
    /// empty one. As [`send`](Server::send).
    pub fn send_msgpack(
        &self,
        message_type: MessageType,
        data: &[u8],
        client_id: Option<&str>,
    ) -> Result<()> {
        self.dispatch(&Outgoing::Payload(message_type, data), client_id)
    }

    /// Sends a payload that is one JSON object. As [`send`](Server::send).
    pub fn send_json(
        &self,
        message_type: MessageType,
        json: &str,
        client_id: Option<&str>,
    ) -> Result<()> {
        self.shared.check_process()?;
        let data = json::object_from_json(json, self.shared.settings.max_depth)?;
        self.dispatch(&Outgoing::Payload(message_type, &data), client_id)
    }

    /// Sends a payload that was built by path. As [`send`](Server::send).
    pub fn send_payload(
        &self,
        message_type: MessageType,
        payload: &Payload,
        client_id: Option<&str>,
    ) -> Result<()> {
        self.dispatch(&Outgoing::Payload(message_type, payload.as_msgpack()), client_id)
    }

    /// Sends anything that serializes to a map with string keys to all clients. As
    /// [`send`](Server::send).
    pub fn broadcast(&self, message_type: MessageType, data: &impl Serialize) -> Result<()> {
        let data = crate::message::serialize(data)?;
        self.dispatch(&Outgoing::Payload(message_type, &data), None)
    }

    /// The same to one client.
    pub fn unicast(
        &self,
        client_id: &str,
        message_type: MessageType,
        data: &impl Serialize,
    ) -> Result<()> {
        let data = crate::message::serialize(data)?;
        self.dispatch(&Outgoing::Payload(message_type, &data), Some(client_id))
    }

    fn dispatch(&self, out: &Outgoing, client_id: Option<&str>) -> Result<()> {
        self.shared.check_process()?;
        self.shared.send(out, client_id)
    }

    /// Lets sends collect, up to 64 KiB a client, until [`uncork`](Server::uncork): for bursts
    /// where no thread of the library stands ready. It belongs to the server, not to a thread, and
    /// does not nest. Errors: [`Status::NotRunning`].
    pub fn cork(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.cork(true)
    }

    /// Writes what has collected. Errors: [`Status::NotRunning`].
    pub fn uncork(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.cork(false)
    }

    /// Stops the server: sends fail, blocked calls end, listening ends, what is queued is
    /// delivered (for at most `linger`), clients are closed, and their disconnect hooks run. When
    /// it returns, no hook runs any more; from a hook it takes effect once the hook has returned.
    /// Harmless when not running. The backlog is kept, and the server can be started again.
    pub fn stop(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.stop();
        Ok(())
    }

    /// Ends the wait of [`run`](Server::run) or [`next`](Server::next), the one in progress or
    /// else the next one, and of senders that wait for room. Safe in a signal handler.
    pub fn cancel(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.cancel();
        Ok(())
    }

    /// Whether this thread is driving the server: in a hook, or in a logger that its loop called.
    pub(crate) fn in_hook(&self) -> bool {
        self.shared.is_driven_here()
    }

    /// Has `last` run when the loop that this thread drives has come to its end.
    pub(crate) fn after_stop(&self, last: Box<dyn FnOnce() + Send>) {
        self.shared.lock().last_words.push(last);
    }

    /// In a forked child: closes descriptors, and touches neither peers nor files.
    pub(crate) fn abandon(&self) {
        self.shared.abandon();
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.shared.check_process().is_err()
    }

    /// Whether it has been started and not stopped.
    pub fn is_running(&self) -> bool {
        !self.is_forked() && matches!(self.shared.lock().phase, Phase::Running(_))
    }

    /// The name of its event.
    pub fn event_name(&self) -> &str {
        &self.shared.event_name
    }

    /// The path of its socket, or the numeric `host:port` that it listens on: empty while a TCP
    /// server is not listening.
    pub fn address(&self) -> String {
        if self.is_forked() {
            return String::new();
        }
        match self.shared.transport {
            Transport::Unix => {
                let directory = &self.shared.settings.socket_dir;
                let path = crate::transport::socket_path(directory, self.event_name());
                path.to_string_lossy().into_owned()
            }
            Transport::Tcp => self.shared.lock().address.clone(),
        }
    }

    /// The TCP port it listens on; 0 for Unix and while it is not listening.
    pub fn port(&self) -> u16 {
        if self.is_forked() { 0 } else { self.shared.lock().port }
    }

    /// The clients that are connected now, in the order they came.
    pub fn clients(&self) -> Vec<ClientInfo> {
        if self.is_forked() {
            return Vec::new();
        }
        self.shared.lock().delivery.clients.iter().map(describe).collect()
    }

    /// The same, where a list that is too long for what memory there is must be an error.
    pub(crate) fn list_clients(&self) -> Result<Vec<ClientInfo>> {
        let mut list = Vec::new();
        if !self.is_forked() {
            let state = self.shared.lock();
            let clients = &state.delivery.clients;
            list.try_reserve_exact(clients.len())
                .map_err(|_| Error::no_memory(clients.len() * size_of::<ClientInfo>()))?;
            list.extend(clients.iter().map(describe));
        }
        Ok(list)
    }

    /// One connected client. Errors: [`Status::NoClient`].
    pub fn client(&self, client_id: &str) -> Result<ClientInfo> {
        self.shared.check_process()?;
        let state = self.shared.lock();
        let client = parse_client_id(client_id)
            .and_then(|id| state.delivery.clients.get_key_value(&id).map(describe));
        drop(state);
        client.ok_or_else(|| self.shared.no_client(client_id))
    }

    /// Tells a client to leave, and returns at once. Its id is unknown from then on, and no message
    /// of it is handed over any more, not even what has arrived already: aside from one whose hook
    /// has begun on another thread, or that a [`next`](Server::next) under way there is returning.
    /// What is queued for it is delivered (for at most `linger`), then it is closed and its
    /// disconnect follows. Errors: [`Status::NoClient`].
    pub fn disconnect_client(&self, client_id: &str) -> Result<()> {
        self.shared.check_process()?;
        self.shared.disconnect_client(client_id)
    }

    /// How many messages wait in the backlog.
    pub fn queue_size(&self) -> usize {
        if self.is_forked() { 0 } else { self.shared.lock().delivery.common.backlog.len() }
    }

    /// Forgets the backlog.
    pub fn clear_queue(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.lock().delivery.clear_queue();
        Ok(())
    }

    /// The counters, read at one moment.
    pub fn stats(&self) -> ServerStats {
        if self.is_forked() {
            return ServerStats::default();
        }
        let state = self.shared.lock();
        let (common, counters) = (&state.delivery.common, &self.shared.counters);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerStats {
            clients: state.delivery.clients.len() as u64,
            connections: read(&counters.connections),
            rejected: read(&counters.rejected),
            messages_sent: common.sent.frames,
            messages_received: read(&counters.messages_received),
            bytes_sent: common.sent.bytes,
            bytes_received: read(&counters.bytes_received),
            messages_dropped: common.dropped,
            malformed: read(&counters.malformed),
            denied: read(&counters.denied),
            queued: common.backlog.len() as u64,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        if self.is_forked() {
            self.abandon();
        } else {
            self.shared.stop();
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("event_name", &self.event_name()).finish_non_exhaustive()
    }
}

fn describe((id, client): (&u64, &Recipient)) -> ClientInfo {
    let credentials = match client.peer {
        Peer::Unix(credentials) => credentials,
        Peer::Tcp(_) => None,
    };
    ClientInfo {
        id: client_id(*id),
        address: client.peer.to_string(),
        connected_at_ms: client.connected_at_ms,
        uid: credentials.map(|credentials| credentials.uid),
        pid: credentials.map(|credentials| credentials.pid),
        dropped: client.dropped,
        queued_bytes: client.queued_bytes() as u64,
    }
}
