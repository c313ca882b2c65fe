//! Connections that are being closed.
//!
//! Closing takes nothing away that is on its way: what is queued is written, the stream is ended,
//! and the socket is closed once the peer's kernel has everything. All of it ends with `linger`.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::Level;

use super::LOG;
use super::common::Common;
use super::engine::{Engine, RawEvent};
use super::recipient::Recipient;
use super::shared::Shared;
use crate::sys::{self, Monotonic, STARVED};
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
    reported: bool,
    /// When it is closed in any case.
    due: Monotonic,
    /// When it has to be looked at, whatever its socket says.
    look_at: Option<Monotonic>,
    /// Everything is written and the stream ended.
    written: bool,
    /// Its socket is watched no more, so that only the clock tells when to write.
    by_clock: bool,
}

/// What a closing connection waits for.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing: it can be closed.
    Close,
    /// Its socket, but no longer than until then.
    Wait(Monotonic),
}

impl Farewell {
    fn new(recipient: Recipient, reported: bool, due: Monotonic) -> Farewell {
        Farewell { recipient, reported, due, look_at: None, written: false, by_clock: false }
    }

    /// Does what can be done now.
    fn advance(&mut self, id: u64, common: &mut Common) -> Next {
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
        }
        // Anew with each look: it fails once the connection is gone, whose bytes stay unsent for ever.
        let is_connected = sys::shut_down_writing(self.recipient.fd());
        if !self.recipient.reading {
            // With both directions ended it would be reported as ready for ever.
            self.recipient.unwatch(common);
        }
        match self.recipient.peer {
            Peer::Unix(_) => Next::Close,
            Peer::Tcp(_) if !is_connected => Next::Close,
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
    fn close(mut self, id: u64, common: &mut Common) {
        self.recipient.give_up(id, common);
        // A forked child may have the socket open, too: closing alone would end neither the
        // connection nor what is reported of it.
        self.recipient.unwatch(common);
        sys::shut_down(self.recipient.fd());
        // Closed with input that nobody read, it would be reset instead of ended.
        self.discard_input(LAST_DISCARDS);
    }
}

impl Engine {
    /// The peer has left, or has to: delivers what is queued for it, then closes.
    #[cold]
    pub(super) fn leave(&mut self, id: u64, ended: bool, shared: &Shared) {
        self.drop_connection(id);
        let recipient = shared.lock_in_engine().delivery.remove(id);
        // Somebody may have dismissed it a moment ago: then that command follows.
        if let Some(mut recipient) = recipient {
            recipient.reading = !ended;
            self.say_farewell(id, recipient, true, shared);
        }
    }

    /// Nothing of what it has said is handed over any more.
    pub(super) fn drop_connection(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id)
            && let Some(due) = connection.frame_due
        {
            self.deadlines.remove(&(due, id));
        }
        if self.current == Some(id) {
            self.current = None;
        }
    }

    /// Begins to close a connection; `reported`: whether that is an event.
    pub(super) fn say_farewell(
        &mut self,
        id: u64,
        recipient: Recipient,
        reported: bool,
        shared: &Shared,
    ) {
        let due = Monotonic::now().after(shared.settings.linger);
        self.farewells.insert(id, Farewell::new(recipient, reported, due));
        self.attend_farewell(id, shared);
    }

    /// Goes on closing a connection.
    #[cold]
    pub(super) fn attend_farewell(&mut self, id: u64, shared: &Shared) {
        let Some(farewell) = self.farewells.get_mut(&id) else { return };
        if let Some(moment) = farewell.look_at.take() {
            self.deadlines.remove(&(moment, id));
        }
        let next = farewell.advance(id, &mut shared.lock_in_engine().delivery.common);
        match next {
            Next::Wait(moment) => {
                farewell.look_at = Some(moment);
                self.deadlines.insert((moment, id));
            }
            Next::Close => self.close(id, shared),
        }
    }

    fn close(&mut self, id: u64, shared: &Shared) {
        let Some(farewell) = self.farewells.remove(&id) else { return };
        if farewell.reported {
            self.events.push_back(RawEvent::Disconnected(id));
        } else {
            self.refusals -= 1;
        }
        farewell.close(id, &mut shared.lock_in_engine().delivery.common);
    }

    /// Begins to close every connection.
    pub fn begin_shutdown(&mut self, keep_messages: bool, shared: &Shared) {
        self.run_commands(shared);
        // All of them leave below, once what they have said is among the events.
        self.connections.values_mut().for_each(|connection| connection.finishing = false);
        while let Some(id) = self.current.filter(|_| keep_messages) {
            match self.next_message(id, shared) {
                Some(message) if self.events.try_reserve(1).is_ok() => {
                    self.events.push_back(RawEvent::Message(id, message));
                }
                Some(_) => self.forget_rest(id),
                None => self.current = None,
            }
        }
        {
            let mut state = shared.lock_in_engine();
            shared.corked.store(false, Ordering::Relaxed);
            state.delivery.uncork();
            state.delivery.burst.end();
        }
        self.close_gate(shared);
        while let Some(id) = self.connections.keys().next().copied() {
            self.leave(id, false, shared);
        }
    }

    /// What is left of a client's messages has no room among the events.
    fn forget_rest(&mut self, id: u64) {
        self.current = None;
        let Some(connection) = self.connections.get(&id) else { return };
        let (peer, bytes) = (connection.peer, connection.buffer.len());
        self.notes.add(Level::Error, LOG, || {
            format!("Out of memory: the last messages of {peer}, {bytes} bytes and one, are lost")
        });
    }

    /// Goes on with a shutdown; `true` when every connection is closed.
    pub fn is_shut_down(&mut self, shared: &Shared) -> bool {
        self.run_commands(shared);
        while let Some(ready) = self.next_ready() {
            self.handle(ready, shared);
        }
        self.arm();
        self.farewells.is_empty()
    }

    /// The end: what has happened and was not taken.
    pub fn into_events(self) -> VecDeque<RawEvent> {
        self.events
    }
}
