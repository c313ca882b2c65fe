//! Connections that are being closed.
//!
//! Closing takes nothing away that is on its way: what is queued is written, the stream is ended,
//! and the socket is closed once the peer's kernel has everything. All of it ends with `linger`.

use std::time::Duration;

use super::common::{Common, STARVED};
use super::recipient::Recipient;
use crate::sys::{self, Monotonic};
use crate::transport::Peer;

/// How soon to ask again whether a TCP peer's kernel has everything: nothing tells of it.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// Reads of unwanted input in one turn: a peer that floods must not hold up the others.
const DISCARDS: usize = 16;

/// The same for the last turn: more than a Unix socket holds, so that it is closed empty.
const LAST_DISCARDS: usize = 256;

pub(crate) struct Farewell {
    recipient: Recipient,
    /// Whether its disconnect is an event; that of a refused client is none.
    pub reported: bool,
    /// When it is closed in any case.
    due: Monotonic,
    /// When it has to be looked at, whatever its socket says.
    pub look_at: Option<Monotonic>,
    /// Everything is written and the stream ended.
    written: bool,
    /// Its socket is watched no more, so that only the clock tells when to write.
    by_clock: bool,
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
        Farewell { recipient, reported, due, look_at: None, written: false, by_clock: false }
    }

    /// Does what can be done now.
    pub fn advance(&mut self, id: u64, common: &mut Common) -> Next {
        if self.recipient.reading && !self.discard_input(DISCARDS) {
            return Next::Close;
        }
        if !self.written {
            // What cannot be written any more is behind no longer: it was dropped.
            self.recipient.write(id, common);
            if self.recipient.is_behind() {
                let starved = self.recipient.is_starved();
                self.by_clock |= starved && !self.recipient.reading;
                if self.by_clock {
                    // Were the peer gone altogether, that would be reported for ever.
                    self.recipient.unwatch(common);
                } else {
                    // No longer for input, once that has ended: it would be reported for ever.
                    self.recipient.watch(id, common);
                }
                return match starved || self.by_clock {
                    true => self.wait_until(self.due.min(Monotonic::now().after(STARVED))),
                    false => self.wait_until(self.due),
                };
            }
            self.written = true;
            sys::shut_down_writing(self.recipient.fd());
        }
        if !self.recipient.reading {
            // With both directions ended it would be reported as ready for ever.
            self.recipient.unwatch(common);
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
    fn discard_input(&mut self, reads: usize) -> bool {
        let mut unwanted = [0; 4096];
        for _ in 0..reads {
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
        // A forked child may have the socket open, too: closing alone would end neither the
        // connection nor what is reported of it.
        self.recipient.unwatch(common);
        sys::shut_down(self.recipient.fd());
        // Closed with input that nobody read, it would be reset instead of ended.
        self.discard_input(LAST_DISCARDS);
    }
}
