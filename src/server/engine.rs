//! The event loop: one state machine with a single operation, *make progress*.
//!
//! It never waits. Whoever drives the server (its own thread, `run`, `next`) waits outside of the
//! engine's lock, tells it which descriptors are ready, and takes its events one at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::Level;

use super::connection::Connection;
use super::farewell::{Farewell, Next};
use super::gate::Gate;
use super::io::{Command, Io, token};
use super::recipient::Recipient;
use super::shared::{Shared, count};
use crate::Message;
use crate::notes::Notes;
use crate::sys::{self, EpollEvent, Interest, Monotonic, StreamSocket};
use crate::transport::{Listener, Peer};

/// Something that a user hears of.
#[derive(Debug)]
pub(crate) enum Happened {
    Connected(u64),
    Disconnected(u64),
    Message(u64, Message),
}

impl Happened {
    fn is_message_of(&self, id: u64) -> bool {
        matches!(self, Happened::Message(of, _) if *of == id)
    }
}

/// Descriptors that are reported in one go.
pub(crate) const BATCH: usize = 64;

/// How long listening pauses when descriptors or memory have run out.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it does while as many connections as may have just been asked for the token.
const CROWDED: Duration = Duration::from_millis(5);
/// How often that is logged.
const COMPLAIN: Duration = Duration::from_secs(60);
/// Token in `deadlines` of the end of a pause.
const LISTEN_AGAIN: u64 = token::LISTENER;

pub(crate) struct Engine {
    pub(super) io: Arc<Io>,
    /// Taken away when the server stops.
    listener: Option<Listener>,
    pub(super) connections: BTreeMap<u64, Connection>,
    farewells: BTreeMap<u64, Farewell>,
    /// Moments at which a client (or the listener) has to be looked at, soonest first.
    pub(super) deadlines: BTreeSet<(Monotonic, u64)>,
    armed: Option<Monotonic>,
    events: VecDeque<Happened>,
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
    complained: Option<Monotonic>,
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
            refusals: 0,
            gate,
        }
    }

    /// Begins to accept clients.
    pub fn listen(&self) -> std::io::Result<()> {
        match &self.listener {
            Some(listener) => self.io.epoll.add(listener.socket(), Interest::READ, token::LISTENER),
            None => Ok(()),
        }
    }

    /// Accepts no client any more.
    pub fn stop_listening(&mut self) -> Option<Listener> {
        let listener = self.listener.take()?;
        // Not in the set while listening pauses.
        let _ = self.io.epoll.remove(listener.socket());
        Some(listener)
    }

    /// Whether all that was reported as ready has been dealt with.
    pub fn is_exhausted(&self) -> bool {
        self.ready_at == self.ready_end
    }

    /// Takes note of descriptors that are ready.
    pub fn feed(&mut self, ready: &[EpollEvent]) {
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
    pub fn progress(&mut self, shared: &Shared) -> Option<Happened> {
        let event = self.next_event(shared);
        self.arm();
        event
    }

    /// Takes back an event that the program did not hear of: it is the next one.
    pub fn take_back(&mut self, event: Happened) {
        self.events.push_front(event);
    }

    #[inline(always)]
    fn next_event(&mut self, shared: &Shared) -> Option<Happened> {
        self.obey(shared);
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if let Some(id) = self.current {
                match self.next_message(id, shared) {
                    Some(message) => return Some(Happened::Message(id, message)),
                    None => self.current = None,
                }
                continue;
            }
            if self.is_exhausted() {
                return None;
            }
            let ready = self.ready[self.ready_at];
            self.ready_at += 1;
            self.handle(ready, shared);
        }
    }

    /// Does what other threads asked for.
    #[inline(always)]
    fn obey(&mut self, shared: &Shared) {
        if self.io.has_commands() {
            self.obey_all(shared);
        }
    }

    #[cold]
    fn obey_all(&mut self, shared: &Shared) {
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
                        self.say_farewell(id, recipient, true, false, shared);
                    }
                }
                Command::Expel(id) => self.leave(id, false, shared),
            }
        }
    }

    #[inline(always)]
    fn handle(&mut self, ready: EpollEvent, shared: &Shared) {
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
            token::WAKE => self.obey_all(shared),
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
            id if self.farewells.contains_key(&id) => self.attend(id, shared),
            id if self.is_visitor(id) => self.attend_visitor(id, shared),
            // It has left since.
            _ => {}
        }
    }

    /// Has the timer go off at the next deadline. A timer that goes off too early does no harm.
    #[inline(always)]
    fn arm(&mut self) {
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
                self.attend(id, shared);
            } else if self.is_visitor(id) {
                self.judge_visitor(id, shared);
            } else {
                self.judge_frame(id, due, shared);
            }
        }
    }

    #[cold]
    fn accept(&mut self, shared: &Shared) {
        for _ in 0..BATCH {
            let Some(listener) = &self.listener else { return };
            if self.gate.as_ref().is_some_and(Gate::is_crowded) {
                return self.rest(CROWDED);
            }
            match listener.accept() {
                Ok(Some((socket, peer))) => self.welcome(Arc::new(socket), peer, shared),
                Ok(None) => return,
                Err(error) => return self.pause(&error),
            }
        }
    }

    fn is_visitor(&self, id: u64) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.holds(id))
    }

    fn welcome(&mut self, socket: Arc<StreamSocket>, peer: Peer, shared: &Shared) {
        let id = {
            let mut state = shared.lock_in_engine();
            state.next_client += 1;
            state.next_client - 1
        };
        match self.gate {
            Some(_) => self.challenge(id, socket, peer, shared),
            None => self.take_in(id, socket, peer, shared),
        }
    }

    /// Makes a client of a connection, unless there are enough of them.
    pub(super) fn take_in(
        &mut self,
        id: u64,
        socket: Arc<StreamSocket>,
        peer: Peer,
        shared: &Shared,
    ) {
        let mut state = shared.lock_in_engine();
        if state.delivery.clients.len() >= shared.settings.max_connections {
            drop(state);
            return self.refuse(id, socket, peer, shared);
        }
        let delivery = &mut state.delivery;
        delivery.admit(id, socket.clone(), peer, crate::timestamp::timestamp_ms());
        let write = delivery.clients.get(&id).is_some_and(Recipient::is_watched);
        if let Err(error) = self.io.epoll.add(socket.as_fd(), Interest { read: true, write }, id) {
            if let Some(mut recipient) = delivery.remove(id) {
                recipient.give_up(id, &mut delivery.common);
            }
            drop(state);
            return self.pause(&error);
        }
        drop(state);
        count(&shared.counters.connections, 1);
        self.notes.add(Level::Debug, "dotsock::server", || {
            format!("{peer} has connected as {}", super::client_id(id))
        });
        self.connections.insert(id, Connection::new(socket, peer));
        self.events.push_back(Happened::Connected(id));
    }

    /// Descriptors or memory have run out: the clients that wait would wake us all the time.
    #[cold]
    pub(super) fn pause(&mut self, error: &std::io::Error) {
        let Some(listener) = &self.listener else { return };
        let now = Monotonic::now();
        if self.complained.is_none_or(|last| now.since(last) >= COMPLAIN) {
            self.complained = Some(now);
            self.notes.add(Level::Error, "dotsock::server", || {
                format!(
                    "Cannot accept a client on {}: {error}. Listening pauses for 100 ms at a time; \
                     close descriptors or raise their limit (ulimit -n)",
                    listener.address()
                )
            });
        }
        self.rest(PAUSE);
    }

    /// Accepts nobody for this long: those who come wait in the listener's queue.
    fn rest(&mut self, time: Duration) {
        let Some(listener) = &self.listener else { return };
        if self.io.epoll.remove(listener.socket()).is_ok() {
            self.deadlines.insert((Monotonic::now().after(time), LISTEN_AGAIN));
        }
    }

    fn listen_again(&mut self) {
        if self.listen().is_err() {
            self.deadlines.insert((Monotonic::now().after(PAUSE), LISTEN_AGAIN));
        }
    }

    /// The peer has left, or has to: delivers what is queued for it, then closes.
    #[cold]
    pub(super) fn leave(&mut self, id: u64, ended: bool, shared: &Shared) {
        self.drop_connection(id);
        let recipient = shared.lock_in_engine().delivery.remove(id);
        // Somebody may have dismissed it a moment ago: then that command follows.
        if let Some(recipient) = recipient {
            self.say_farewell(id, recipient, true, ended, shared);
        }
    }

    fn drop_connection(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id)
            && let Some(due) = connection.frame_due
        {
            self.deadlines.remove(&(due, id));
        }
        if self.current == Some(id) {
            self.current = None;
        }
    }

    pub(super) fn say_farewell(
        &mut self,
        id: u64,
        mut recipient: Recipient,
        reported: bool,
        ended: bool,
        shared: &Shared,
    ) {
        let due = Monotonic::now().after(shared.settings.linger);
        recipient.reading = !ended;
        self.farewells.insert(id, Farewell::new(recipient, reported, due));
        self.attend(id, shared);
    }

    /// Goes on closing a connection.
    #[cold]
    fn attend(&mut self, id: u64, shared: &Shared) {
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
            self.events.push_back(Happened::Disconnected(id));
        } else {
            self.refusals -= 1;
        }
        farewell.close(id, &mut shared.lock_in_engine().delivery.common);
    }

    /// Begins to close every connection.
    pub fn begin_shutdown(&mut self, keep_messages: bool, shared: &Shared) {
        self.obey(shared);
        while let Some(id) = self.current.filter(|_| keep_messages) {
            match self.next_message(id, shared) {
                Some(message) if self.events.try_reserve(1).is_ok() => {
                    self.events.push_back(Happened::Message(id, message));
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
        self.notes.add(Level::Error, "dotsock::server", || {
            format!("Out of memory: the last messages of {peer}, {bytes} bytes and one, are lost")
        });
    }

    /// Goes on with a shutdown; `true` when every connection is closed.
    pub fn is_shut_down(&mut self, shared: &Shared) -> bool {
        self.obey(shared);
        while !self.is_exhausted() {
            let ready = self.ready[self.ready_at];
            self.ready_at += 1;
            self.handle(ready, shared);
        }
        self.arm();
        self.farewells.is_empty()
    }

    /// The end: what has happened and was not taken.
    pub fn into_events(self) -> VecDeque<Happened> {
        self.events
    }
}
