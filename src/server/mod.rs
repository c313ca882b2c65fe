//! Servers: the API.
//!
//! | file | what it is about |
//! | --- | --- |
//! | `shared` | the state of a server and its locks |
//! | `lifecycle`, `stopping` | three ways to run one engine, and how each of them ends |
//! | `driving`, `hooks` | turns of the loop, and what of the program's runs in it |
//! | `clients`, `stats` | who is connected, and what was counted |
//! | `engine`, `accepting`, `reading`, `connection` | the event loop: deadlines, who comes in, what they say |
//! | `gate` | connections that have not shown their token yet |
//! | `sending`, `waiting` | sends, and senders that wait for room |
//! | `delivery`, `common`, `load`, `recipient`, `outbox`, `segment`, `backlog` | what is sent, and to whom |
//! | `collecting`, `burst` | when it is written |
//! | `dismissal` | telling a client to leave: no message of it is handed over any more |
//! | `farewell` | closing connections, at a shutdown all of them, without taking anything away |
//! | `cancels` | calls of `cancel`, from anywhere |
//! | `io` | the descriptors, and what threads ask of the engine |

mod accepting;
mod backlog;
mod burst;
mod cancels;
mod clients;
mod collecting;
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
mod stats;
mod stopping;
mod waiting;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

#[cfg(doc)]
use crate::Status;
use crate::sys::ThreadMark;
use crate::transport::Transport;
use crate::{Message, Options, Result, ServerBuilder};
pub use clients::ClientInfo;
pub(crate) use engine::RawEvent;
pub(crate) use hooks::{ClientHook, Hooks, MessageHook};
pub(crate) use shared::with_client_id;
use shared::{Phase, Shared, client_id};
pub use stats::ServerStats;

const LOG: &str = "dotsock::server";

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
    /// # Errors
    ///
    /// - [`Status::Invalid`]: a name that is not `^[A-Za-z0-9_-]{1,64}$`, or `port_range_start` over
    ///   `port_range_end`.
    /// - [`Status::Io`]: a relative `socket_dir` or `token_file` cannot be made absolute, or the
    ///   system has no page of memory to give.
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

    /// Starts the server on a thread of its own (which receives no signal) and returns once it is
    /// listening. With `blocking_mode` it does what [`run`](Server::run) does.
    ///
    /// # Errors
    ///
    /// - [`Status::State`]: it is running, or about to start or stop. Stop it first.
    /// - [`Status::InUse`]: a live server has this event, or no port in the range is free.
    /// - [`Status::Permission`]: `socket_dir` is not to be trusted or not writable, or others may read
    ///   `token_file`. The error names the mode and the remedy.
    /// - [`Status::Invalid`]: the path of the socket is too long, `token` and `token_file` are both
    ///   set, or the token cannot be one.
    /// - [`Status::Io`]: a file that is no socket is in the way, or any other system error.
    pub fn start(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.start()
    }

    /// Runs the server on the calling thread until somebody calls [`stop`](Server::stop); hooks run
    /// on this thread. Also `Ok` when the stop came between two calls.
    ///
    /// # Errors
    ///
    /// - [`Status::Cancelled`]: [`cancel`](Server::cancel) was called, [`Status::Interrupted`]: a
    ///   signal handler ran. The server is still listening: call this again to go on, or stop it.
    /// - Those of [`start`](Server::start).
    pub fn run(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.run()
    }

    /// Begins to listen without a thread: [`next`](Server::next) drives the server, and hooks do
    /// not run. Events that an earlier stop has left are yielded first.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Server::start).
    pub fn open(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.open()
    }

    /// Drives an opened server until it has an event, for at most `limit`: `None` waits without
    /// end, zero does not wait. Several threads may call it at once; each event goes to one of them.
    ///
    /// # Errors
    ///
    /// - [`Status::Timeout`]: nothing happened in time.
    /// - [`Status::Cancelled`], [`Status::Interrupted`]: [`cancel`](Server::cancel) was called; a
    ///   signal handler ran. Nothing is lost, call it again to go on.
    /// - [`Status::NotRunning`]: it is not open; after a stop, once everything left was yielded.
    /// - [`Status::State`]: it runs in another way.
    pub fn next(&self, limit: Option<Duration>) -> Result<Event> {
        self.take_next(limit).map(|event| match event {
            RawEvent::Connected(id) => Event::Connected { client_id: client_id(id) },
            RawEvent::Disconnected(id) => Event::Disconnected { client_id: client_id(id) },
            RawEvent::Message(id, message) => Event::Message { client_id: client_id(id), message },
        })
    }

    /// [`next`](Server::next), with clients as numbers.
    pub(crate) fn take_next(&self, limit: Option<Duration>) -> Result<RawEvent> {
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

    /// Stops the server: sends fail, blocked calls end, listening ends, what is queued is
    /// delivered (for at most `linger`), clients are closed, and their disconnect hooks run. When
    /// it returns, no hook runs any more; from a hook it takes effect once the hook has returned.
    /// Harmless when not running. The backlog is kept, and the server can be started again.
    ///
    /// # Errors
    ///
    /// [`Status::Forked`]: the server was made before a fork.
    pub fn stop(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.stop();
        Ok(())
    }

    /// Ends the wait of [`run`](Server::run) or [`next`](Server::next), the one in progress or
    /// else the next one, once, however often it was called before, and the sends that wait for
    /// room. With [`start`](Server::start) only those sends end. Safe in a signal handler.
    ///
    /// # Errors
    ///
    /// [`Status::Forked`]: the server was made before a fork.
    pub fn cancel(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.cancel();
        Ok(())
    }

    /// Whether this thread is driving the server: in a hook, or in a logger that its loop called.
    pub(crate) fn in_hook(&self) -> bool {
        self.shared.lock().driver == Some(ThreadMark::current())
    }

    /// Has `last` run when the loop that this thread drives has come to its end.
    pub(crate) fn after_stop(&self, last: Box<dyn FnOnce() + Send>) {
        self.shared.lock().after_stop.push(last);
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

    /// How many messages wait in the backlog.
    pub fn queue_size(&self) -> usize {
        if self.is_forked() { 0 } else { self.shared.lock().delivery.common.backlog.len() }
    }

    /// Forgets the backlog, which does not count as dropped.
    ///
    /// # Errors
    ///
    /// [`Status::Forked`]: the server was made before a fork.
    pub fn clear_queue(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.lock().delivery.clear_queue();
        Ok(())
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
