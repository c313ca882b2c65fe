//! What the threads of a server share, and the locks around it.
//!
//! Lock order: `engine`, then `state`, then `hooks`. No lock is held while a hook or a logger runs
//! or while a system call waits.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::cancels::Cancels;
use super::delivery::Delivery;
use super::engine::{Engine, RawEvent};
use super::hooks::Hooks;
use super::io::Io;
use super::io::token::FIRST_CLIENT;
use super::recipient::Recipient;
use crate::settings::Settings;
use crate::sys::{Epoll, Process, ThreadMark};
use crate::transport::Transport;
use crate::{Error, Result, Status};

/// The way a server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `start`: on a thread of its own.
    Thread,
    /// `run`: on the calling thread.
    Run,
    /// `open`: driven by `next`.
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Starting,
    Running(Mode),
    Stopping(Mode),
}

/// Everything under the state lock.
pub(crate) struct State {
    pub phase: Phase,
    pub delivery: Delivery,
    pub address: String,
    pub port: u16,
    /// Clients that were told to leave, until the engine has looked.
    pub dismissed: BTreeMap<u64, Recipient>,
    /// Numbers of clients, never used again.
    pub next_client: u64,
    /// The thread that drives the server, or that carries out its stop.
    pub driver: Option<ThreadMark>,
    /// The thread that was last in `run`.
    pub runner: Option<ThreadMark>,
    /// Another thread than the runner asked for a stop, and no call of `run` has told of it yet.
    pub stop_untold: bool,
    /// The library's own thread.
    pub thread: Option<JoinHandle<()>>,
    /// That thread, as it calls itself.
    pub thread_mark: Option<ThreadMark>,
    /// After a stop of an opened server: events that `next` has not yielded, and that it has yet
    /// to say that the server is not running.
    pub leftover: std::collections::VecDeque<RawEvent>,
    pub end_untold: bool,
    /// Threads in `next`.
    pub in_next: usize,
    /// Whether `io.ready` is signalled.
    pub ready_shown: bool,
    /// What is to be done when the server has stopped and its loop is left.
    pub after_stop: Vec<Box<dyn FnOnce() + Send>>,
}

/// What the engine counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub connections: AtomicU64,
    pub rejected: AtomicU64,
    pub messages_received: AtomicU64,
    pub bytes_received: AtomicU64,
    pub malformed: AtomicU64,
    pub denied: AtomicU64,
}

/// With the engine locked: nobody else writes to a counter, so that this need not be one step.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

pub(crate) struct Shared {
    pub transport: Transport,
    pub event_name: String,
    pub settings: Arc<Settings>,
    pub process: Process,
    pub counters: Counters,
    pub hooks: Mutex<Hooks>,
    pub engine: Mutex<Option<Engine>>,
    pub io: OnceCell<Arc<Io>>,
    /// The descriptor that users watch: `io.epoll` while the server is open, and `io.ready`.
    pub outer: OnceCell<Epoll>,
    /// Whether somebody was given `outer` to wait for.
    pub watched: AtomicBool,
    /// Whether the engine of an opened server has events that no descriptor of its own tells of;
    /// set with the engine locked.
    pub more: AtomicBool,
    /// Signalled whenever `phase` or `driver` changes.
    pub changed: Condvar,
    /// How often `phase` has changed: a loop sees that it goes on without a lock.
    changes: AtomicU64,
    /// Whether the program collects sends under a cork: set with the state locked.
    pub corked: AtomicBool,
    /// What the delivery knows about the library's own thread, for that thread to see without a lock.
    pub stands_by: AtomicBool,
    /// Whether the engine has left log records under the state lock.
    pub notes_left: AtomicBool,
    state: Mutex<State>,
    pub cancels: Cancels,
}

/// The state, locked. Log records that arose meanwhile are handed on once the lock is released.
pub(crate) struct Locked<'a>(Option<MutexGuard<'a, State>>);

impl Deref for Locked<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        self.0.as_ref().expect("the guard is there until it is dropped")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_mut().expect("the guard is there until it is dropped")
    }
}

impl Drop for Locked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(state) = self.0.take()
            && !state.delivery.common.notes.is_empty()
        {
            hand_over_notes(state);
        }
    }
}

#[cold]
fn hand_over_notes(mut state: MutexGuard<State>) {
    let notes = std::mem::take(&mut state.delivery.common.notes);
    drop(state);
    notes.emit();
}

/// The state, locked by the engine or by somebody who leaves log records to it.
pub(crate) struct LockedInEngine<'a> {
    state: MutexGuard<'a, State>,
    notes_left: &'a AtomicBool,
}

impl Deref for LockedInEngine<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for LockedInEngine<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for LockedInEngine<'_> {
    fn drop(&mut self) {
        if !self.state.delivery.common.notes.is_empty() {
            self.notes_left.store(true, Ordering::Relaxed);
        }
    }
}

impl Shared {
    pub fn new(transport: Transport, event_name: &str, settings: Settings) -> Result<Shared> {
        crate::validate_event_name(event_name)?;
        let process = Process::current()
            .map_err(|error| Error::os(Status::Io, "Cannot map a page of memory", &error))?;
        let settings = Arc::new(settings);
        Ok(Shared {
            transport,
            event_name: event_name.into(),
            process,
            counters: Counters::default(),
            hooks: Mutex::default(),
            engine: Mutex::new(None),
            io: OnceCell::new(),
            outer: OnceCell::new(),
            watched: AtomicBool::new(false),
            more: AtomicBool::new(false),
            changed: Condvar::new(),
            changes: AtomicU64::new(0),
            corked: AtomicBool::new(false),
            stands_by: AtomicBool::new(false),
            notes_left: AtomicBool::new(false),
            state: Mutex::new(State {
                phase: Phase::Idle,
                delivery: Delivery::new(event_name, settings.clone()),
                address: String::new(),
                port: 0,
                dismissed: BTreeMap::new(),
                next_client: FIRST_CLIENT,
                driver: None,
                runner: None,
                stop_untold: false,
                thread: None,
                thread_mark: None,
                leftover: Default::default(),
                end_untold: false,
                in_next: 0,
                ready_shown: false,
                after_stop: Vec::new(),
            }),
            settings,
            cancels: Cancels::default(),
        })
    }

    #[inline(always)]
    pub fn lock(&self) -> Locked<'_> {
        Locked(Some(self.state.lock()))
    }

    /// The state where no logger may run at the end, as with the engine locked: log records wait
    /// until somebody who drives the engine has released that.
    #[inline(always)]
    pub fn lock_in_engine(&self) -> LockedInEngine<'_> {
        LockedInEngine { state: self.state.lock(), notes_left: &self.notes_left }
    }

    /// Makes the server enter a phase, and tells everybody who waits for that.
    pub fn enter(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// How often a phase was entered.
    #[inline(always)]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// The state if nobody has it locked: for a forked child, where nobody would unlock it.
    pub fn try_lock(&self) -> Option<Locked<'_>> {
        self.state.try_lock().map(|state| Locked(Some(state)))
    }

    /// Waits until the phase or the driver may have changed, for at most `limit`. Signals do not
    /// end it.
    pub fn wait_for_change(&self, state: &mut Locked, limit: Option<Duration>) {
        match (&mut state.0, limit) {
            (Some(guard), None) => self.changed.wait(guard),
            (Some(guard), Some(limit)) => {
                self.changed.wait_for(guard, limit);
            }
            (None, _) => {}
        }
    }

    /// Refuses to do anything with a server that was made before a fork.
    #[inline(always)]
    pub fn check_process(&self) -> Result<()> {
        if self.process.is_current() {
            return Ok(());
        }
        Err(Error::new(
            Status::Forked,
            "This server was made before a fork and belongs to the parent process: \
             make a new one here",
        ))
    }

    #[cold]
    pub fn not_running(&self) -> Error {
        let text = format!("Server '{}' is not running: start it first", self.event_name);
        Error::new(Status::NotRunning, text)
    }

    /// Safe in a signal handler: a load, an addition and a write.
    pub fn cancel(&self) {
        self.cancels.ask(|| self.io.get().map(|io| &io.cancel));
    }

    /// Takes a pending cancel. Senders that wait are woken, since its descriptor is quiet now.
    pub fn take_cancel(&self, state: &State) -> bool {
        if !self.cancels.take(self.io.get().map(|io| &io.cancel)) {
            return false;
        }
        state.delivery.clients.values().for_each(|client| client.wake_all());
        true
    }
}

#[cold]
pub(crate) fn no_client(client: &str) -> Error {
    let text = format!("No client '{client}' is connected: it has left, or never had this id");
    Error::new(Status::NoClient, text)
}

/// The number that stands behind a client's id, if it is one that we could have given.
pub(crate) fn parse_client_id(text: &str) -> Option<u64> {
    let digits = text.strip_prefix(CLIENT)?;
    if digits.starts_with(['0', '+']) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_add(FIRST_CLIENT)?.checked_sub(1)
}

/// How a client is named to users.
pub(crate) fn client_id(id: u64) -> String {
    with_client_id(id, |text| String::from_utf8_lossy(text).into_owned())
}

/// The same without an allocation.
pub(crate) fn with_client_id<T>(id: u64, take: impl FnOnce(&[u8]) -> T) -> T {
    // Written by hand, not formatted: every message that `next` yields comes with one.
    let mut number = id - FIRST_CLIENT + 1;
    let mut text = [0; CLIENT.len() + 20];
    let mut at = text.len();
    while number > 0 {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let digits = at;
    at -= CLIENT.len();
    text[at..digits].copy_from_slice(CLIENT.as_bytes());
    take(&text[at..])
}

const CLIENT: &str = "client-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_clients_are_read_back_and_nothing_else_is() {
        for id in [FIRST_CLIENT, FIRST_CLIENT + 9, 12_345, u64::MAX - FIRST_CLIENT] {
            assert_eq!(parse_client_id(&client_id(id)), Some(id));
        }
        assert_eq!(client_id(FIRST_CLIENT), "client-1");
        for text in ["", "client-", "client-0", "client-01", "client-+1", "client--1", "Client-1"] {
            assert_eq!(parse_client_id(text), None, "{text}");
        }
        assert_eq!(parse_client_id("client-99999999999999999999"), None);
    }
}
