//! From the program to the socket: what can be done without waiting.

use std::os::fd::AsFd;
use std::time::Duration;

use super::outbox::{CORK_SIZE, Outgoing, Written};
use super::state::{Link, State};
use crate::sys::{Monotonic, STARVED, Unsent};
use crate::{Error, Result, Status};

/// After how long without a read a send looks what the server has said of it.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// What came of a write.
enum Outcome {
    Done,
    /// The socket has no room, or the system no memory to write with.
    Full,
    /// The connection is over.
    Lost,
}

impl State {
    /// Sends a frame, or (`None`) only what is in the outbox; `false` when that has to wait.
    #[inline(always)]
    pub fn offer(&mut self, frame: Option<&Outgoing>, turn: Option<u64>) -> Result<bool> {
        loop {
            if !self.is_ready_to_send()? || !self.line.is_turn_of(turn) {
                return Ok(false);
            }
            self.look_for_refusal()?;
            let outcome = match &self.link {
                Link::Up(connection) if connection.denied => return Err(self.denial()),
                Link::Up(_) => self.write(frame)?,
                _ => Outcome::Lost,
            };
            match outcome {
                Outcome::Done => return Ok(true),
                Outcome::Full => return Ok(false),
                Outcome::Lost => {}
            }
        }
    }

    /// Whether there is a connection; after a loss, this is what makes a new one.
    #[inline(always)]
    fn is_ready_to_send(&mut self) -> Result<bool> {
        if let Link::Down = self.link
            && let Some(failure) = self.inbox.take_failure()
        {
            return Err(failure);
        }
        self.go_on_connecting();
        match self.link {
            Link::Up(_) => Ok(true),
            Link::Connecting(_) => Ok(false),
            Link::Down => match self.inbox.take_failure() {
                Some(failure) => Err(failure),
                None if self.reconnects() => Ok(false),
                None => Err(self.closed()),
            },
        }
    }

    /// A server that refuses the client, or what it sends, says so.
    #[inline(always)]
    fn look_for_refusal(&mut self) -> Result<()> {
        let is_long_ago = |looked| Monotonic::coarse().since(looked) > LOOK_AFTER;
        if let Link::Up(connection) = &self.link
            && connection.looked().is_none_or(is_long_ago)
        {
            self.read_ahead()?;
        }
        Ok(())
    }

    #[cold]
    fn denial(&self) -> Error {
        let name = &self.event_name;
        Error::new(
            Status::SendDenied,
            format!(
                "The server of event '{name}' takes no messages from clients: only receive, or set \
                 allow_client_send there"
            ),
        )
    }

    #[inline(always)]
    fn write(&mut self, frame: Option<&Outgoing>) -> Result<Outcome> {
        let Some(frame) = frame else {
            return self.write_outbox();
        };
        if self.fits_under_cork(frame) {
            self.outbox.push(frame)?;
            return Ok(Outcome::Done);
        }
        match self.write_outbox()? {
            Outcome::Lost => return Ok(Outcome::Lost),
            _ if self.fits_under_cork(frame) => {
                self.outbox.push(frame)?;
                return Ok(Outcome::Done);
            }
            Outcome::Full => return Ok(Outcome::Full),
            Outcome::Done => {}
        }
        self.write_frame(frame)
    }

    #[inline(always)]
    fn fits_under_cork(&self, frame: &Outgoing) -> bool {
        self.corked && self.outbox.len() + frame.len() <= CORK_SIZE
    }

    /// Writes a frame straight from where it is; the outbox is empty.
    #[inline(always)]
    fn write_frame(&mut self, frame: &Outgoing) -> Result<Outcome> {
        if self.is_starved() {
            return Ok(Outcome::Full);
        }
        let Link::Up(connection) = &self.link else {
            return Ok(Outcome::Lost);
        };
        match frame.write(connection.socket.as_fd()) {
            Ok(bytes) => {
                self.count(Written { bytes, messages: 1 });
                if bytes < frame.len()
                    && let Err(error) = self.outbox.push_rest(frame, bytes)
                {
                    // Half a frame makes nonsense of all that would follow it.
                    self.lose(format!("the rest of a message could not be kept: {error}"))?;
                    return Err(error);
                }
                Ok(Outcome::Done)
            }
            Err(unsent) => self.not_written(unsent),
        }
    }

    /// Writes what waits in the outbox, without waiting.
    pub fn flush(&mut self) -> Result<()> {
        let begun = (self.outbox.has_begun(), self.stats.messages_sent);
        let result = self.write_outbox().map(|_| ());
        // A send may wait for just that.
        let has_ended = begun != (self.outbox.has_begun(), self.stats.messages_sent);
        self.changed |= has_ended && !self.line.is_empty();
        result
    }

    fn write_outbox(&mut self) -> Result<Outcome> {
        while !self.outbox.is_empty() {
            if self.is_starved() {
                return Ok(Outcome::Full);
            }
            let Link::Up(connection) = &self.link else {
                return Ok(Outcome::Lost);
            };
            match self.outbox.write(connection.socket.as_fd()) {
                Ok(written) => self.count(written),
                Err(unsent) => return self.not_written(unsent),
            }
        }
        Ok(Outcome::Done)
    }

    /// Whether there was no memory for the last write, and the next one is not due yet.
    #[inline(always)]
    fn is_starved(&mut self) -> bool {
        self.starved.take_if(|until| *until <= Monotonic::now());
        self.starved.is_some()
    }

    #[cold]
    fn not_written(&mut self, unsent: Unsent) -> Result<Outcome> {
        match unsent {
            Unsent::NoRoom => Ok(Outcome::Full),
            Unsent::NoMemory => {
                self.starved = Some(Monotonic::now().after(STARVED));
                Ok(Outcome::Full)
            }
            Unsent::Broken(error) => {
                self.lose(error.to_string())?;
                Ok(Outcome::Lost)
            }
        }
    }

    #[inline(always)]
    pub fn count(&mut self, written: Written) {
        self.stats.bytes_sent += written.bytes as u64;
        self.stats.messages_sent += written.messages;
    }
}
