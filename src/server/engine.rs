//! The event loop: one state machine with a single operation, *make progress*.
//!
//! It never waits. Whoever drives the server (its own thread, `run`, `next`) waits outside of the
//! engine's lock, tells it which descriptors are ready, and takes its events one at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::accepting::LISTEN_AGAIN;
use super::connection::Connection;
use super::farewell::Farewell;
use super::gate::Gate;
use super::io::{Command, Io, token};
use super::shared::Shared;
use crate::Message;
use crate::notes::{Limit, Notes};
use crate::sys::{self, EpollEvent, Monotonic};
use crate::transport::Listener;

/// Something that a user hears of.
#[derive(Debug)]
pub(crate) enum RawEvent {
    Connected(u64),
    Disconnected(u64),
    Message(u64, Message),
}

impl RawEvent {
    fn is_message_of(&self, id: u64) -> bool {
        matches!(self, RawEvent::Message(of, _) if *of == id)
    }
}

/// Descriptors that are reported in one go.
pub(crate) const BATCH: usize = 64;

pub(crate) struct Engine {
    pub(super) io: Arc<Io>,
    /// Taken away when the server stops.
    pub(super) listener: Option<Listener>,
    /// Nobody is accepted for a while.
    pub(super) resting: bool,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) farewells: BTreeMap<u64, Farewell>,
    /// Moments at which a client (or the listener) has to be looked at, soonest first.
    pub(super) deadlines: BTreeSet<(Monotonic, u64)>,
    armed: Option<Monotonic>,
    pub(super) events: VecDeque<RawEvent>,
    /// The client whose bytes are being cut into frames.
    pub(super) current: Option<u64>,
    /// The client that was read from last, and how many times in a row.
    pub(super) talker: Option<(u64, u32)>,
    /// Memory to read into, lent to the connection that reads.
    pub(super) spare: Vec<u8>,
    ready: [EpollEvent; BATCH],
    ready_at: usize,
    ready_end: usize,
    pub(super) notes: Notes,
    /// When the lack of descriptors was last complained about.
    pub(super) complained: Option<Monotonic>,
    /// Of what is logged of malformed frames, and of those that are turned away.
    pub(super) malformed_limit: Limit,
    pub(super) refused_limit: Limit,
    /// Refused clients that are being told so.
    pub(super) refusals: usize,
    /// Where connections wait until they have shown their token, if there is one to show.
    pub(super) gate: Option<Gate>,
}

impl Engine {
    pub fn new(io: Arc<Io>, listener: Listener, gate: Option<Gate>) -> Engine {
        Engine {
            io,
            listener: Some(listener),
            resting: false,
            connections: BTreeMap::new(),
            farewells: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            armed: None,
            events: VecDeque::new(),
            current: None,
            talker: None,
            spare: Vec::new(),
            ready: [EpollEvent::EMPTY; BATCH],
            ready_at: 0,
            ready_end: 0,
            notes: Notes::default(),
            complained: None,
            malformed_limit: Limit::default(),
            refused_limit: Limit::default(),
            refusals: 0,
            gate,
        }
    }

    /// Whether all that was reported as ready has been dealt with.
    fn is_exhausted(&self) -> bool {
        self.ready_at == self.ready_end
    }

    /// Takes note of descriptors that are ready.
    pub fn set_ready(&mut self, ready: &[EpollEvent]) {
        let room = &mut self.ready[..ready.len()];
        room.copy_from_slice(ready);
        (self.ready_at, self.ready_end) = (0, ready.len());
    }

    /// Asks, without waiting, which descriptors are ready. A client that speaks all the time is
    /// read from without asking, but for every sixteenth time, so that the others get their turn.
    pub fn look(&mut self, shared: &Shared) {
        if let Some((id, times)) = self.talker
            && times > 1
            && times % 16 != 0
        {
            self.read(id, shared);
            if self.current.is_some() {
                return;
            }
        }
        let ready = self.io.epoll.wait(&mut self.ready, 0).unwrap_or(0);
        (self.ready_at, self.ready_end) = (0, ready);
    }

    /// Whether an event may be had without asking which descriptors are ready.
    pub fn has_more(&self) -> bool {
        !self.events.is_empty() || self.current.is_some() || !self.is_exhausted()
    }

    /// What is to be logged once the engine's lock is released.
    #[inline(always)]
    pub fn take_notes(&mut self, shared: &Shared) -> Notes {
        let mut notes = std::mem::take(&mut self.notes);
        if shared.notes_left.load(Ordering::Relaxed) {
            shared.notes_left.store(false, Ordering::Relaxed);
            notes.append(&mut shared.lock_in_engine().delivery.common.notes);
        }
        notes
    }

    /// Works until there is an event or nothing is left to do.
    #[inline(always)]
    pub fn progress(&mut self, shared: &Shared) -> Option<RawEvent> {
        let event = self.next_event(shared);
        self.arm();
        event
    }

    /// Takes back an event that the program did not hear of: it is the next one.
    pub fn take_back(&mut self, event: RawEvent) {
        self.events.push_front(event);
    }

    #[inline(always)]
    fn next_event(&mut self, shared: &Shared) -> Option<RawEvent> {
        self.run_commands(shared);
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if let Some(id) = self.current {
                match self.next_message(id, shared) {
                    Some(message) => return Some(RawEvent::Message(id, message)),
                    None => self.current = None,
                }
                continue;
            }
            let ready = self.next_ready()?;
            self.handle(ready, shared);
        }
    }

    /// The next descriptor that was reported as ready and has not been dealt with.
    #[inline(always)]
    pub(super) fn next_ready(&mut self) -> Option<EpollEvent> {
        if self.is_exhausted() {
            return None;
        }
        self.ready_at += 1;
        Some(self.ready[self.ready_at - 1])
    }

    /// Does what other threads asked for.
    #[inline(always)]
    pub(super) fn run_commands(&mut self, shared: &Shared) {
        if self.io.has_commands() {
            self.run_all_commands(shared);
        }
    }

    #[cold]
    fn run_all_commands(&mut self, shared: &Shared) {
        // Done with all of them in a moment: nobody has to be woken for them any more.
        self.io.wake.clear();
        let io = self.io.clone();
        for command in io.take_commands() {
            match command {
                Command::Dismiss(id) => {
                    self.drop_connection(id);
                    self.events.retain(|event| !event.is_message_of(id));
                    let recipient = shared.lock_in_engine().dismissed.remove(&id);
                    if let Some(recipient) = recipient {
                        self.say_farewell(id, recipient, true, shared);
                    }
                }
                Command::Expel(id) => self.leave(id, false, shared),
                Command::Finish(id) => self.finish_client(id, shared),
            }
        }
    }

    #[inline(always)]
    pub(super) fn handle(&mut self, ready: EpollEvent, shared: &Shared) {
        match ready.token() {
            id if self.connections.contains_key(&id) => self.attend_client(id, ready, shared),
            _ => self.attend_others(ready, shared),
        }
    }

    #[inline(always)]
    fn attend_client(&mut self, id: u64, ready: EpollEvent, shared: &Shared) {
        if ready.writable() {
            let mut state = shared.lock_in_engine();
            let delivery = &mut state.delivery;
            if let Some(client) = delivery.clients.get_mut(&id) {
                client.write(id, &mut delivery.common);
            }
        }
        if ready.readable() {
            self.read(id, shared);
        }
    }

    #[inline(never)]
    fn attend_others(&mut self, ready: EpollEvent, shared: &Shared) {
        match ready.token() {
            token::LISTENER => sys::uncancelled(|| self.accept(shared)),
            // Not cleared alone: somebody may have asked since the engine looked last, and have woken
            // it by this.
            token::WAKE => self.run_all_commands(shared),
            token::DEADLINE => self.expire(shared),
            token::TAIL => {
                self.io.tail.clear();
                let were_starving = shared.lock_in_engine().delivery.look_after_tail();
                if were_starving {
                    self.attend_starved_visitors(shared);
                }
            }
            // One that is pending is taken by whoever drives the server.
            token::CANCEL => shared.cancels.quiet(&self.io.cancel),
            // It ends a wait; what it tells of is in the engine already, or is the server's end.
            token::READY => {}
            id if self.farewells.contains_key(&id) => self.attend_farewell(id, shared),
            id if self.is_visitor(id) => self.attend_visitor(id, shared),
            // It has left since.
            _ => {}
        }
    }

    /// Has the timer go off at the next deadline. A timer that goes off too early does no harm.
    #[inline(always)]
    pub(super) fn arm(&mut self) {
        let Some((next, _)) = self.deadlines.first() else { return };
        if self.armed.is_none_or(|armed| *next < armed) {
            self.io.deadline.arm(next.remaining());
            self.armed = Some(*next);
        }
    }

    #[cold]
    fn expire(&mut self, shared: &Shared) {
        self.io.deadline.clear();
        self.armed = None;
        let now = Monotonic::now();
        // Only one client's bytes are cut into frames at a time; the others' turn comes after.
        while let Some((due, id)) = self.deadlines.first().copied().filter(|(due, _)| *due <= now)
            && self.current.is_none()
        {
            self.deadlines.remove(&(due, id));
            if id == LISTEN_AGAIN {
                self.listen_again();
            } else if self.farewells.contains_key(&id) {
                self.attend_farewell(id, shared);
            } else if self.is_visitor(id) {
                self.judge_visitor(id, shared);
            } else {
                self.judge_frame(id, due, shared);
            }
        }
    }

    fn is_visitor(&self, id: u64) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.holds(id))
    }
}
