//! The calls that may have to wait: progress, sleep, progress, until done or out of time.

use std::time::Duration;

use super::inbox::Arrived;
use super::outbox::Outgoing;
use super::state::Link;
use super::waiting::{Guard, Purpose};
use super::{Client, LARGE_PAYLOAD};
use crate::sys::{Monotonic, Readiness};
use crate::wire::envelope::LONGEST_BODY;
use crate::wire::frame::HEADER;
use crate::{Error, Message, MessageType, Result, Status};

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

    /// Wraps a payload that was checked into a frame, and sends it.
    #[inline(always)]
    pub(super) fn send_checked(&self, message_type: MessageType, data: &[u8]) -> Result<()> {
        let mut state = self.lock()?;
        let template = &state.templates[message_type as usize];
        self.check_size(template.head_len() + data.len())?;
        let is_large = data.len() >= LARGE_PAYLOAD;
        let size = template.head_len() + if is_large { 0 } else { data.len() };
        let mut head = std::mem::take(&mut state.scratch);
        head.clear();
        head.try_reserve(size).map_err(|_| Error::no_memory(size))?;
        let stamp = state.stamper.now();
        state.templates[message_type as usize].write_head(&stamp, data.len(), &mut head);
        let payload = if is_large {
            data
        } else {
            head.extend_from_slice(data);
            &[]
        };
        let result = self.transmit(&mut state, Some(&Outgoing { head: &head, payload }));
        state.scratch = head;
        result
    }

    #[inline(always)]
    pub(super) fn check_size(&self, frame: usize) -> Result<()> {
        let body = frame - HEADER;
        let limit = self.settings.max_message_size.min(LONGEST_BODY);
        if body <= limit {
            return Ok(());
        }
        Err(Error::new(
            Status::Message,
            format!(
                "A message of {body} bytes is larger than max_message_size ({limit}): send less at \
                 once, or raise that option on both sides"
            ),
        ))
    }

    /// Sends a frame, or (`None`) what is in the outbox, waiting where that is needed.
    #[inline(always)]
    pub(super) fn transmit(&self, state: &mut Guard, frame: Option<&Outgoing>) -> Result<()> {
        let result = match state.offer(frame, None)? {
            true => Ok(None),
            // What is left of its time.
            false => self.wait_and_transmit(state, frame).map(Some),
        };
        if let Ok(deadline) = result
            && !state.corked
            && state.outbox.has_begun()
        {
            self.see_off(state, deadline);
        }
        // Somebody who sleeps in `recv` did so without a thought of writing.
        state.changed |= state.has_to_write();
        result.map(drop)
    }

    /// Returns until when it would have waited.
    #[cold]
    fn wait_and_transmit(&self, state: &mut Guard, frame: Option<&Outgoing>) -> Result<Monotonic> {
        // Counted first: a cancel from before is seen as pending, one from now on by its number.
        let cancels = self.wake.cancels();
        if state.sleepers.is_cancel_pending(&self.wake) {
            return Err(cancelled());
        }
        let deadline = Monotonic::now().after(state.send_timeout());
        let turn = state.line.join();
        let result = self.transmit_in_turn(state, frame, turn, cancels, deadline);
        state.line.leave(turn);
        // The next in line may go on.
        state.changed |= !state.line.is_empty();
        result.map(|()| deadline)
    }

    fn transmit_in_turn(
        &self,
        state: &mut Guard,
        frame: Option<&Outgoing>,
        turn: u64,
        cancels: u64,
        deadline: Monotonic,
    ) -> Result<()> {
        let disconnects = state.disconnects;
        while Monotonic::now() < deadline {
            let woken = state.wait(Purpose::Room(turn), Some(deadline))?;
            if self.wake.cancels() != cancels {
                return Err(cancelled());
            }
            if state.disconnects != disconnects {
                return Err(state.closed());
            }
            if woken == Readiness::Interrupted {
                return Err(interrupted());
            }
            // The server may have to send before it can read.
            let has_read = state.read_ahead()?;
            if state.offer(frame, Some(turn))? {
                return Ok(());
            }
            if woken == Readiness::Ready && !has_read {
                state.sleepers.found_nothing(&self.wake);
            }
        }
        Err(match state.link {
            Link::Up(_) if state.starved.is_some() => self.no_memory(state.send_timeout()),
            Link::Up(_) => self.no_room(state.send_timeout()),
            _ => self.nobody_answers(),
        })
    }

    /// Waits for room for the rest of a message that has begun to leave: nobody would write it while
    /// the program makes no call. The message counts as sent, whatever ends this. `deadline`: of a
    /// send that has waited already.
    #[cold]
    fn see_off(&self, state: &mut Guard, deadline: Option<Monotonic>) {
        let cancels = self.wake.cancels();
        if state.sleepers.is_cancel_pending(&self.wake) {
            return;
        }
        let turn = state.line.join();
        let deadline = deadline.unwrap_or_else(|| Monotonic::now().after(state.send_timeout()));
        // Somebody else's message may begin as soon as this one has left.
        let begun = state.stats.messages_sent;
        while state.outbox.has_begun()
            && state.stats.messages_sent == begun
            && Monotonic::now() < deadline
        {
            let woken = state.wait(Purpose::Room(turn), Some(deadline));
            if !matches!(woken, Ok(Readiness::Ready | Readiness::TimedOut))
                || self.wake.cancels() != cancels
            {
                break;
            }
            // The server may have to send before it can read.
            let Ok(has_read) = state.read_ahead() else { break };
            if state.flush().is_err() {
                break;
            }
            if woken.is_ok_and(|woken| woken == Readiness::Ready) && !has_read {
                state.sleepers.found_nothing(&self.wake);
            }
        }
        state.line.leave(turn);
        // The next in line may go on.
        state.changed |= !state.line.is_empty();
    }

    #[cold]
    fn nobody_answers(&self) -> Error {
        let name = &self.event_name;
        Error::new(
            Status::Timeout,
            format!("No server of event '{name}' was there in time: is it running?"),
        )
    }

    #[cold]
    fn no_memory(&self, timeout: Duration) -> Error {
        let (name, seconds) = (&self.event_name, timeout.as_secs_f64());
        Error::new(
            Status::NoMemory,
            format!(
                "The system had no memory to send to event '{name}' with for {seconds} s: send \
                 again later, or allow more with send_timeout"
            ),
        )
    }

    #[cold]
    fn no_room(&self, timeout: Duration) -> Error {
        let (name, seconds) = (&self.event_name, timeout.as_secs_f64());
        Error::new(
            Status::Timeout,
            format!(
                "The server of event '{name}' took nothing for {seconds} s: send again later, or \
                 allow more with send_timeout"
            ),
        )
    }
}

pub(super) fn taken(arrived: Arrived) -> Result<Message> {
    match arrived {
        Arrived::Message(message) => Ok(message),
        Arrived::End(end) => Err(end.into_error()),
    }
}

#[cold]
pub(super) fn nothing_in_time() -> Error {
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
