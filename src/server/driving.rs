//! Driving a server: turns of its loop, and how they wait.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::{BATCH, RawEvent};
use super::io::Io;
use super::shared::{Mode, Phase, Shared, State};
use super::waiting::{BLIND, look_by_the_clock};
use crate::deferred;
use crate::sys::{self, EpollEvent, Monotonic, Readiness, WaitFor};

/// How long a turn may wait for an event.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    Poll,
    Until(Monotonic),
    Endless,
}

impl Patience {
    pub fn new(limit: Option<Duration>) -> Patience {
        match limit {
            None => Patience::Endless,
            Some(Duration::ZERO) => Patience::Poll,
            Some(limit) => Patience::Until(Monotonic::now().after(limit)),
        }
    }

    pub fn polls(self) -> bool {
        matches!(self, Patience::Poll)
    }

    /// How long to wait, `Some(None)` for without end; `None` when the time is up.
    pub fn remaining(self) -> Option<Option<Duration>> {
        match self {
            Patience::Poll => None,
            Patience::Until(deadline) => {
                Some(deadline.remaining()).filter(|remaining| !remaining.is_zero()).map(Some)
            }
            Patience::Endless => Some(None),
        }
    }
}

/// How a turn of the loop ended.
pub(super) enum Turn {
    Event(RawEvent),
    Stopping,
    TimedOut,
    Cancelled,
    Interrupted,
}

/// What a thread that drives a server keeps from one turn to the next.
pub(super) struct Driver<'a> {
    shared: &'a Shared,
    mode: Mode,
    /// [`Shared::changes`] for as long as the server runs in this way.
    run: Option<u64>,
    /// Whether the engine may have an event without waiting for one.
    more: bool,
    /// Descriptors that a wait on the library's own thread has found ready, and how many that are.
    ready: Option<[EpollEvent; BATCH]>,
    found: usize,
}

impl<'a> Driver<'a> {
    pub fn new(shared: &'a Shared, state: &State, mode: Mode) -> Driver<'a> {
        let runs = state.phase == Phase::Running(mode);
        Driver {
            shared,
            mode,
            run: runs.then(|| shared.changes()),
            more: mode != Mode::Open || shared.more.load(Ordering::Relaxed),
            ready: (mode == Mode::Thread).then_some([EpollEvent::EMPTY; BATCH]),
            found: 0,
        }
    }

    /// One turn: an event, or why there is none.
    pub fn turn(&mut self, patience: Patience) -> Turn {
        let shared = self.shared;
        let Some(io) = shared.io.get() else { return Turn::Stopping };
        let mut woken = false;
        loop {
            // A hook may have forked: the child's copy of the loop ends without a word.
            if !shared.process.is_current() {
                return Turn::Stopping;
            }
            // Ahead of a cancel: a stop that a hook has asked for, nobody else carries out.
            if self.has_ended() {
                return Turn::Stopping;
            }
            if !patience.polls()
                && shared.cancels.is_pending()
                && shared.take_cancel(&shared.lock())
                && self.mode != Mode::Thread
            {
                return Turn::Cancelled;
            }
            // What a wait on the library's own thread has found is known.
            let look = self.mode != Mode::Thread && (woken || patience.polls());
            if self.more || woken || look {
                if let Some(event) = self.progress(look) {
                    return Turn::Event(event);
                }
                if self.more {
                    // It waited for a logger.
                    continue;
                }
            }
            let Some(remaining) = patience.remaining() else { return Turn::TimedOut };
            if self.has_ended() {
                // The engine may have taken the signal that came with it for one of its own.
                continue;
            }
            if woken && self.mode == Mode::Open {
                shared.cancels.quiet(&io.cancel);
            }
            if self.mode == Mode::Thread {
                shared.stand_by();
            }
            if !self.wait(io, remaining) {
                return Turn::Interrupted;
            }
            woken = true;
        }
    }

    #[inline(always)]
    fn has_ended(&self) -> bool {
        self.run != Some(self.shared.changes())
    }

    /// Waits until something may have happened; `false` if a signal handler ended that.
    #[inline(always)]
    fn wait(&mut self, io: &Io, limit: Option<Duration>) -> bool {
        let spin = self.shared.settings.spin;
        if let Some(ready) = &mut self.ready {
            // It fails only where a signal interrupts it: nothing is ready then.
            self.found = match spin {
                Duration::ZERO => io.epoll.wait(ready, -1),
                spin => io.epoll.wait_spinning(ready, spin),
            }
            .unwrap_or(0);
            return true;
        }
        let watched = [(io.epoll.as_fd(), WaitFor::Read), (io.cancel.as_fd(), WaitFor::Read)];
        // Each descriptor more costs time: elsewhere the cancel is in the set.
        let watched = if self.mode == Mode::Open { &watched[..] } else { &watched[..1] };
        let result = match spin {
            Duration::ZERO => sys::poll(watched, limit),
            spin => sys::poll_spinning(watched, limit, spin),
        };
        if result.is_err() {
            // No memory to wait with, or a limit of the process below the number of descriptors: it
            // would try again at once, for ever.
            look_by_the_clock(limit.unwrap_or(BLIND));
        }
        let interrupted = matches!(result, Ok(Readiness::Interrupted));
        !interrupted || self.shared.cancels.is_pending()
    }

    /// Lets the engine work until it has an event, without waiting. `look`: something may be ready
    /// that it does not know of.
    #[inline(always)]
    fn progress(&mut self, look: bool) -> Option<RawEvent> {
        let shared = self.shared;
        let mut slot = shared.engine.lock();
        if self.has_ended() {
            // What is there now is that of another run, or on its way to the end.
            return None;
        }
        let engine = slot.as_mut()?;
        if let Some(ready) = &self.ready
            && self.found > 0
        {
            engine.set_ready(&ready[..std::mem::take(&mut self.found)]);
        }
        let mut event = engine.progress(shared);
        if event.is_none() && look {
            engine.look(shared);
            event = engine.progress(shared);
        }
        let notes = engine.take_notes(shared);
        if !notes.is_empty()
            && let Some(event) = event.take()
        {
            // A logger may disconnect the client whose message this is.
            engine.take_back(event);
        }
        self.more = engine.has_more();
        if self.mode == Mode::Open && shared.more.load(Ordering::Relaxed) != self.more {
            // With the engine still locked, or another thread could have changed what it has.
            shared.more.store(self.more, Ordering::Relaxed);
            let mut state = shared.lock_in_engine();
            let others = state.in_next.saturating_sub(1);
            shared.show_readiness_to(&mut state, others);
        }
        drop(slot);
        if !notes.is_empty() {
            shared.without_standby(self.mode, || notes.emit());
            if self.mode != Mode::Open {
                // What a log function asked for; `next` does that when it is over.
                deferred::run();
            }
        }
        event
    }
}

impl Shared {
    /// Signals `ready` for as long as `next` has something to do that no other descriptor tells of.
    pub fn show_readiness(&self, state: &mut State) {
        self.show_readiness_to(state, state.in_next);
    }

    /// The same from a thread in `next`, which knows; so many `others` are there, too.
    fn show_readiness_to(&self, state: &mut State, others: usize) {
        let Some(io) = self.io.get() else { return };
        let wanted = match state.phase {
            // Who calls `next` again and again without a look at the descriptor needs no signal.
            Phase::Running(Mode::Open) => {
                let watched = self.watched.load(Ordering::Relaxed) || others > 0;
                !state.leftover.is_empty() || self.more.load(Ordering::Relaxed) && watched
            }
            // Whoever stops the server waits for its set, which this must not end all the time.
            Phase::Stopping(_) => false,
            // Until the last thread in `next` has noticed the end.
            _ => !state.leftover.is_empty() || state.end_untold || state.in_next > 0,
        };
        if wanted != state.ready_shown {
            state.ready_shown = wanted;
            if wanted { io.ready.signal() } else { io.ready.clear() }
        }
    }
}
