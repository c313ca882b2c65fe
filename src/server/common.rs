//! What all clients of a server share under its state lock: the backlog and who gets it, the
//! counters, and how frames are made.

use std::sync::Arc;

use serde::Serialize;

use super::backlog::{Backlog, Entry};
use super::burst::TAIL;
use super::io::{Command, Io};
use super::outbox::Sent;
use super::segment::{Batch, Segment};
use crate::message::Missed;
use crate::notes::Notes;
use crate::settings::Settings;
use crate::sys::{Monotonic, STARVED, WallClock};
use crate::timestamp::Stamper;
use crate::wire::envelope::Template;
use crate::{Message, MessageType, Result};

/// A message to send: a payload that still needs its envelope, or a message that has one.
#[derive(Clone, Copy)]
pub(crate) enum Outgoing<'a> {
    Payload(MessageType, &'a [u8]),
    Message(&'a Message),
}

impl Outgoing<'_> {
    pub fn message_type(&self) -> MessageType {
        match self {
            Outgoing::Payload(message_type, _) => *message_type,
            Outgoing::Message(message) => message.message_type(),
        }
    }
}

/// What all clients share.
pub(crate) struct Common {
    pub settings: Arc<Settings>,
    pub io: Option<Arc<Io>>,
    pub notes: Notes,
    pub backlog: Backlog,
    pub sent: Sent,
    pub dropped: u64,
    /// The number of the newest broadcast.
    pub broadcasts: u64,
    /// Clients that can be written to.
    pub live: usize,
    /// Clients for whom something waits.
    pub behind: usize,
    /// For some client there was no memory to write with: when that is tried again.
    pub(super) starving: Option<Monotonic>,
    pub(super) templates: [Template; 3],
    pub(super) stamper: Stamper,
    /// The newest broadcast `data` message, with `retain_last`.
    pub(super) retained: Option<Entry>,
    pub(super) backlog_owner: Option<BacklogOwner>,
}

/// The client that gets the backlog.
pub(super) struct BacklogOwner {
    pub id: u64,
    /// The newest broadcast that is meant for it.
    pub until: u64,
    /// The retained message, where it was put into the backlog just for this client.
    pub lent: Option<u64>,
}

impl Common {
    /// The server starts: these are the descriptors of its engine, with a timer that is not set.
    pub fn begin(&mut self, io: Arc<Io>) {
        self.io = Some(io);
        self.starving = None;
    }

    /// Has the engine look after a client that there was no memory to write to.
    pub fn try_again_soon(&mut self) {
        if self.starving.is_none() {
            self.starving = Some(Monotonic::now().after(STARVED));
            if let Some(io) = &self.io {
                // The timer may be set for a tail, which must not wait for so long.
                io.tail.arm(TAIL);
            }
        }
    }

    pub fn count(&mut self, sent: Sent) {
        self.sent.frames += sent.frames;
        self.sent.bytes += sent.bytes;
    }

    /// Up to which broadcast the backlog belongs to this client.
    pub fn backlog_of(&self, id: u64) -> Option<u64> {
        self.backlog_owner.as_ref().filter(|owner| owner.id == id).map(|owner| owner.until)
    }

    /// What this client has left of the backlog waits for the next one; a message that was put there
    /// just for it does not.
    pub fn release_backlog(&mut self, id: u64) {
        if let Some(owner) = self.backlog_owner.take_if(|owner| owner.id == id)
            && let Some(number) = owner.lent
        {
            self.dropped += u64::from(self.backlog.remove(number));
        }
    }

    pub fn ask(&self, command: Command) {
        if let Some(io) = &self.io {
            io.ask(command);
        }
    }

    /// The frame that tells a client how many messages it has missed; `None` without memory.
    pub fn missed_notice(&mut self, count: u64) -> Option<Segment> {
        self.notice(MessageType::Control, &Missed::new(count))
    }

    /// A frame of the library's own making.
    pub fn notice(&mut self, message_type: MessageType, data: &impl Serialize) -> Option<Segment> {
        let data = rmp_serde::to_vec_named(data).ok()?;
        self.frame(&Outgoing::Payload(message_type, &data)).ok()
    }

    /// Everything in front of the payload (or, for a message, all of it) and the payload.
    pub fn parts<'a>(&mut self, out: &'a Outgoing, head: &'a mut Vec<u8>) -> (&'a [u8], &'a [u8]) {
        match out {
            Outgoing::Payload(message_type, data) => {
                let template = &self.templates[*message_type as usize];
                template.write_head(&self.stamper.now(), data.len(), head);
                (head, data)
            }
            Outgoing::Message(message) => (message.frame(), &[]),
        }
    }

    pub fn frame(&mut self, out: &Outgoing) -> Result<Segment> {
        match out {
            Outgoing::Message(message) => Ok(Segment::of_message(message)),
            Outgoing::Payload(..) => {
                let mut head = Vec::new();
                let (head, data) = self.parts(out, &mut head);
                Segment::of_parts(&[head, data])
            }
        }
    }

    #[inline(always)]
    pub fn append(&mut self, out: &Outgoing, now: WallClock, batch: &mut Batch) -> Result<()> {
        batch.reserve(self.frame_len(out))?;
        match out {
            Outgoing::Payload(message_type, data) => {
                let template = &self.templates[*message_type as usize];
                template.write_head(&self.stamper.stamp(now), data.len(), &mut batch.bytes);
                batch.bytes.extend_from_slice(data);
            }
            Outgoing::Message(message) => batch.bytes.extend_from_slice(message.frame()),
        }
        batch.end_frame();
        Ok(())
    }

    #[inline(always)]
    pub fn frame_len(&self, out: &Outgoing) -> usize {
        match out {
            Outgoing::Payload(message_type, data) => {
                self.templates[*message_type as usize].head_len() + data.len()
            }
            Outgoing::Message(message) => message.frame().len(),
        }
    }
}
