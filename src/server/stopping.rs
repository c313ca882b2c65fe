//! Stopping: from the call to the last word of the thread that carries it out.

use std::os::fd::AsFd;
use std::sync::Arc;

use super::engine::{BATCH, Engine, RawEvent};
use super::hooks::HookCaller;
use super::io::Io;
use super::shared::{Locked, Mode, Phase, Shared};
use crate::sys::{EpollEvent, ThreadMark};

impl Shared {
    pub fn stop(self: &Arc<Self>) {
        let me = ThreadMark::current();
        let mut state = self.lock();
        while state.phase == Phase::Starting {
            self.wait_for_change(&mut state, None);
        }
        let mode = match state.phase {
            Phase::Running(mode) => {
                self.enter(&mut state, Phase::Stopping(mode));
                self.show_readiness(&mut state);
                state.stop_untold = mode == Mode::Run && state.runner != Some(me);
                if let Some(io) = self.io.get() {
                    io.wake.signal();
                }
                state.delivery.clients.values().for_each(|client| client.wake_all());
                if mode == Mode::Open || mode == Mode::Run && state.driver.is_none() {
                    state.driver = Some(me);
                    drop(state);
                    self.finish(mode);
                    return;
                }
                mode
            }
            Phase::Stopping(mode) => mode,
            Phase::Idle | Phase::Starting => {
                drop(state);
                return self.reap_thread();
            }
        };
        if state.driver == Some(me) {
            return;
        }
        self.wait_until_idle(state, mode, me);
    }

    /// Waits for the thread that stops the server, or becomes it where there is none any more.
    fn wait_until_idle(self: &Arc<Self>, mut state: Locked, mode: Mode, me: ThreadMark) {
        while state.phase == Phase::Stopping(mode) {
            if mode == Mode::Run && state.driver.is_none() {
                state.driver = Some(me);
                drop(state);
                return self.finish(mode);
            }
            self.wait_for_change(&mut state, None);
        }
        drop(state);
        self.reap_thread();
    }

    /// Waits for the thread of a server that has stopped.
    pub(super) fn reap_thread(&self) {
        let (thread, mark) = {
            let mut state = self.lock();
            let thread = if state.phase == Phase::Idle { state.thread.take() } else { None };
            (thread, state.thread_mark)
        };
        if let Some(thread) = thread
            && mark != Some(ThreadMark::current())
        {
            // What it panicked with, if it did, was logged where it happened.
            let _ = thread.join();
        }
    }

    /// Carries a stop out, on the thread that drives the server or, where none does, on that which
    /// asked for it. The phase is `Stopping` already: nobody can send any more.
    pub(super) fn finish(self: &Arc<Self>, mode: Mode) {
        if !self.process.is_current() {
            return;
        }
        let listener = self.engine.lock().as_mut().and_then(Engine::stop_listening);
        // It may log: no lock is held.
        let listener = listener.map(|mut listener| {
            listener.withdraw();
            listener
        });
        {
            let mut state = self.lock();
            state.address.clear();
            state.port = 0;
        }
        self.shut_engine_down(mode);
        let mut events = self.engine.lock().take().map(Engine::into_events).unwrap_or_default();
        if mode != Mode::Open {
            let mut hooks = HookCaller::new(self, mode);
            for event in events.drain(..).filter(|event| !matches!(event, RawEvent::Message(..))) {
                hooks.call(&event);
            }
        }
        if let Some(listener) = listener {
            listener.release();
        }
        let mut state = self.lock();
        if mode == Mode::Open {
            if state.leftover.is_empty() {
                state.leftover = events;
            } else {
                state.leftover.extend(events);
            }
            state.end_untold = true;
        }
        if mode == Mode::Thread {
            self.set_standby(&mut state, false);
        }
        state.driver = None;
        self.enter(&mut state, Phase::Idle);
        self.show_readiness(&mut state);
        self.note(&mut state, || "has stopped".into());
        let after_stop = std::mem::take(&mut state.after_stop);
        drop(state);
        after_stop.into_iter().for_each(|last| last());
    }

    /// Ends listening, delivers what is queued and closes every connection.
    fn shut_engine_down(&self, mode: Mode) {
        let Some(io) = self.io.get() else { return };
        if mode != Mode::Open {
            // A cancel that nobody takes any more would end every wait.
            let _ = io.epoll.remove(io.cancel.as_fd());
        }
        if let Some(engine) = self.engine.lock().as_mut() {
            engine.begin_shutdown(mode == Mode::Open, self);
        }
        loop {
            let mut slot = self.engine.lock();
            let Some(engine) = slot.as_mut() else { break };
            let done = engine.is_shut_down(self);
            let notes = engine.take_notes(self);
            drop(slot);
            notes.emit();
            if done {
                break;
            }
            self.wait_uninterrupted(io);
        }
        // Nothing is to be done for this run any more: the next one begins quietly.
        io.wake.clear();
        io.deadline.disarm();
        io.tail.disarm();
        match (mode, self.outer.get()) {
            (Mode::Thread, _) => {
                self.take_cancel(&self.lock());
            }
            (Mode::Open, Some(outer)) => {
                let _ = outer.remove(io.epoll.as_fd());
            }
            _ => {}
        }
    }

    /// Waits, whatever signals come, and tells the engine what is ready.
    fn wait_uninterrupted(&self, io: &Io) {
        let mut ready = [EpollEvent::EMPTY; BATCH];
        // It fails only where a signal interrupts it: nothing is ready then.
        let count = io.epoll.wait(&mut ready, -1).unwrap_or(0);
        if let Some(engine) = self.engine.lock().as_mut() {
            engine.set_ready(&ready[..count]);
        }
    }

    /// In a forked child: closes the descriptors of the connections and of the listener. Nothing
    /// is said to anybody, and no file is touched. What a thread of the parent had locked at that
    /// moment is half changed: it is left alone, and its descriptors stay open.
    pub fn abandon(self: &Arc<Self>) {
        let engine = self.engine.try_lock().map(|mut engine| drop(engine.take()));
        let state = self.try_lock().map(|mut state| {
            state.delivery.clients.clear();
            state.dismissed.clear();
        });
        if engine.is_none() || state.is_none() || self.hooks.is_locked() {
            std::mem::forget(self.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Transport;
    use crate::{Options, Result};

    /// As in a forked child, where another thread of the parent had locked something.
    #[test]
    fn what_is_half_changed_is_not_taken_apart() -> Result<()> {
        let shared = || {
            let settings = Options::new()?.settings()?;
            Shared::new(Transport::Unix, "abandoned", settings).map(Arc::new)
        };
        let (free, engine_locked, state_locked) = (shared()?, shared()?, shared()?);
        free.abandon();
        assert_eq!(Arc::strong_count(&free), 1);
        let engine = engine_locked.engine.lock();
        engine_locked.abandon();
        drop(engine);
        assert_eq!(Arc::strong_count(&engine_locked), 2);
        let state = state_locked.lock();
        state_locked.abandon();
        drop(state);
        assert_eq!(Arc::strong_count(&state_locked), 2);
        Ok(())
    }
}
