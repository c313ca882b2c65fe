//! Connecting and receiving: progress, sleep, progress, until done or out of time.

use std::time::Duration;

use super::Client;
use super::inbox::Arrived;
use super::waiting::{Guard, Purpose};
use crate::sys::{Monotonic, Readiness};
use crate::{Error, Message, Result, Status};

impl Client {
    /// Waits for an attempt to connect, begun here where none is in progress, and says its number.
    /// How long that may take, the attempt knows.
    pub(super) fn drive_attempt(&self, state: &mut Guard, number: &mut Option<u64>) -> Result<()> {
        let disconnects = state.disconnects;
        loop {
            if state.disconnects != disconnects {
                return Err(state.closed());
            }
            // Another thread may have driven it to its end.
            if let Some(outcome) = state.outcome(*number) {
                return outcome;
            }
            *number = Some(state.ask_for_attempt());
            state.go_on_connecting();
            if let Some(outcome) = state.outcome(*number) {
                return outcome;
            }
            let woken = state.wait(Purpose::Connection, None)?;
            if state.sleepers.take_cancel(&self.wake) {
                return Err(cancelled());
            }
            match woken {
                Readiness::Interrupted => return Err(interrupted()),
                Readiness::Ready => state.sleepers.found_nothing(&self.wake),
                Readiness::TimedOut => {}
            }
        }
    }

    /// Waits for the next message, or takes one that is unlike most.
    pub(super) fn wait_for_message(
        &self,
        mut state: Guard,
        timeout: Option<Duration>,
    ) -> Result<Message> {
        let polls = timeout == Some(Duration::ZERO);
        let mut deadline = None;
        // Reading before waiting would cost a call for nothing, where waiting is allowed.
        let mut woken = if polls { Readiness::Ready } else { Readiness::TimedOut };
        loop {
            if !polls && state.sleepers.take_cancel(&self.wake) {
                return Err(cancelled());
            }
            if woken == Readiness::Interrupted {
                return Err(interrupted());
            }
            if !state.outbox.is_empty() && !state.outbox.is_stuck() {
                state.flush()?;
            }
            if let Some(arrived) = state.take_arrived()? {
                return taken(arrived);
            }
            let has_progress = state.go_on_receiving(woken == Readiness::Ready)?;
            if has_progress && let Some(message) = state.next_plain() {
                return Ok(message);
            }
            if let Some(arrived) = state.take_arrived()? {
                return taken(arrived);
            }
            if !state.has_hope() {
                return Err(state.closed());
            }
            if polls {
                return Err(nothing_in_time());
            }
            if let Some(timeout) = timeout {
                let now = Monotonic::now();
                if now >= *deadline.get_or_insert(now.after(timeout)) {
                    return Err(nothing_in_time());
                }
            }
            if has_progress {
                woken = Readiness::TimedOut;
                continue;
            }
            if woken == Readiness::Ready {
                state.sleepers.found_nothing(&self.wake);
            }
            woken = state.wait(Purpose::Messages, deadline)?;
        }
    }
}

fn taken(arrived: Arrived) -> Result<Message> {
    match arrived {
        Arrived::Message(message) => Ok(message),
        Arrived::End(end) => Err(end.into_error()),
    }
}

#[cold]
fn nothing_in_time() -> Error {
    Error::new(Status::Timeout, "No message arrived in time")
}

#[cold]
pub(super) fn cancelled() -> Error {
    Error::new(Status::Cancelled, "The wait was ended by cancel: call again to go on")
}

#[cold]
pub(super) fn interrupted() -> Error {
    Error::new(Status::Interrupted, "A signal handler ran during the wait: call again to go on")
}

#[cold]
pub(super) fn forked() -> Error {
    Error::new(
        Status::Forked,
        "This client was made before the process forked: make a new one in the child",
    )
}
