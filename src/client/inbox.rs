//! What has arrived and was not taken: messages, and between them the ends of connections.

use std::collections::VecDeque;

use crate::{Error, Message, Result, Status};

/// How many ends are kept for a program that takes none.
const MAX_ENDS: usize = 1000;

/// What a receiver gets next.
#[derive(Debug)]
pub(super) enum Arrived {
    Message(Message),
    /// A connection ended, or there is none to be had.
    End(Error),
}

/// A queue of what has arrived, in order.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: VecDeque<Arrived>,
    /// Of the messages' frames.
    bytes: usize,
    ends: usize,
}

impl Inbox {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many messages wait.
    pub fn messages(&self) -> usize {
        self.queue.len() - self.ends
    }

    /// How many bytes those messages have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes sure that one more message can be pushed.
    pub fn reserve(&mut self) -> Result<()> {
        self.queue
            .try_reserve(1)
            .map_err(|_| Error::no_memory(self.queue.len() * size_of::<Arrived>()))
    }

    pub fn push(&mut self, message: Message) {
        self.bytes += message.frame().len();
        self.queue.push_back(Arrived::Message(message));
    }

    pub fn push_end(&mut self, end: Error) {
        if self.ends < MAX_ENDS {
            self.ends += 1;
            self.queue.push_back(Arrived::End(end));
        }
    }

    pub fn pop(&mut self) -> Option<Arrived> {
        let arrived = self.queue.pop_front()?;
        match &arrived {
            Arrived::Message(message) => self.bytes -= message.frame().len(),
            Arrived::End(_) => self.ends -= 1,
        }
        Some(arrived)
    }

    /// Takes the first refusal or failure to connect: the ends that concern a sender too.
    pub fn take_failure(&mut self) -> Option<Error> {
        if self.ends == 0 {
            return None;
        }
        let is_failure = |arrived: &Arrived| match arrived {
            Arrived::Message(_) => false,
            Arrived::End(end) => !matches!(end.status(), Status::Closed | Status::Message),
        };
        let index = self.queue.iter().position(is_failure)?;
        match self.queue.remove(index) {
            Some(Arrived::End(end)) => {
                self.ends -= 1;
                Some(end)
            }
            _ => None,
        }
    }

    /// Forgets the messages; the ends stay.
    pub fn clear_messages(&mut self) {
        self.queue.retain(|arrived| matches!(arrived, Arrived::End(_)));
        self.bytes = 0;
    }

    /// Forgets the ends for which `keep` says no.
    pub fn retain_ends(&mut self, mut keep: impl FnMut(Status) -> bool) {
        self.queue.retain(|arrived| match arrived {
            Arrived::Message(_) => true,
            Arrived::End(end) => keep(end.status()),
        });
        self.ends = self.queue.iter().filter(|arrived| matches!(arrived, Arrived::End(_))).count();
    }
}
