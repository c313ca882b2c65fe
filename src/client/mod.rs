//! Clients.
//!
//! A client has no thread of its own: messages are read and written on the threads that call.
//! One lock guards a small state machine that never waits. The calls make progress with it, and
//! where there is none to be made they sleep without the lock until the socket, another thread or
//! the clock has something for them.
//!
//! | file | what it is about |
//! | --- | --- |
//! | `driving`, `sending` | the calls that may have to wait: connecting and receiving, and sends |
//! | `waiting`, `waking` | sleeping without the lock, and who wakes whom |
//! | `state` | what the lock guards, and how one connection ends |
//! | `connecting`, `attempt`, `handshake`, `reconnect` | how the next one is made |
//! | `reading`, `connection`, `inbox`, `spare` | from the socket to the program, without waiting |
//! | `writing`, `outbox`, `line` | from the program to the socket, without waiting |
//! | `closing` | closing a connection without taking anything away |
//! | `watch` | the descriptor for event loops |
//! | `stats` | what was counted |

mod attempt;
mod closing;
mod connecting;
mod connection;
mod driving;
mod handshake;
mod inbox;
mod line;
mod outbox;
mod reading;
mod reconnect;
mod sending;
mod spare;
mod state;
mod stats;
mod waiting;
mod waking;
mod watch;
mod writing;

use std::os::fd::{AsFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::Level;
use parking_lot::Mutex;

use crate::settings::Settings;
use crate::sys::{self, Process};
use crate::transport::{Peer, Transport};
use crate::{ClientBuilder, Error, Message, Options, Result, Status, validate_event_name};

use connection::Connection;
use driving::{cancelled, forked};
use state::{Link, State};
use waiting::Guard;
use waking::Wake;
use watch::Watch;

pub use stats::ClientStats;

/// The target of log records.
const LOG: &str = "dotsock::client";

/// A client of an event: receives what its server says, and may send to it.
///
/// All calls may be made from any number of threads at once. A client connects when told to, by
/// [`connect`](Client::connect) or [`open`](Client::open); from then on, with `auto_reconnect`,
/// [`recv`](Client::recv) and [`send`](Client::send) connect again by themselves. Dropping it
/// disconnects.
///
/// ```no_run
/// use dotsock::Client;
///
/// let client = Client::builder("my_event").connect()?;
/// for message in client.messages() {
///     println!("{}", message?.data_json()?);
/// }
/// # Ok::<(), dotsock::Error>(())
/// ```
pub struct Client {
    event_name: Arc<str>,
    settings: Arc<Settings>,
    process: Process,
    wake: Wake,
    has_next: AtomicBool,
    /// In an `Arc` only so that a forked child can leave behind what a thread of its parent had
    /// locked.
    state: Arc<Mutex<State>>,
}

impl Client {
    /// Begins a client of this event; see [`ClientBuilder`].
    pub fn builder(event_name: &str) -> ClientBuilder {
        ClientBuilder::new(event_name)
    }

    /// A client of this event, not connected yet. For TCP it goes to `host` and `port`, or without
    /// a port to the address that the server published in `socket_dir`.
    ///
    /// Fails with [`Status::Invalid`] for a name that no event can have and for `port_range_start`
    /// over `port_range_end`, and with [`Status::Io`] when a relative `socket_dir` or `token_file`
    /// cannot be made absolute, or the system has no page of memory to give.
    pub fn new(transport: Transport, event_name: &str, options: &Options) -> Result<Client> {
        validate_event_name(event_name)?;
        let process = Process::current().map_err(|error| {
            Error::os(Status::Io, "No memory page to tell forked children by", &error)
        })?;
        let event_name: Arc<str> = event_name.into();
        let settings = Arc::new(options.settings()?);
        let state = State::new(transport, event_name.clone(), settings.clone());
        let state = Arc::new(Mutex::new(state));
        let (wake, has_next) = (Wake::default(), AtomicBool::default());
        Ok(Client { event_name, settings, process, wake, has_next, state })
    }

    /// From now on connects by itself, without blocking and without an attempt in this call: for a
    /// program that must not wait, or that comes before its server.
    ///
    /// Fails with [`Status::State`] without `auto_reconnect`, and for a `host` that is a name, since
    /// looking that up may block: use [`connect`](Client::connect) then. [`Status::Invalid`]: the path
    /// of its socket is longer than the system allows.
    pub fn open(&self) -> Result<()> {
        let mut state = self.lock()?;
        if !self.settings.auto_reconnect {
            return Err(Error::new(
                Status::State,
                "open connects by itself, which auto_reconnect = false forbids: use connect",
            ));
        }
        if state.target.needs_lookup() {
            let host = &self.settings.host;
            return Err(Error::new(
                Status::State,
                format!("Looking up host '{host}' may block: give its address, or use connect"),
            ));
        }
        state.target.check()?;
        self.wake.event()?;
        if let Link::Down = state.link {
            state.tell_to_connect();
        }
        state.told = true;
        Ok(())
    }

    /// Connects, in one attempt that takes at most `default_timeout` (looking up a host name aside).
    /// Does nothing when connected already.
    ///
    /// Fails with [`Status::Closed`] when no server is there, [`Status::Timeout`] when none answers,
    /// [`Status::Permission`] for a server, directory or file that is not to be trusted and for a TCP
    /// server that has another token or none, [`Status::Invalid`] for `token` and `token_file` at
    /// once, [`Status::NoMemory`] when the system had none to show the token with for all that time,
    /// [`Status::Cancelled`], [`Status::Interrupted`], and [`Status::Io`]. With `auto_reconnect`,
    /// `recv` and `send` go on trying. A server that has as many clients as it allows says so in
    /// its first message, and one that asks for a token which this client has not got is known by
    /// its question: `recv` or `send` then fails.
    pub fn connect(&self) -> Result<()> {
        let mut state = self.lock()?;
        if state.sleepers.take_cancel(&self.wake) {
            // As good as an attempt that failed, unless there is a name to look up for the next.
            if !state.target.needs_lookup() {
                state.tell_to_connect();
            }
            return Err(cancelled());
        }
        state.notice_departure()?;
        if let Link::Up(_) = state.link {
            state.told = true;
            return Ok(());
        }
        if state.target.needs_lookup() {
            let mut target = state.target.clone();
            if let Err(error) = state.unlocked(|| target.look_up()) {
                state.told = false;
                return Err(error);
            }
            state.target = target;
        }
        state.tell_to_connect();
        // Made here, so that a connected client can wait even when descriptors have run out since.
        self.wake.event()?;
        let mut number = None;
        let result = self.drive_attempt(&mut state, &mut number);
        if result.is_err()
            && let Some(number) = number
        {
            state.give_up_attempt(number);
        }
        result
    }

    /// Disconnects; harmless when not connected. What was sent is delivered first, for at most
    /// `linger`. Messages that were read already can still be received, then `recv` fails with
    /// [`Status::Closed`], in other threads too.
    pub fn disconnect(&self) -> Result<()> {
        let mut state = self.lock()?;
        let (link, outbox) = state.leave();
        if let Link::Up(connection) = link {
            let linger = self.settings.linger;
            let written = state.unlocked(|| closing::close(&connection, outbox, linger));
            state.count(written);
        }
        Ok(())
    }

    /// Whether there is a connection. Looks at the socket without blocking, so that a server that
    /// has gone is noticed, also while messages from it are still to be received.
    pub fn is_connected(&self) -> bool {
        self.with_connection(|_| ()).is_some()
    }

    /// The next message. `None` waits without end, a timeout of zero does not wait.
    ///
    /// Fails with:
    /// - [`Status::Timeout`]: nothing arrived in time.
    /// - [`Status::Closed`]: there is no connection and, without `auto_reconnect`, none to come;
    ///   with `report_loss` also once for each lost connection, and the next call goes on.
    /// - [`Status::MaxConnections`], [`Status::Permission`]: the server refused the client, or the
    ///   client the server; with `auto_reconnect` the next call tries again.
    /// - [`Status::Message`]: the server sent what is no message of this protocol.
    /// - [`Status::Cancelled`], [`Status::Interrupted`]: see [`cancel`](Client::cancel); a signal
    ///   handler ran. Nothing is lost, call it again to go on.
    /// - [`Status::Io`]: connecting again fails for another reason than that no server is there;
    ///   said once for each lost connection.
    pub fn recv(&self, timeout: Option<Duration>) -> Result<Message> {
        self.take_or_wait(timeout)
    }

    /// The same where it is called, for the C API.
    #[inline(always)]
    pub(crate) fn take_or_wait(&self, timeout: Option<Duration>) -> Result<Message> {
        let mut state = self.lock()?;
        match state.next_plain() {
            Some(message) => Ok(message),
            None => self.wait_for_message(state, timeout),
        }
    }

    /// Whether something has been read from the socket and was not taken yet, so that
    /// [`recv`](Client::recv) need not look at the socket for it. It costs no system call: a program
    /// that follows [`fd`](Client::fd) goes on with `recv` for as long as this is true, and saves a
    /// look in vain for each time that it is woken.
    ///
    /// Where several threads receive, another one may be faster.
    pub fn has_next(&self) -> bool {
        self.has_next.load(Ordering::Relaxed) && !self.is_forked()
    }

    /// The messages, one after the other, waiting for each.
    ///
    /// Ends where [`recv`](Client::recv) says [`Status::Closed`] or [`Status::Cancelled`], goes on
    /// after signal handlers, and yields other errors: whether to go on after them is for the
    /// caller to say.
    pub fn messages(&self) -> impl Iterator<Item = Result<Message>> + '_ {
        std::iter::from_fn(move || {
            loop {
                match self.recv(None) {
                    Err(error) => match error.status() {
                        Status::Interrupted => {}
                        Status::Closed | Status::Cancelled | Status::Forked => return None,
                        _ => return Some(Err(error)),
                    },
                    message => return Some(message),
                }
            }
        })
    }

    /// One descriptor for an event loop, the same from the first `connect` or `open` until the
    /// client is dropped, `None` before. It is readable (level-triggered) for as long as
    /// `recv(Some(Duration::ZERO))` has something to do. Wait on it, never read or close it.
    pub fn fd(&self) -> Option<RawFd> {
        let mut state = self.lock().ok()?;
        if !state.ever_told {
            return None;
        }
        if state.watch.is_none() {
            match Watch::new() {
                Ok(watch) => state.watch = Some(watch),
                Err(error) => {
                    let name = &self.event_name;
                    state.notes.add(Level::Error, LOG, || {
                        format!("No descriptor for the client of event '{name}': {error}")
                    });
                }
            }
        }
        state.watch.as_ref().map(Watch::fd)
    }

    /// How many messages have arrived and were not taken. Looks at the socket first, without
    /// blocking and for at most one read.
    pub fn buffer_size(&self) -> usize {
        let Ok(mut state) = self.lock() else { return 0 };
        // What fails here is met again by the next `recv`, which can say so.
        let _ = state.read_ahead();
        state.inbox.messages()
    }

    /// Forgets the messages that have arrived and were not taken. Looks at the socket first,
    /// without blocking and for at most one read. A message that has begun to arrive stays.
    pub fn clear_buffer(&self) -> Result<()> {
        let mut state = self.lock()?;
        state.read_ahead()?;
        state.inbox.clear_messages();
        // A sender that waits may read on.
        state.changed |= !state.line.is_empty();
        Ok(())
    }

    /// Ends the `recv` or `connect` in progress, or else the next one that may wait, with
    /// [`Status::Cancelled`], once, however often it was called before. Sends that wait, or come to
    /// wait before that, end too. Safe in a signal handler.
    pub fn cancel(&self) -> Result<()> {
        if self.is_forked() {
            return Err(forked());
        }
        self.wake.cancel();
        Ok(())
    }

    /// The name of the event.
    pub fn event_name(&self) -> &str {
        &self.event_name
    }

    /// The server's path, or its numeric `host:port`; empty while not connected.
    pub fn address(&self) -> String {
        self.with_connection(|connection| connection.address.clone()).unwrap_or_default()
    }

    /// The user that the server runs as; `None` for TCP and while not connected.
    pub fn server_uid(&self) -> Option<u32> {
        self.with_connection(|connection| match connection.peer {
            Peer::Unix(credentials) => credentials.map(|credentials| credentials.uid),
            Peer::Tcp(_) => None,
        })?
    }

    /// The server's process; `None` for TCP and while not connected.
    pub fn server_pid(&self) -> Option<i32> {
        self.with_connection(|connection| match connection.peer {
            Peer::Unix(credentials) => credentials.map(|credentials| credentials.pid),
            Peer::Tcp(_) => None,
        })?
    }

    /// The counters as they are now.
    pub fn stats(&self) -> ClientStats {
        self.lock().map(|state| state.stats).unwrap_or_default()
    }

    /// The connection, unless the server has gone.
    fn with_connection<R>(&self, look: impl FnOnce(&Connection) -> R) -> Option<R> {
        match &self.lock().ok()?.link {
            Link::Up(connection) if !sys::peer_has_left(connection.socket.as_fd()) => {
                Some(look(connection))
            }
            _ => None,
        }
    }

    /// Every call begins here: in a forked child the lock may be held for ever.
    fn lock(&self) -> Result<Guard<'_>> {
        if self.is_forked() {
            return Err(forked());
        }
        Ok(Guard::new(self.state.lock(), &self.wake, &self.has_next))
    }

    pub(crate) fn is_forked(&self) -> bool {
        !self.process.is_current()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !self.is_forked() {
            // It fails only in a forked child.
            let _ = self.disconnect();
            return;
        }
        match self.state.try_lock() {
            Some(mut state) => state.abandon(),
            // Locked at the moment of the fork means half changed: that is left alone.
            None => std::mem::forget(self.state.clone()),
        }
    }
}
