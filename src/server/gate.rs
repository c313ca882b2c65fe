//! Where TCP connections wait that have not shown yet that they know the token.
//!
//! They are no clients: nobody sends to them or hears of them. What they may say is one short
//! frame, and they cost a few hundred bytes each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::LOG;
use super::accepting::Notice;
use super::engine::Engine;
use super::recipient::Recipient;
use super::segment::Segment;
use super::shared::{Shared, count};
use crate::auth::{self, FrameReader, Heard, Nonce, Said, Secret};
use crate::sys::{self, Interest, Monotonic, StreamSocket};
use crate::timestamp::Stamper;
use crate::transport::Peer;
use crate::{Message, Result};

/// Connections that wait at a time. For one more the oldest has to go, so that strangers who stay
/// silent keep nobody out: who knows the token needs no longer than its answer takes.
const MOST_VISITORS: usize = 128;

/// How long each is left to answer before it has to go for another one, which comes in meanwhile no
/// further than the listener's queue: many who know the token may come at once. Longer, and a flood
/// of strangers would fill that queue.
const TIME_TO_ANSWER: Duration = Duration::from_millis(20);

pub(super) struct Gate {
    secret: Secret,
    stamper: Stamper,
    visitors: BTreeMap<u64, Visitor>,
}

/// A connection that was asked for the token.
struct Visitor {
    recipient: Recipient,
    nonce: Nonce,
    reader: FrameReader,
    asked: Monotonic,
    due: Monotonic,
    /// Its answer was right; what closes the handshake is on its way.
    is_known: bool,
}

impl Gate {
    pub fn new(secret: Secret, stamper: Stamper) -> Gate {
        Gate { secret, stamper, visitors: BTreeMap::new() }
    }

    pub fn holds(&self, id: u64) -> bool {
        self.visitors.contains_key(&id)
    }

    /// Whether there is no place for one more, as nobody has had the time to answer.
    pub fn is_crowded(&self) -> bool {
        let Some((_, oldest)) = self.visitors.first_key_value() else { return false };
        self.visitors.len() >= MOST_VISITORS
            && Monotonic::now().since(oldest.asked) < TIME_TO_ANSWER
    }

    /// The longest-waiting one, where there are too many.
    fn surplus(&self) -> Option<u64> {
        let (id, _) = self.visitors.first_key_value()?;
        (self.visitors.len() > MOST_VISITORS).then_some(*id)
    }
}

impl Engine {
    /// Asks a new connection for the token.
    pub(super) fn challenge(
        &mut self,
        id: u64,
        socket: Arc<StreamSocket>,
        peer: Peer,
        shared: &Shared,
    ) {
        let Some(gate) = &mut self.gate else { return };
        let asked = auth::fresh_nonce().and_then(|nonce| {
            let ask = auth::ask(&shared.event_name, &mut gate.stamper, &nonce)?;
            Ok((nonce, ask))
        });
        let (nonce, ask) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                let recipient = Recipient::unlisted(socket, peer);
                return self.turn_away(id, recipient, denial(&error.to_string(), shared), shared);
            }
        };
        let now = Monotonic::now();
        let mut visitor = Visitor {
            recipient: Recipient::unlisted(socket, peer),
            nonce,
            reader: FrameReader::default(),
            asked: now,
            due: now.after(shared.settings.default_timeout),
            is_known: false,
        };
        if let Err(error) = self.io.epoll.add(visitor.recipient.fd(), Interest::READ, id) {
            return self.pause(&error);
        }
        visitor.say(id, &ask, shared);
        self.deadlines.insert((visitor.due, id));
        gate.visitors.insert(id, visitor);
        if let Some(oldest) = gate.surplus() {
            // It may have answered while the program was busy.
            self.attend_visitor(oldest, shared);
            self.close_surplus(oldest, shared);
        }
    }

    /// Closes without a word: whoever it was has shown nothing wrong, and may come again at once.
    fn close_surplus(&mut self, id: u64, shared: &Shared) {
        if self.gate.as_ref().and_then(Gate::surplus) != Some(id) {
            return;
        }
        let Some(recipient) = self.take_visitor(id, shared) else { return };
        count(&shared.counters.rejected, 1);
        let peer = recipient.peer;
        if let Some(others) = self.refused_limit.admit() {
            self.notes.add(Level::Warn, LOG, || {
                format!(
                    "{peer} is closed: more than {MOST_VISITORS} connections wait to show a \
                     token{others}"
                )
            });
        }
        // A forked child may have the socket open, too: closing alone would not end it.
        sys::shut_down(recipient.fd());
    }

    /// A connection that waits has something to say, or room for what it is told.
    pub(super) fn attend_visitor(&mut self, id: u64, shared: &Shared) {
        let Some(gate) = &mut self.gate else { return };
        let Some(visitor) = gate.visitors.get_mut(&id) else { return };
        visitor.write(id, shared);
        if visitor.is_known {
            return self.let_in(id, shared);
        }
        match visitor.reader.read(visitor.recipient.fd()) {
            Heard::Nothing => {}
            Heard::Frame(frame) => {
                count(&shared.counters.bytes_received, frame.len() as u64);
                match gate.judge(id, &frame, shared) {
                    Ok(Ok(())) => self.let_in(id, shared),
                    Ok(Err(reason)) => self.shut_out(id, reason, shared),
                    Err(error) => self.shut_out(id, &error.to_string(), shared),
                }
            }
            Heard::TooLarge(body) => {
                let reason = format!("it announced {body} bytes instead of showing its token");
                self.shut_out(id, &reason, shared);
            }
            Heard::End => self.shut_out(id, "it left before it had shown its token", shared),
            Heard::Failed(error) => {
                self.shut_out(id, &format!("its connection failed: {error}"), shared)
            }
        }
    }

    /// Goes on with those that there was no memory to say something to.
    pub(super) fn attend_starved_visitors(&mut self, shared: &Shared) {
        let Some(gate) = &self.gate else { return };
        let starved = |(_, visitor): &(&u64, &Visitor)| visitor.recipient.is_starved();
        let ids: Vec<u64> = gate.visitors.iter().filter(starved).map(|(id, _)| *id).collect();
        for id in ids {
            self.attend_visitor(id, shared);
        }
    }

    /// Its time is up, once what has arrived was read.
    pub(super) fn judge_visitor(&mut self, id: u64, shared: &Shared) {
        self.attend_visitor(id, shared);
        let seconds = shared.settings.default_timeout.as_secs_f64();
        let reason = format!("it did not show its token within {seconds} s (default_timeout)");
        self.shut_out(id, &reason, shared);
    }

    /// One that is known becomes a client as soon as it was told so.
    fn let_in(&mut self, id: u64, shared: &Shared) {
        let is_told = |visitor: &Visitor| !visitor.recipient.is_behind();
        if !self.gate.as_ref().and_then(|gate| gate.visitors.get(&id)).is_some_and(is_told) {
            return;
        }
        if let Some(recipient) = self.take_visitor(id, shared) {
            self.take_in(id, recipient.socket, recipient.peer, shared);
        }
    }

    fn shut_out(&mut self, id: u64, reason: &str, shared: &Shared) {
        if let Some(recipient) = self.take_visitor(id, shared) {
            self.turn_away(id, recipient, denial(reason, shared), shared);
        }
    }

    fn take_visitor(&mut self, id: u64, shared: &Shared) -> Option<Recipient> {
        let visitor = self.gate.as_mut()?.visitors.remove(&id)?;
        self.deadlines.remove(&(visitor.due, id));
        visitor.recipient.unwatch(&shared.lock_in_engine().delivery.common);
        Some(visitor.recipient)
    }

    /// The server stops: what waits is closed.
    pub(super) fn close_gate(&mut self, shared: &Shared) {
        let Some(gate) = &mut self.gate else { return };
        let common = &shared.lock_in_engine().delivery.common;
        for visitor in std::mem::take(&mut gate.visitors).into_values() {
            // A forked child may have the socket open, too: closing alone would not end it.
            visitor.recipient.unwatch(common);
            sys::shut_down(visitor.recipient.fd());
        }
    }
}

impl Gate {
    /// What is to be thought of a connection that said this: an error inside is the reason to turn
    /// it away.
    fn judge(
        &mut self,
        id: u64,
        frame: &[u8],
        shared: &Shared,
    ) -> Result<std::result::Result<(), &'static str>> {
        let Some(visitor) = self.visitors.get_mut(&id) else { return Ok(Ok(())) };
        let Said::Answer(theirs, mac) = auth::listen(frame) else {
            return Ok(Err("it said something else before it had shown its token"));
        };
        if theirs == visitor.nonce || !self.secret.is_client(&visitor.nonce, &theirs, &mac) {
            return Ok(Err("its token, or the name of its event, is another one"));
        }
        if matches!(sys::receive(visitor.recipient.fd(), &mut [0]), Ok(1..)) {
            return Ok(Err("it said more before it was let in"));
        }
        let mac = self.secret.server_mac(&visitor.nonce, &theirs);
        let confirm = auth::confirm(&shared.event_name, &mut self.stamper, &mac)?;
        visitor.is_known = true;
        // Whatever it says from now on, the client is to hear that it becomes.
        visitor.recipient.reading = false;
        visitor.say(id, &confirm, shared);
        visitor.recipient.watch(id, &shared.lock_in_engine().delivery.common);
        Ok(Ok(()))
    }
}

impl Visitor {
    fn say(&mut self, id: u64, message: &Message, shared: &Shared) {
        let common = &mut shared.lock_in_engine().delivery.common;
        self.recipient.queue(id, &Arc::new(Segment::of_message(message)), common);
        self.recipient.write(id, common);
    }

    /// Goes on saying what it had no room for.
    fn write(&mut self, id: u64, shared: &Shared) {
        if self.recipient.is_behind() {
            self.recipient.write(id, &mut shared.lock_in_engine().delivery.common);
        }
    }
}

fn denial(reason: &str, shared: &Shared) -> Notice {
    Notice {
        code: "auth_denied",
        limit: None,
        message: format!("Server '{}' turns the connection away: {reason}", shared.event_name),
    }
}
