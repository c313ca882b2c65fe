//! The engine's front door: who comes in, who is turned away, and when nobody is let in for a while.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use log::Level;
use serde::Serialize;

use super::LOG;
use super::connection::Connection;
use super::engine::{BATCH, Engine, RawEvent};
use super::gate::Gate;
use super::io::token;
use super::recipient::Recipient;
use super::shared::{Shared, count};
use crate::MessageType;
use crate::sys::{self, Interest, Monotonic, StreamSocket};
use crate::transport::{Listener, Peer};

/// Refused clients that are being told so at once, so that a flood of them takes no descriptors.
const MOST_REFUSALS: usize = 16;

/// How long listening pauses when descriptors or memory have run out.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it does while as many connections as may have just been asked for the token.
const CROWDED: Duration = Duration::from_millis(5);
/// How often that is logged.
const COMPLAIN: Duration = Duration::from_secs(60);
/// Token in `deadlines` of the end of a pause.
pub(super) const LISTEN_AGAIN: u64 = token::LISTENER;

/// What a client is told in a message of our own making.
#[derive(Serialize)]
pub(super) struct Notice {
    pub code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    pub message: String,
}

impl Engine {
    /// Begins to accept clients.
    pub fn listen(&self) -> std::io::Result<()> {
        match &self.listener {
            Some(listener) => self.io.epoll.add(listener.socket(), Interest::READ, token::LISTENER),
            None => Ok(()),
        }
    }

    #[cold]
    pub(super) fn accept(&mut self, shared: &Shared) {
        for _ in 0..BATCH {
            let Some(listener) = self.listener.as_ref().filter(|_| !self.resting) else { return };
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
        // First of all: who cannot be watched is to get nothing of what waits for a client.
        if let Err(error) = self.io.epoll.add(socket.as_fd(), Interest::READ, id) {
            drop(state);
            // A forked child may have the socket open, too: closing alone would not end it.
            sys::shut_down(socket.as_fd());
            return self.pause(&error);
        }
        let now = crate::timestamp::timestamp_ms();
        state.delivery.admit(id, socket.clone(), peer, now);
        drop(state);
        count(&shared.counters.connections, 1);
        self.notes
            .add(Level::Debug, LOG, || format!("{peer} has connected as {}", super::client_id(id)));
        self.connections.insert(id, Connection::new(socket, peer));
        self.events.push_back(RawEvent::Connected(id));
    }

    /// A client over `max_connections`: it is told so, and closed.
    fn refuse(&mut self, id: u64, socket: Arc<StreamSocket>, peer: Peer, shared: &Shared) {
        let limit = shared.settings.max_connections;
        let notice = Notice {
            code: "max_connections",
            limit: Some(limit as u64),
            message: format!("Server '{}' allows {limit} clients at a time", shared.event_name),
        };
        self.turn_away(id, Recipient::unlisted(socket, peer), notice, shared);
    }

    /// Somebody who does not become a client: is told why, and closed.
    pub(super) fn turn_away(
        &mut self,
        id: u64,
        mut recipient: Recipient,
        notice: Notice,
        shared: &Shared,
    ) {
        count(&shared.counters.rejected, 1);
        let peer = recipient.peer;
        if let Some(others) = self.refused_limit.admit() {
            self.notes.add(Level::Warn, LOG, || {
                format!("{peer} is refused ({}): {}{others}", notice.code, notice.message)
            });
        }
        let mut state = shared.lock_in_engine();
        let common = &mut state.delivery.common;
        if let Some(frame) = common.notice(MessageType::Error, &notice) {
            recipient.queue(id, &Arc::new(frame), common);
            recipient.write(id, common);
        }
        drop(state);
        if self.refusals < MOST_REFUSALS
            && self.io.epoll.add(recipient.fd(), Interest::READ, id).is_ok()
        {
            self.refusals += 1;
            // One that was about to become a client was not read from any more.
            recipient.reading = true;
            self.say_farewell(id, recipient, false, shared);
        } else {
            // A forked child may have the socket open, too: closing alone would not end it.
            sys::shut_down(recipient.fd());
        }
    }

    /// Descriptors or memory have run out: the clients that wait would wake us all the time.
    #[cold]
    pub(super) fn pause(&mut self, error: &std::io::Error) {
        let Some(listener) = &self.listener else { return };
        let now = Monotonic::now();
        if self.complained.is_none_or(|last| now.since(last) >= COMPLAIN) {
            self.complained = Some(now);
            self.notes.add(Level::Error, LOG, || {
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
            self.resting = true;
            self.deadlines.insert((Monotonic::now().after(time), LISTEN_AGAIN));
        }
    }

    pub(super) fn listen_again(&mut self) {
        self.resting = self.listen().is_err();
        if self.resting {
            self.deadlines.insert((Monotonic::now().after(PAUSE), LISTEN_AGAIN));
        }
    }

    /// Accepts no client any more.
    pub fn stop_listening(&mut self) -> Option<Listener> {
        let listener = self.listener.take()?;
        // Not in the set while listening pauses.
        let _ = self.io.epoll.remove(listener.socket());
        Some(listener)
    }
}
