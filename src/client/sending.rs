//! Sends: from a payload to a frame, and where there is no room for it, the wait for some.

use std::time::Duration;

use serde::Serialize;

use super::Client;
use super::driving::{cancelled, interrupted};
use super::outbox::Outgoing;
use super::state::Link;
use super::waiting::{Guard, Purpose};
use crate::message;
use crate::sys::{Monotonic, Readiness};
use crate::wire::envelope::{self, LONGEST_BODY};
use crate::wire::frame::HEADER;
use crate::wire::json;
use crate::{Error, Message, MessageType, Payload, Result, Status};

/// From this size on a payload is sent from where it is, instead of being copied behind its head.
const LARGE_PAYLOAD: usize = 16 * 1024;

impl Client {
    /// Sends a message as it is; its event name may differ from the client's.
    ///
    /// Waits up to `send_timeout` (`default_timeout` where that is unset) for room, and after a
    /// lost connection connects again first. Once its first byte is written, the message counts as
    /// sent: the call succeeds whatever ends the wait, and the next call writes the rest.
    ///
    /// # Errors
    /// - [`Status::Timeout`]: there was no room, or no server, in that time. Nothing of it was
    ///   written; send again later, or allow more with `send_timeout`.
    /// - [`Status::NoMemory`]: the system had none to send with for all that time, or there is none
    ///   to make or to keep the message with. Send again later.
    /// - [`Status::Cancelled`]: [`cancel`](Client::cancel) was called. Nothing of it was written;
    ///   send again to go on.
    /// - [`Status::Interrupted`]: a signal handler ran. Nothing of it was written; send again to go
    ///   on.
    /// - [`Status::Closed`]: there is no connection and, without `auto_reconnect`, none to come:
    ///   connect again.
    /// - [`Status::SendDenied`]: the server takes no messages from clients: only receive, or set
    ///   `allow_client_send` there.
    /// - [`Status::Message`]: it is larger than `max_message_size`, or nested deeper than
    ///   `max_depth`: send less at once, or raise that option on both sides.
    /// - [`Status::MaxConnections`], [`Status::Permission`], [`Status::Io`], [`Status::Invalid`]:
    ///   as for [`recv`](Client::recv).
    pub fn send(&self, message: &Message) -> Result<()> {
        let frame = message.frame();
        self.check_size(frame.len())?;
        envelope::check(frame, self.settings.max_depth).map_err(|reason| {
            let text = format!("The message cannot be sent: {reason}");
            Error::new(Status::Message, text)
        })?;
        let mut state = self.lock()?;
        self.transmit(&mut state, Some(&Outgoing { head: frame, payload: &[] }))
    }

    /// Sends a new message of the client's event with a payload that is MessagePack: one map with
    /// string keys; empty is the empty map.
    ///
    /// # Errors
    /// - [`Status::Message`]: `data` is anything else.
    /// - Those of [`send`](Client::send).
    pub fn send_msgpack(&self, message_type: MessageType, data: &[u8]) -> Result<()> {
        let data = envelope::check_payload(data, self.settings.max_depth)?;
        self.send_checked(message_type, data)
    }

    /// Sends a new message of the client's event with a payload that is the text of one JSON
    /// object.
    ///
    /// # Errors
    /// - [`Status::Message`]: `json` is anything else; the error says where.
    /// - Those of [`send`](Client::send).
    pub fn send_json(&self, message_type: MessageType, json: &str) -> Result<()> {
        let data = json::object_from_json(json, self.settings.max_depth)?;
        self.send_checked(message_type, &data)
    }

    /// Sends a new message of the client's event with a payload that was built by path, which may
    /// be changed and sent again.
    ///
    /// # Errors
    /// - Those of [`send`](Client::send).
    pub fn send_payload(&self, message_type: MessageType, payload: &Payload) -> Result<()> {
        self.send_msgpack(message_type, payload.as_msgpack())
    }

    /// Sends a new message of the client's event with anything that serializes to a map with string
    /// keys, a struct with named fields for one.
    ///
    /// # Errors
    /// - [`Status::Message`]: `data` is anything else, or cannot be serialized.
    /// - Those of [`send`](Client::send).
    pub fn send_data(&self, message_type: MessageType, data: &impl Serialize) -> Result<()> {
        self.send_msgpack(message_type, &message::serialize(data)?)
    }

    /// From now on messages are collected and written together, by [`uncork`](Client::uncork) or
    /// when there are 64 KiB: for bursts. A cork belongs to the client, not to a thread, and does
    /// not nest. [`recv`](Client::recv) writes what was collected and leaves the cork on;
    /// [`disconnect`](Client::disconnect) lifts it.
    pub fn cork(&self) -> Result<()> {
        self.lock()?.corked = true;
        Ok(())
    }

    /// Lifts the cork and writes what was collected, waiting like [`send`](Client::send). What
    /// could not be written, also where the connection is lost, stays ahead of later messages, on a
    /// new connection too.
    ///
    /// # Errors
    /// - Those of [`send`](Client::send).
    pub fn uncork(&self) -> Result<()> {
        let mut state = self.lock()?;
        state.corked = false;
        if state.outbox.is_empty() {
            return Ok(());
        }
        self.transmit(&mut state, None)
    }

    /// Wraps a payload that was checked into a frame, and sends it.
    #[inline(always)]
    fn send_checked(&self, message_type: MessageType, data: &[u8]) -> Result<()> {
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
    fn check_size(&self, frame: usize) -> Result<()> {
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
    fn transmit(&self, state: &mut Guard, frame: Option<&Outgoing>) -> Result<()> {
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
