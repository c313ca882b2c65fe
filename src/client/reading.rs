//! From the socket to the program: what can be done without waiting.

use super::connection::{Next, Overdue, Read};
use super::inbox::Arrived;
use super::state::{Ending, Link, State};
use crate::message::{self, Missed};
use crate::{Error, Message, MessageType, Result};

impl State {
    /// The next message, where there is nothing else to do, and whether others follow it; see
    /// [`Connection::next_plain`](super::connection::Connection::next_plain).
    #[inline(always)]
    pub fn next_plain(&mut self) -> Option<(Message, bool)> {
        if !(self.inbox.is_empty() && self.outbox.is_empty() && self.line.is_empty()) {
            return None;
        }
        let Link::Up(connection) = &mut self.link else { return None };
        let next = connection.next_plain(&self.settings)?;
        self.stats.messages_received += 1;
        Some(next)
    }

    /// The next message or end that has arrived.
    pub fn take_arrived(&mut self) -> Result<Option<Arrived>> {
        let has_bytes = matches!(&self.link, Link::Up(connection) if connection.buffered() > 0);
        if !has_bytes && self.inbox.is_empty() {
            return Ok(None);
        }
        let was_full = !self.line.is_empty() && !self.has_room_to_read();
        let arrived = self.next_arrived()?;
        // A sender that waits reads on.
        self.changed |= was_full && self.has_room_to_read();
        Ok(arrived)
    }

    fn next_arrived(&mut self) -> Result<Option<Arrived>> {
        if let Some(count) = self.inbox.missed() {
            let notice = self.missed_notice(count)?;
            self.inbox.forget_missed();
            return Ok(Some(Arrived::Message(notice)));
        }
        if let Some(arrived) = self.inbox.pop() {
            return Ok(Some(arrived));
        }
        if let Some(message) = self.take_message()? {
            return Ok(Some(Arrived::Message(message)));
        }
        // What followed the last message may have been an end.
        Ok(self.inbox.pop())
    }

    /// What tells the receiver that so many messages were dropped.
    #[cold]
    fn missed_notice(&mut self, count: u64) -> Result<Message> {
        let data = message::serialize(&Missed::new(count))?;
        let stamp = self.stamper.now();
        Message::compose(&self.event_name, MessageType::Control, &data, &stamp)
    }

    /// The next message out of what was read from the socket.
    fn take_message(&mut self) -> Result<Option<Message>> {
        let Link::Up(connection) = &mut self.link else {
            return Ok(None);
        };
        match connection.next(&self.settings, &mut self.stats, &mut self.notes)? {
            Next::Message(message) => return Ok(Some(message)),
            Next::Nothing => {}
            Next::Refused(error) => self.end(Ending::Refused(error)),
            Next::Garbage(error) => self.end(Ending::Garbage(error)),
        }
        Ok(None)
    }

    /// Goes on towards the next message: connects, writes what waits, and reads once if the socket
    /// is `ready` or likely to have more. `false` when nothing came of it.
    #[inline(always)]
    pub fn go_on_receiving(&mut self, ready: bool) -> Result<bool> {
        let Link::Up(connection) = &self.link else {
            self.go_on_connecting();
            return Ok(matches!(self.link, Link::Up(_)));
        };
        let worth_reading = ready || connection.likely_more();
        if !self.outbox.is_empty() {
            self.flush()?;
        }
        let has_read = worth_reading && self.read()?;
        self.check_frame()?;
        Ok(has_read || !matches!(self.link, Link::Up(_)))
    }

    /// Moves all messages that were read into the inbox.
    pub fn decode_all(&mut self) -> Result<()> {
        loop {
            self.inbox.reserve()?;
            match self.take_message()? {
                Some(message) => self.inbox.push(message),
                None => return Ok(()),
            }
        }
    }

    /// Drops all messages that were read, and notes how many.
    pub fn miss_all(&mut self) -> Result<()> {
        loop {
            self.inbox.reserve()?;
            if self.take_message()?.is_none() {
                return Ok(());
            }
            self.inbox.miss();
            self.stats.messages_received -= 1;
        }
    }

    /// Reads once, without waiting; `false` when nothing was there.
    #[inline(always)]
    pub fn read(&mut self) -> Result<bool> {
        let Link::Up(connection) = &mut self.link else {
            return Ok(false);
        };
        match connection.read(&self.settings, &mut self.stats)? {
            Read::Bytes(_) => self.arrived = true,
            Read::Nothing => return Ok(false),
            Read::End(reason) => self.end_of_stream(reason)?,
        }
        Ok(true)
    }

    #[cold]
    fn end_of_stream(&mut self, reason: String) -> Result<()> {
        self.decode_all()?;
        self.end(Ending::Lost(reason));
        Ok(())
    }

    /// Ends a connection whose frame at the head stays incomplete for too long.
    #[inline(always)]
    pub fn check_frame(&mut self) -> Result<()> {
        let Link::Up(connection) = &mut self.link else {
            return Ok(());
        };
        if !connection.has_begun() {
            return Ok(());
        }
        match connection.check_overdue(&self.settings, &mut self.stats)? {
            Overdue::No => Ok(()),
            Overdue::Ended(reason) => self.end_of_stream(reason),
            Overdue::Yes => {
                let seconds = self.settings.frame_timeout.as_secs_f64();
                self.end(Ending::Lost(format!(
                    "a message stayed incomplete for {seconds} s (frame_timeout)"
                )));
                Ok(())
            }
        }
    }

    /// Whether the inbox has room for more than the program asked for.
    pub fn has_room_to_read(&self) -> bool {
        let buffered = match &self.link {
            Link::Up(connection) => connection.buffered(),
            _ => 0,
        };
        self.inbox.bytes() + buffered < self.settings.client_queue_size
    }

    /// Reads once and moves what came into the inbox, as far as its bound allows.
    pub fn read_ahead(&mut self) -> Result<bool> {
        let has_read = self.has_room_to_read() && self.read()?;
        self.decode_all()?;
        Ok(has_read)
    }

    /// Whether somebody sleeps who is to know of what another call has read: messages, or the
    /// beginning of one, which has to be complete before they look by themselves.
    pub fn has_news_for_receivers(&self) -> bool {
        self.arrived
            && self.sleepers.has_receivers()
            && (self.has_arrived() || self.due().is_some_and(|due| due < self.last_look))
    }

    /// Whether a receiver would find something.
    #[inline(always)]
    pub fn has_arrived(&self) -> bool {
        !self.inbox.is_empty()
            || matches!(&self.link, Link::Up(connection) if connection.has_next(&self.settings))
    }

    pub fn closed(&self) -> Error {
        self.closed.clone()
    }
}
