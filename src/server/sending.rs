//! Sending, from any thread.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::Server;
use super::common::Outgoing;
use super::shared::{Mode, Phase, Shared, State, no_client, parse_client_id};
use super::waiting::{PACE, Pace, Unfinished, Wait};
use crate::sys::{Monotonic, Readiness, WallClock};
use crate::wire::{envelope, frame, json};
use crate::{Error, Message, MessageType, Payload, Result, Status};

impl Server {
    /// Sends a message to one client, or to all of them where `client_id` is `None`. Its event name
    /// may differ from the server's.
    ///
    /// All clients get broadcasts in one order, and what one thread sends, to all or to one, arrives
    /// in the order of its calls. A broadcast without any client goes to the backlog. This waits only
    /// with `slow_client = block`, for at most `send_timeout` (`default_timeout` where that is unset).
    ///
    /// A broadcast is a success although some clients had no room for it: for them it counts as
    /// dropped, and with `block` once that wait is over. Never repeat it, since the others have got
    /// it.
    ///
    /// # Errors
    ///
    /// - [`Status::NotRunning`]: start the server first.
    /// - [`Status::NoClient`]: nobody with this id is connected (any more).
    /// - [`Status::Message`]: larger than `max_message_size`, or deeper than `max_depth`.
    /// - [`Status::NoMemory`]: a unicast was not queued; of a broadcast some clients may have got it,
    ///   the others count it as missed, so do not repeat it.
    /// - Of a unicast alone, by `slow_client`: [`Status::Full`] with `drop_newest` and `disconnect`;
    ///   with `block`, after a wait, [`Status::Timeout`], [`Status::Cancelled`],
    ///   [`Status::Interrupted`], [`Status::NoClient`] (it left) and [`Status::NotRunning`] (stopped).
    ///   It was not queued.
    pub fn send(&self, message: &Message, client_id: Option<&str>) -> Result<()> {
        self.dispatch(&Outgoing::Message(message), client_id)
    }

    /// Sends a payload that is MessagePack already: one map with str keys, or nothing for the
    /// empty one.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Server::send); [`Status::Message`] also for any other payload.
    pub fn send_msgpack(
        &self,
        message_type: MessageType,
        data: &[u8],
        client_id: Option<&str>,
    ) -> Result<()> {
        self.dispatch(&Outgoing::Payload(message_type, data), client_id)
    }

    /// Sends a payload that is one JSON object.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Server::send); [`Status::Message`] also where `json` is anything else, with
    /// the place in the text.
    pub fn send_json(
        &self,
        message_type: MessageType,
        json: &str,
        client_id: Option<&str>,
    ) -> Result<()> {
        self.shared.check_process()?;
        let data = json::object_from_json(json, self.shared.settings.max_depth)?;
        self.dispatch(&Outgoing::Payload(message_type, &data), client_id)
    }

    /// Sends a payload that was built by path.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Server::send).
    pub fn send_payload(
        &self,
        message_type: MessageType,
        payload: &Payload,
        client_id: Option<&str>,
    ) -> Result<()> {
        self.dispatch(&Outgoing::Payload(message_type, payload.as_msgpack()), client_id)
    }

    /// Sends anything that serializes to a map with string keys to all clients.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Server::send); [`Status::Message`] also for what serializes to anything
    /// else, or not at all.
    pub fn broadcast(&self, message_type: MessageType, data: &impl Serialize) -> Result<()> {
        let data = crate::message::serialize(data)?;
        self.dispatch(&Outgoing::Payload(message_type, &data), None)
    }

    /// Sends anything that serializes to a map with string keys to one client.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Server::send); [`Status::Message`] also for what serializes to anything
    /// else, or not at all.
    pub fn unicast(
        &self,
        client_id: &str,
        message_type: MessageType,
        data: &impl Serialize,
    ) -> Result<()> {
        let data = crate::message::serialize(data)?;
        self.dispatch(&Outgoing::Payload(message_type, &data), Some(client_id))
    }

    fn dispatch(&self, out: &Outgoing, client_id: Option<&str>) -> Result<()> {
        self.shared.check_process()?;
        self.shared.send(out, client_id)
    }

    /// Lets sends collect, up to 64 KiB a client, until [`uncork`](Server::uncork): for bursts
    /// where no thread of the library stands ready. It belongs to the server, not to a thread, and
    /// does not nest.
    ///
    /// # Errors
    ///
    /// [`Status::NotRunning`]: start the server first.
    pub fn cork(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.cork(true)
    }

    /// Writes what has collected. It does not wait: what a client's socket has no room for is written
    /// as soon as there is, by [`next`](Server::next) where that drives the server.
    ///
    /// # Errors
    ///
    /// [`Status::NotRunning`]: start the server first.
    pub fn uncork(&self) -> Result<()> {
        self.shared.check_process()?;
        self.shared.cork(false)
    }
}

impl Shared {
    /// Sends to one client, or to all. It waits only with `slow_client = block`.
    pub fn send(&self, out: &Outgoing, client: Option<&str>) -> Result<()> {
        let out = &self.check_message(*out)?;
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Running(_)) {
            drop(state);
            return Err(self.not_running());
        }
        let body = state.delivery.common.frame_len(out) - frame::HEADER;
        let limit = self.settings.max_message_size.min(envelope::LONGEST_BODY);
        if body > limit {
            drop(state);
            return Err(envelope::too_large(body, limit));
        }
        let sent = match client {
            None => state.delivery.broadcast(out),
            Some(client) => {
                let id = parse_client_id(client).ok_or_else(|| no_client(client))?;
                state.delivery.unicast(id, out)
            }
        };
        if sent.is_err() {
            state.delivery.keep_no_pace();
        }
        drop(state);
        match sent? {
            None => Ok(()),
            Some(Unfinished::Wait(wait)) => self.wait_for_room(wait, client),
            Some(Unfinished::Pace(pace)) => {
                self.keep_pace(pace);
                Ok(())
            }
        }
    }

    /// Waits a moment for sockets that are full. The message is queued, whatever comes of it.
    #[cold]
    fn keep_pace(&self, mut pace: Pace) {
        let deadline = Monotonic::now().after(PACE);
        loop {
            let slept = pace.sleep(deadline.remaining());
            let over = !matches!(slept, Ok(Readiness::Ready)) || deadline.remaining().is_zero();
            let mut state = self.lock();
            if !pace.advance(&mut state.delivery, over) {
                state.delivery.burst.goes_on_after_wait(WallClock::now());
                return;
            }
        }
    }

    #[inline(always)]
    fn check_message<'a>(&self, out: Outgoing<'a>) -> Result<Outgoing<'a>> {
        let max_depth = self.settings.max_depth;
        match out {
            Outgoing::Payload(message_type, data) => envelope::check_payload(data, max_depth)
                .map(|data| Outgoing::Payload(message_type, data)),
            Outgoing::Message(message) => {
                envelope::check_sendable(message.frame(), max_depth).map(|()| out)
            }
        }
    }

    /// Waits until a frame has got into every outbox that had no room for it. A broadcast is a
    /// success however that ends; a unicast that ends otherwise was not queued.
    #[cold]
    fn wait_for_room(&self, mut wait: Wait, client: Option<&str>) -> Result<()> {
        let limit = self.settings.send_timeout.unwrap_or(self.settings.default_timeout);
        let deadline = Monotonic::now().after(limit);
        let cancels = self.cancels.asked();
        let Some(io) = self.io.get() else { return Err(self.not_running()) };
        let mut interrupted = false;
        loop {
            let mut state = self.lock();
            if matches!(state.phase, Phase::Running(_)) {
                wait.advance(&mut state.delivery);
            }
            if wait.is_over() {
                let gone = wait.gone();
                return match client {
                    Some(client) if gone > 0 => Err(no_client(client)),
                    Some(_) => Ok(()),
                    None => {
                        state.delivery.common.dropped += gone;
                        Ok(())
                    }
                };
            }
            let remaining = deadline.remaining();
            if let Some(status) = self.end_of_wait(&state, cancels, interrupted, remaining) {
                wait.give_up(&mut state.delivery, client.is_none());
                return client.map_or(Ok(()), |client| Err(self.not_queued(status, client, limit)));
            }
            if state.phase == Phase::Running(Mode::Thread) {
                // It ended the sends that waited then. Its loop, which takes it at other times, may
                // be in a hook, and until it is taken nobody could sleep.
                self.take_cancel(&state);
            }
            let sockets = wait.sockets(&state.delivery);
            drop(state);
            let slept = wait.sleep(&sockets, &io.cancel, remaining);
            // Nobody hears of a broadcast that was cut short, so no signal does that.
            interrupted = client.is_some() && matches!(slept, Ok(Readiness::Interrupted));
            self.cancels.quiet(&io.cancel);
        }
    }

    /// Why a sender must not wait any longer.
    fn end_of_wait(
        &self,
        state: &State,
        cancels: u64,
        interrupted: bool,
        remaining: Duration,
    ) -> Option<Status> {
        let Phase::Running(mode) = state.phase else { return Some(Status::NotRunning) };
        // A server on its own thread has no loop that a cancel would be kept for.
        let pending = mode != Mode::Thread && self.cancels.is_pending();
        if pending || self.cancels.asked() != cancels {
            return Some(Status::Cancelled);
        }
        if interrupted {
            return Some(Status::Interrupted);
        }
        remaining.is_zero().then_some(Status::Timeout)
    }

    /// What a unicast says that has waited for room in vain.
    fn not_queued(&self, status: Status, client: &str, waited: Duration) -> Error {
        let text = match status {
            Status::Cancelled => "The wait for room was ended by a cancel: nothing was sent".into(),
            Status::Interrupted => {
                "The wait for room was ended by a signal handler: nothing was sent, send again"
                    .into()
            }
            Status::Timeout => format!(
                "Client '{client}' made no room for {} s (send_timeout, default_timeout): {} bytes \
                 (client_queue_size) wait for it already. Nothing was sent: try again later, or \
                 choose another slow_client policy",
                waited.as_secs_f64(),
                self.settings.client_queue_size
            ),
            _ => return self.not_running(),
        };
        Error::new(status, text)
    }

    pub fn cork(&self, on: bool) -> Result<()> {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Running(_)) {
            drop(state);
            return Err(self.not_running());
        }
        self.corked.store(on, Ordering::Relaxed);
        if on {
            state.delivery.cork()
        } else {
            state.delivery.uncork()
        }
        Ok(())
    }
}
