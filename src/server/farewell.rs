//! Connections that are being closed.
//!
//! Closing takes nothing away that is on its way: what is queued is written, the stream is ended,
//! and the socket is closed once the peer's kernel has everything. All of it ends with `linger`.

use std::time::Duration;

use super::delivery::Common;
use super::recipient::Recipient;
use crate::sys::{self, Monotonic};
use crate::transport::Peer;

/// How soon to ask again whether a TCP peer's kernel has everything: nothing tells of it.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// Reads of unwanted input in one turn: a peer that floods must not hold up the others.
const DISCARDS: usize = 16;

pub(crate) struct Farewell {
    recipient: Recipient,
    /// Whether its disconnect is an event; that of a refused client is none.
    pub reported: bool,
    /// When it is closed in any case.
    pub due: Monotonic,
    /// Everything is written and the stream ended.
    written: bool,
}

/// What a closing connection waits for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: it can be closed.
    Close,
    /// Its socket, but no longer than until then.
    Wait(Monotonic),
}

impl Farewell {
    pub fn new(recipient: Recipient, reported: bool, due: Monotonic) -> Farewell {
        Farewell { recipient, reported, due, written: false }
    }

    /// Does what can be done now.
    pub fn advance(&mut self, id: u64, common: &mut Common) -> Next {
        let was_reading = self.recipient.reading;
        if self.recipient.reading && !self.discard_input() {
            return Next::Close;
        }
        if was_reading != self.recipient.reading {
            self.recipient.watch(id, common);
        }
        if !self.written {
            // What cannot be written any more is behind no longer: it was dropped.
            self.recipient.write(id, common);
            if self.recipient.is_behind() {
                return self.wait_until(self.due);
            }
            self.written = true;
            sys::shut_down_writing(self.recipient.fd());
            if let (false, Some(io)) = (self.recipient.reading, &common.io) {
                // With both directions ended it would be reported as ready for ever.
                let _ = io.epoll.remove(self.recipient.fd());
            }
        }
        match self.recipient.peer {
            Peer::Unix(_) => Next::Close,
            Peer::Tcp(_) if sys::unsent_bytes(self.recipient.fd()) == 0 => Next::Close,
            Peer::Tcp(_) => self.wait_until(self.due.min(Monotonic::now().after(ASK_AGAIN))),
        }
    }

    fn wait_until(&self, moment: Monotonic) -> Next {
        if self.due <= Monotonic::now() { Next::Close } else { Next::Wait(moment) }
    }

    /// Throws away what the peer still says, so that it is not stuck saying it and so that closing
    /// does not reset the connection. `false` when the connection has failed.
    fn discard_input(&mut self) -> bool {
        let mut unwanted = [0; 4096];
        for _ in 0..DISCARDS {
            match sys::receive(self.recipient.fd(), &mut unwanted) {
                Ok(0) => {
                    self.recipient.reading = false;
                    return true;
                }
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Closes: what is still queued is dropped and counted.
    pub fn close(mut self, id: u64, common: &mut Common) {
        self.recipient.give_up(id, common);
    }
}
