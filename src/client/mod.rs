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
/// In a forked child, calls on a client from before the fork fail with [`Status::Forked`], and
/// getters answer as if there were no connection: make a new one there.
///
/// Among the messages are some of the library's own, with a `code` in the payload: `missed`, a
/// [`Control`](crate::MessageType::Control) message, stands where the server dropped `count`
/// messages because this client was too slow; `send_denied`, an
/// [`Error`](crate::MessageType::Error) message, says that the server takes no messages.
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

    /// A client of this event, not connected yet; `options` are copied. For TCP it goes to `host`
    /// and `port`, or without a port to the address that the server published in `socket_dir`.
    ///
    /// # Errors
    /// - [`Status::Invalid`]: no event can have this name (see [`validate_event_name`]), or
    ///   `port_range_start` is over `port_range_end`: correct it.
    /// - [`Status::Io`]: a relative `socket_dir` or `token_file` cannot be made absolute: give it
    ///   as an absolute path. Or the system has no page of memory to give: try again later.
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
    /// program that must not wait, or that comes before its server. The attempts are made by
    /// [`recv`](Client::recv) and the sends, and [`fd`](Client::fd) tells when one is due.
    ///
    /// # Errors
    /// - [`Status::State`]: `auto_reconnect` is off, or `host` is a name that has to be looked up,
    ///   which may block: use [`connect`](Client::connect).
    /// - [`Status::Invalid`]: the path of the socket is longer than the system allows: choose
    ///   another `socket_dir`.
    /// - [`Status::Io`]: the process has no descriptor left: close some, or raise its limit.
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

    /// Connects, in one attempt that takes at most `default_timeout` (looking up a host name
    /// aside). Does nothing when connected already.
    ///
    /// With `auto_reconnect`, [`recv`](Client::recv) and the sends go on trying after a failure,
    /// unless the name of the host could not be looked up. A server that has as many clients as it
    /// allows says so in its first message, and one that asks for a token which this client has not
    /// got is known by its question: `recv` or a send then fails.
    ///
    /// # Errors
    /// - [`Status::Closed`]: no server is there ([`Error::os_error`] is `ENOENT` or
    ///   `ECONNREFUSED`): start it, or try again later.
    /// - [`Status::Timeout`]: no answer in time: is the server busy, or its host down?
    /// - [`Status::Permission`]: the server runs as another unprivileged user (see
    ///   `allow_foreign_server`), a TCP server and this client do not have the same token, or a
    ///   directory or file is not to be trusted or not to be read: the error names it.
    /// - [`Status::Invalid`]: the path of the socket is too long; or, over TCP, `token` and
    ///   `token_file` are both set, `token_file` is empty, longer than 4095 bytes or not a regular
    ///   file, or there is a token and `default_timeout` is 0: correct the option.
    /// - [`Status::NoMemory`]: the system had none to show the token with for all that time: try
    ///   again later.
    /// - [`Status::Cancelled`]: [`cancel`](Client::cancel) was called.
    /// - [`Status::Interrupted`]: a signal handler ran: call again to go on.
    /// - [`Status::Io`]: the name of the host is not known, or another error of the system.
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
            let (mut target, disconnects) = (state.target.clone(), state.disconnects);
            let found = state.unlocked(|| target.look_up());
            if state.disconnects != disconnects {
                // Another thread said so meanwhile.
                return Err(state.closed());
            }
            if let Err(error) = found {
                // Another thread may have connected meanwhile, by an address that was known.
                if let Link::Down = state.link {
                    state.told = false;
                }
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

    /// Disconnects, and stops connecting by itself; harmless when not connected. What was sent is
    /// delivered first, for at most `linger`. Messages that were read already can still be
    /// received, then `recv` fails with [`Status::Closed`], in other threads too.
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
    /// # Errors
    /// - [`Status::Timeout`]: nothing arrived in time.
    /// - [`Status::Closed`]: there is no connection and none to come: connect again. With
    ///   `auto_reconnect` only after [`disconnect`](Client::disconnect), or when
    ///   `reconnect_max_attempts` are used up; with `report_loss` also once for each lost
    ///   connection, and the next call goes on.
    /// - [`Status::MaxConnections`]: the server has as many clients as it allows. Said once; the
    ///   next call behaves as after a lost connection.
    /// - [`Status::Permission`]: the server asks for a token and none is set, or as for
    ///   [`connect`](Client::connect). Said once, likewise.
    /// - [`Status::Message`]: the server sent what is no message of this protocol: is it another
    ///   program's? Said once, likewise.
    /// - [`Status::Io`], [`Status::Invalid`]: connecting again fails for another reason than that
    ///   no server is there, see [`connect`](Client::connect). Said once for each lost connection.
    /// - [`Status::Cancelled`]: [`cancel`](Client::cancel) was called. Nothing is lost, call again
    ///   to go on.
    /// - [`Status::Interrupted`]: a signal handler ran. Nothing is lost, call again to go on.
    /// - [`Status::NoMemory`]: there was none for what arrived: call again later.
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
    /// Ends where [`recv`](Client::recv) says [`Status::Closed`], [`Status::Cancelled`] or
    /// [`Status::Forked`], goes on after signal handlers, and yields other errors: whether to go on
    /// after them is for the caller to say. With `report_loss` that is an end at every lost
    /// connection; ask for `messages` again to go on.
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
    /// client is dropped; `None` before, and when the process has no descriptor left. It is
    /// readable (level-triggered) for as long as `recv(Some(Duration::ZERO))` has something to do.
    /// Wait on it, never read or close it.
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

    /// Drops the messages that have arrived and were not taken. Looks at the socket first, without
    /// blocking and for at most one read. A message that has begun to arrive stays.
    ///
    /// # Errors
    /// - [`Status::NoMemory`]: there was none for what arrived: call again later.
    pub fn clear_buffer(&self) -> Result<()> {
        let mut state = self.lock()?;
        state.read_ahead()?;
        state.inbox.clear_messages();
        // A sender that waits may read on.
        state.changed |= !state.line.is_empty();
        Ok(())
    }

    /// Ends the [`recv`](Client::recv) or [`connect`](Client::connect) in progress or, if there is
    /// none, the next one that may wait: it fails with [`Status::Cancelled`], once, however often
    /// this was called before. Also ends every send that waits, or comes to wait before that. Safe
    /// in a signal handler.
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
        Ok(Guard::new(self.state.lock(), &self.wake, &self.has_next, self.process))
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

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("event_name", &self.event_name()).finish_non_exhaustive()
    }
}
