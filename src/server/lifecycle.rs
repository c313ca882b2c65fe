//! Starting, driving and stopping: three ways to run one engine.
//!
//! | way | who drives it | how it waits |
//! | --- | --- | --- |
//! | `start` | the library's own thread | in epoll: no signal reaches that thread |
//! | `run` | the thread that calls it | in poll: a signal handler ends it, a stop and continue does not |
//! | `open` | whoever calls `next` | likewise |

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::LOG;
use super::driving::{Driver, Patience, Turn};
use super::engine::{Engine, RawEvent};
use super::gate::Gate;
use super::hooks::HookCaller;
use super::io::{Io, token};
use super::shared::{Locked, Mode, Phase, Shared, State};
use crate::auth::Secret;
use crate::sys::{self, Epoll, Interest, ThreadMark};
use crate::timestamp::Stamper;
use crate::transport::{Listener, Transport};
use crate::{Error, Result, Status, deferred};

impl Shared {
    /// Begins to listen. On success the phase is `Running(mode)`.
    pub fn listen(&self, mode: Mode) -> Result<()> {
        {
            let mut state = self.lock();
            if state.phase != Phase::Idle {
                return Err(self.running_already());
            }
            self.enter(&mut state, Phase::Starting);
        }
        let bound = self.bind(mode);
        let mut state = self.lock();
        match bound {
            Ok((address, port)) => {
                self.enter(&mut state, Phase::Running(mode));
                state.stop_untold = false;
                state.end_untold = false;
                self.more.store(false, Ordering::Relaxed);
                if mode != Mode::Open {
                    state.leftover.clear();
                }
                if mode == Mode::Run {
                    state.driver = Some(ThreadMark::current());
                    state.runner = state.driver;
                }
                self.show_readiness(&mut state);
                self.note(&mut state, || format!("listens on {address}"));
                (state.address, state.port) = (address, port);
                Ok(())
            }
            Err(error) => {
                self.enter(&mut state, Phase::Idle);
                Err(error)
            }
        }
    }

    pub(super) fn note(&self, state: &mut State, what: impl FnOnce() -> String) {
        let notes = &mut state.delivery.common.notes;
        notes.add(log::Level::Info, LOG, || format!("Server '{}' {}", self.event_name, what()));
    }

    fn bind(&self, mode: Mode) -> Result<(String, u16)> {
        let failed = |error: std::io::Error| {
            Error::os(Status::Io, "Cannot make the descriptors of a server", &error)
        };
        let io = self.io.get_or_try_init(|| Io::new().map(Arc::new)).map_err(failed)?;
        self.cancels.event_is_made();
        self.lock().delivery.common.begin(io.clone());
        if mode == Mode::Open {
            self.outer(io).map_err(failed)?;
        }
        let secret = match self.transport {
            Transport::Tcp => Secret::configured(&self.event_name, &self.settings)?,
            // Who may connect there, the system decides.
            Transport::Unix => None,
        };
        let gate = secret.map(|secret| Gate::new(secret, Stamper::new(self.settings.timezone)));
        let listener = Listener::bind(self.transport, &self.event_name, &self.settings)?;
        let (address, port) = (listener.address().to_owned(), listener.port());
        let mut engine = Engine::new(io.clone(), listener, gate);
        let watched = engine.listen().and_then(|()| match mode {
            Mode::Thread | Mode::Run => {
                io.epoll.add(io.cancel.as_fd(), Interest::READ, token::CANCEL)
            }
            Mode::Open => {
                self.outer(io).and_then(|outer| outer.add(io.epoll.as_fd(), Interest::READ, 0))
            }
        });
        if let Err(error) = watched {
            if let Some(mut listener) = engine.stop_listening() {
                listener.withdraw();
                listener.release();
            }
            return Err(failed(error));
        }
        *self.engine.lock() = Some(engine);
        Ok((address, port))
    }

    /// The descriptor that users watch.
    fn outer(&self, io: &Io) -> std::io::Result<&Epoll> {
        self.outer.get_or_try_init(|| {
            let outer = Epoll::new()?;
            outer.add(io.ready.as_fd(), Interest::READ, 0)?;
            Ok(outer)
        })
    }

    fn running_already(&self) -> Error {
        let text = format!(
            "Server '{}' is running already, or about to start or stop: stop it first",
            self.event_name
        );
        Error::new(Status::State, text)
    }

    pub fn start(self: &Arc<Self>) -> Result<()> {
        if self.settings.blocking_mode {
            return self.run();
        }
        self.reap_thread();
        self.listen(Mode::Thread)?;
        let shared = self.clone();
        let name = format!("dotsock-{}", self.event_name);
        // Locked, so that nobody can wait for the end of the thread before it is known.
        let mut state = self.lock();
        self.set_standby(&mut state, true);
        let thread =
            sys::spawn_without_signals(&name[..name.len().min(15)], move || shared.thread_main());
        match thread {
            Ok(thread) => {
                state.thread = Some(thread);
                Ok(())
            }
            Err(error) => {
                self.enter(&mut state, Phase::Stopping(Mode::Thread));
                drop(state);
                self.finish(Mode::Thread);
                Err(Error::os(Status::Io, "Cannot start the server's thread", &error))
            }
        }
    }

    /// The library's own thread.
    fn thread_main(self: Arc<Self>) {
        let mut driver = {
            let mut state = self.lock();
            state.driver = Some(ThreadMark::current());
            state.thread_mark = state.driver;
            Driver::new(&self, &state, Mode::Thread)
        };
        let mut hooks = HookCaller::new(&self, Mode::Thread);
        while let Turn::Event(event) = driver.turn(Patience::Endless) {
            hooks.call(&event);
            deferred::run();
        }
        // When the server has stopped, nobody else holds its hooks: freeing it releases them.
        drop(hooks);
        self.finish(Mode::Thread);
        deferred::run();
    }

    pub fn run(self: &Arc<Self>) -> Result<()> {
        let me = ThreadMark::current();
        let mut state = self.lock();
        while state.stop_untold
            && state.phase == Phase::Stopping(Mode::Run)
            && state.driver != Some(me)
        {
            self.wait_for_change(&mut state, None);
        }
        if state.phase == Phase::Idle && std::mem::take(&mut state.stop_untold) {
            return Ok(());
        }
        if state.phase == Phase::Running(Mode::Run) && state.driver.is_none() {
            state.driver = Some(me);
            state.runner = Some(me);
        } else {
            drop(state);
            self.listen(Mode::Run)?;
            state = self.lock();
        }
        let mut driver = Driver::new(self, &state, Mode::Run);
        drop(state);
        // What a log function has asked for that heard of the listening: this call does not end soon.
        deferred::run();
        let mut hooks = HookCaller::new(self, Mode::Run);
        let status = loop {
            match driver.turn(Patience::Endless) {
                Turn::Event(event) => {
                    hooks.call(&event);
                    deferred::run();
                }
                Turn::Cancelled => break cancelled(),
                Turn::Interrupted => break interrupted(),
                Turn::Stopping | Turn::TimedOut => {
                    drop(hooks);
                    self.check_process()?;
                    // This call tells of it.
                    self.lock().stop_untold = false;
                    self.finish(Mode::Run);
                    return Ok(());
                }
            }
        };
        let mut state = self.lock();
        state.driver = None;
        self.changed.notify_all();
        Err(status)
    }

    pub fn open(&self) -> Result<()> {
        self.listen(Mode::Open)
    }

    pub fn next(&self, limit: Option<Duration>) -> Result<RawEvent> {
        let patience = Patience::new(limit);
        let mut state = self.lock();
        state.in_next += 1;
        loop {
            let result = self.next_event(state, patience);
            // A log function may have forked: who had the lock then does not give it back here.
            self.check_process()?;
            // Log records are left to the engine: no logger runs between this and the return.
            let mut now = self.lock_in_engine();
            if result.as_ref().is_ok_and(|event| now.has_dismissed(event)) {
                drop(now);
                state = self.lock();
                continue;
            }
            now.in_next -= 1;
            self.show_readiness(&mut now);
            return result;
        }
    }

    fn next_event<'a>(&'a self, mut state: Locked<'a>, patience: Patience) -> Result<RawEvent> {
        loop {
            while state.phase == Phase::Stopping(Mode::Open)
                && state.driver != Some(ThreadMark::current())
            {
                let Some(remaining) = patience.remaining() else { return Err(nothing_in_time()) };
                self.wait_for_change(&mut state, remaining);
            }
            let left = !state.leftover.is_empty();
            match state.phase {
                Phase::Running(Mode::Open) if !left => state.delivery.write_collected(),
                Phase::Running(Mode::Open) | Phase::Idle => {
                    if (left || state.end_untold) && !patience.polls() && self.take_cancel(&state) {
                        return Err(cancelled());
                    }
                    let event = state.leftover.pop_front();
                    state.end_untold &= event.is_some();
                    return event.ok_or_else(|| self.not_running());
                }
                _ => return Err(self.running_already()),
            }
            let mut driver = Driver::new(self, &state, Mode::Open);
            drop(state);
            return match driver.turn(patience) {
                Turn::Event(event) => Ok(event),
                Turn::Stopping => {
                    self.check_process()?;
                    state = self.lock();
                    continue;
                }
                Turn::TimedOut => Err(nothing_in_time()),
                Turn::Cancelled => Err(cancelled()),
                Turn::Interrupted => Err(interrupted()),
            };
        }
    }

    pub fn fd(&self) -> Option<std::os::fd::RawFd> {
        let outer = self.outer.get()?;
        if !self.watched.swap(true, Ordering::Relaxed) {
            let mut state = self.lock();
            self.show_readiness(&mut state);
        }
        Some(std::os::fd::AsRawFd::as_raw_fd(outer))
    }
}

fn nothing_in_time() -> Error {
    Error::new(Status::Timeout, "No event of the server in time")
}

fn cancelled() -> Error {
    Error::new(Status::Cancelled, "The wait was ended by a cancel")
}

fn interrupted() -> Error {
    Error::new(Status::Interrupted, "The wait was ended by a signal handler: call again to go on")
}
