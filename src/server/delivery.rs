//! The sending side: every message to every client goes through here, in one order.
//!
//! All of it lives under the server's state lock, which is never held across a wait: sockets are
//! non-blocking, and a send that has to wait does so in `waiting`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backlog::{Backlog, Entry};
use super::burst::Burst;
use super::common::{BacklogOwner, Common, Outgoing};
use super::load::Load;
use super::outbox::Sent;
use super::recipient::{Offer, Recipient};
use super::segment::{Batch, Segment};
use super::shared::{client_id, no_client};
use super::waiting::{Pace, Unfinished, Wait};
use crate::notes::Notes;
use crate::settings::{Settings, SlowClient};
use crate::sys::{StreamSocket, WallClock};
use crate::timestamp::Stamper;
use crate::transport::Peer;
use crate::wire::envelope::Template;
use crate::{Error, MessageType, Result, Status};

/// From this size on a payload is written from where it lies instead of being copied first.
const LARGE: usize = 16384;

/// When what is handed out is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// At once, as far as sockets have room; the engine writes the rest.
    Now,
    /// At once; the sender waits a moment for room and writes the rest.
    Paced,
    /// When the cork is lifted.
    Later,
}

pub(crate) struct Delivery {
    pub clients: BTreeMap<u64, Recipient>,
    pub common: Common,
    pub burst: Burst,
    /// Broadcasts that are collected: everything else that is sent goes behind them.
    pub(super) collected: Batch,
    scratch: Batch,
    /// Clients whose sockets are full, and for whom the present sender waits a moment.
    pace: Option<Pace>,
}

impl Delivery {
    pub fn new(event_name: &str, settings: Arc<Settings>) -> Delivery {
        let template = |message_type| Template::new(event_name, message_type);
        Delivery {
            clients: BTreeMap::new(),
            common: Common {
                backlog: Backlog::new(settings.message_queue_size, settings.client_queue_size),
                stamper: Stamper::new(settings.timezone),
                settings,
                io: None,
                notes: Notes::default(),
                sent: Sent::default(),
                dropped: 0,
                broadcasts: 0,
                live: 0,
                behind: 0,
                starving: None,
                templates: [MessageType::Data, MessageType::Error, MessageType::Control]
                    .map(template),
                retained: None,
                backlog_owner: None,
            },
            burst: Burst::new(),
            collected: Batch::default(),
            scratch: Batch::default(),
            pace: None,
        }
    }

    /// Sends to everybody. What is returned, if anything, still has to wait for some of them.
    pub fn broadcast(&mut self, out: &Outgoing) -> Result<Option<Unfinished>> {
        let length = self.common.frame_len(out);
        if self.common.live == 0 {
            // What was collected for clients that can't be written to any more is older.
            self.distribute(Write::Now);
            let frame = Arc::new(self.common.frame(out)?);
            self.common.broadcasts += 1;
            self.retain(out, &frame);
            self.keep(self.common.broadcasts, frame);
            return Ok(None);
        }
        if self.common.settings.slow_client == SlowClient::Block && self.common.behind > 0 {
            let waiting = self.collected.bytes.len() + length;
            if self.clients.values().any(|client| self.lacks_room(client, waiting)) {
                return self.broadcast_and_wait(out, length);
            }
        }
        if length >= LARGE {
            return self.broadcast_large(out);
        }
        if self.collected.bytes.len() + length > self.common.settings.client_queue_size {
            self.distribute(self.by_sender());
        }
        let (now, start) = (WallClock::now(), self.collected.bytes.len());
        self.common.append(out, now, &mut self.collected)?;
        self.common.broadcasts += 1;
        if self.common.settings.retain_last
            && let Ok(frame) = Segment::of_parts(&[&self.collected.bytes[start..]])
        {
            self.retain(out, &Arc::new(frame));
        }
        self.write_or_collect(now);
        Ok(self.pace.take().map(Unfinished::Pace))
    }

    /// A send has failed: nobody waits for the sockets that it found full, and the engine writes
    /// what they have no room for.
    pub fn keep_no_pace(&mut self) {
        if let Some(mut pace) = self.pace.take() {
            pace.advance(self, true);
        }
    }

    fn lacks_room(&self, client: &Recipient, frames: usize) -> bool {
        !client.is_broken()
            && (!client.waiting.is_empty() || !client.has_room(frames, &self.common))
    }

    fn broadcast_large(&mut self, out: &Outgoing) -> Result<Option<Unfinished>> {
        self.distribute(self.unless_corked());
        let mut head = Vec::new();
        let (head, data) = self.common.parts(out, &mut head);
        self.common.broadcasts += 1;
        if self.common.settings.retain_last {
            let frame = Arc::new(Segment::of_parts(&[head, data])?);
            self.retain(out, &frame);
        }
        self.spread(Load::Parts(head, data, false), self.by_sender())?;
        Ok(self.pace.take().map(Unfinished::Pace))
    }

    /// A broadcast for which some clients have no room: everybody else gets it now.
    fn broadcast_and_wait(&mut self, out: &Outgoing, length: usize) -> Result<Option<Unfinished>> {
        self.distribute(Write::Now);
        let frame = Arc::new(self.common.frame(out)?);
        self.common.broadcasts += 1;
        self.retain(out, &frame);
        let mut wait = Wait::new(frame.clone());
        for (id, client) in &mut self.clients {
            if !client.waiting.is_empty() || !client.has_room(length, &self.common) {
                let in_reach = client.write(*id, &mut self.common);
                let lacks_room =
                    !client.waiting.is_empty() || !client.has_room(length, &self.common);
                if in_reach
                    && lacks_room
                    && !wait.join(*id, client, &mut self.common)
                    && !client.waiting.is_empty()
                {
                    // Nothing is offered to it below, which would count what it misses.
                    client.miss(*id, 1, &mut self.common);
                }
            }
        }
        if let Err(error) = self.spread(Load::Sealed(frame), Write::Now) {
            wait.give_up(self, true);
            return Err(error);
        }
        Ok((!wait.is_over()).then_some(Unfinished::Wait(wait)))
    }

    /// Remembers the newest broadcast `data` message.
    fn retain(&mut self, out: &Outgoing, frame: &Arc<Segment>) {
        if self.common.settings.retain_last && out.message_type() == MessageType::Data {
            let entry = Entry { number: self.common.broadcasts, frame: frame.clone() };
            self.common.retained = Some(entry);
        }
    }

    /// Keeps a broadcast for the first client that comes.
    fn keep(&mut self, number: u64, frame: Arc<Segment>) {
        self.common.dropped += self.common.backlog.push(Entry { number, frame });
    }

    /// Hands broadcast frames to every client that no sender waits for; to the backlog when it
    /// finds that none is left.
    pub(super) fn spread(&mut self, mut load: Load, write: Write) -> Result<()> {
        let frames = load.frames();
        let (mut reached, mut lost) = (false, 0);
        let mut result = Ok(());
        for (id, client) in &mut self.clients {
            if let Some(end) = client.in_reach_until() {
                // What was broadcast before that, and is only handed out now, it has missed.
                lost += (end + frames as u64).saturating_sub(self.common.broadcasts);
                continue;
            }
            if !client.waiting.is_empty() {
                reached = true;
                continue;
            }
            if client.is_behind() || write == Write::Later {
                let corked = write == Write::Later;
                let common = &mut self.common;
                match load.seal().map(|segment| client.offer(*id, &segment, corked, common)) {
                    Ok(Offer::Gone) => lost += frames as u64,
                    Ok(Offer::Taken | Offer::Refused) => reached = true,
                    Ok(Offer::NoMemory) => {
                        (reached, result) = (true, Err(Error::no_memory(load.bytes())))
                    }
                    Err(error) => {
                        client.miss(*id, frames as u64, &mut self.common);
                        (reached, result) = (true, Err(error));
                    }
                }
                continue;
            }
            match give(client, *id, &mut load, write, &mut self.pace, &mut self.common) {
                Ok(true) => reached = true,
                Ok(false) => lost += frames as u64,
                Err(error) => (reached, result) = (true, Err(error)),
            }
        }
        if reached {
            self.common.dropped += lost;
        } else if let Ok(segment) = load.seal() {
            self.keep_all(&segment);
        }
        result
    }

    fn keep_all(&mut self, segment: &Arc<Segment>) {
        let first = self.common.broadcasts + 1 - segment.frames() as u64;
        for index in 0..segment.frames() {
            let number = first + index as u64;
            match segment.frames() {
                1 => self.keep(number, segment.clone()),
                _ => match Segment::of_parts(&[segment.frame(index)]) {
                    Ok(frame) => self.keep(number, Arc::new(frame)),
                    Err(_) => self.common.dropped += 1,
                },
            }
        }
    }

    /// Sends to one client. What is returned, if anything, still has to wait for it.
    pub fn unicast(&mut self, id: u64, out: &Outgoing) -> Result<Option<Unfinished>> {
        self.distribute(self.unless_corked());
        let length = self.common.frame_len(out);
        let (corked, write) = (self.burst.corked, self.by_sender());
        let client = match self.clients.get_mut(&id) {
            Some(client) if !client.is_broken() => client,
            _ => return Err(out_of_reach(id)),
        };
        let common = &mut self.common;
        if !corked && !client.is_behind() {
            self.scratch.clear();
            let mut head = Vec::new();
            let mut load = if length < LARGE {
                common.append(out, WallClock::now(), &mut self.scratch)?;
                Load::Batch(&mut self.scratch)
            } else {
                let (head, data) = common.parts(out, &mut head);
                Load::Parts(head, data, false)
            };
            return match give(client, id, &mut load, write, &mut self.pace, common)? {
                true => Ok(self.pace.take().map(Unfinished::Pace)),
                false => Err(out_of_reach(id)),
            };
        }
        let frame = Arc::new(common.frame(out)?);
        if common.settings.slow_client == SlowClient::Block {
            let full = !client.waiting.is_empty() || !client.has_room(length, common);
            if full && !client.write(id, common) {
                return Err(out_of_reach(id));
            }
            if !client.waiting.is_empty() || !client.has_room(length, common) {
                let mut wait = Wait::new(frame);
                if !wait.join(id, client, common) {
                    return Err(Error::no_memory(length));
                }
                return Ok(Some(Unfinished::Wait(wait)));
            }
        }
        match client.offer(id, &frame, corked, common) {
            Offer::Gone => Err(out_of_reach(id)),
            Offer::Refused => Err(full(id, common.settings.client_queue_size)),
            Offer::NoMemory => Err(Error::no_memory(length)),
            Offer::Taken => Ok(None),
        }
    }

    /// A client has come: queues for it what it is to get before everything else.
    pub fn admit(&mut self, id: u64, socket: Arc<StreamSocket>, peer: Peer, connected_at_ms: i64) {
        self.distribute(Write::Now);
        let mut client = Recipient::new(socket, peer, connected_at_ms);
        let common = &mut self.common;
        common.live += 1;
        if let Some(id) = common.backlog_owner.as_ref().map(|owner| owner.id)
            && !self.clients.contains_key(&id)
        {
            // It is about to leave, and gets no more of the backlog than it has.
            common.release_backlog(id);
        }
        if let Some(until) = common.backlog.newest().filter(|_| common.backlog_owner.is_none()) {
            common.backlog_owner = Some(BacklogOwner { id, until, lent: None });
        }
        if let Some(entry) = common.retained.clone() {
            match common.backlog_owner.as_mut().filter(|owner| owner.id == id) {
                Some(owner) => {
                    owner.until = owner.until.max(entry.number);
                    owner.lent = common.backlog.insert(entry.clone()).then_some(entry.number);
                }
                None => client.queue(id, &entry.frame, common),
            }
        }
        client.write(id, common);
        self.clients.insert(id, client);
        self.burst.clients_changed(self.common.live);
    }

    /// A client is leaving: from now on nobody can send to it.
    pub fn remove(&mut self, id: u64) -> Option<Recipient> {
        self.write_collected();
        let mut client = self.clients.remove(&id)?;
        client.detach(&mut self.common);
        self.burst.clients_changed(self.common.live);
        Some(client)
    }

    /// Forgets the backlog, but not the retained message that a client was promised.
    pub fn clear_queue(&mut self) {
        let common = &mut self.common;
        let promised = common.retained.clone().filter(|entry| common.backlog.has(entry.number));
        common.backlog.clear();
        let Some(owner) = &mut common.backlog_owner else { return };
        match promised.filter(|entry| entry.number <= owner.until) {
            Some(entry) => {
                owner.lent = Some(entry.number);
                common.backlog.insert(entry);
            }
            None => common.backlog_owner = None,
        }
    }
}

/// Writes frames to a client for whom nothing waits, and queues what its socket does not take.
/// `false` when it is out of reach.
#[inline(always)]
fn give(
    client: &mut Recipient,
    id: u64,
    load: &mut Load,
    write: Write,
    pace: &mut Option<Pace>,
    common: &mut Common,
) -> Result<bool> {
    let frames = load.frames();
    let written = match load.with_slices(|parts| client.write_through(id, parts, frames, common)) {
        Ok(None) => return Ok(true),
        Ok(Some(written)) => written,
        Err(()) => return Ok(false),
    };
    if write == Write::Paced {
        pace.get_or_insert_default().add(id, client);
    }
    let queued = match load.rest(written) {
        Some(rest) => rest.map(|rest| client.keep_rest(id, rest, written, common)),
        None => load.seal().and_then(|segment| client.queue_rest(id, &segment, written, common)),
    };
    if let Err(error) = queued {
        client.lose(id, written, frames as u64, common);
        return Err(error);
    }
    Ok(true)
}

#[cold]
fn out_of_reach(id: u64) -> Error {
    no_client(&client_id(id))
}

#[cold]
fn full(id: u64, limit: usize) -> Error {
    let text = format!(
        "Client '{}' reads too slowly: {limit} bytes (client_queue_size) wait for it already. \
         Send again later, or choose another slow_client policy",
        client_id(id)
    );
    Error::new(Status::Full, text)
}

#[cfg(test)]
mod tests;
