//! What has arrived and was not taken: messages, and between them the ends of connections.

use std::collections::VecDeque;

use crate::{Error, Message, Result};

/// How many ends are kept for a program that takes none.
const MAX_ENDS: usize = 1000;

/// What a receiver gets next.
#[derive(Debug)]
pub(super) enum Arrived {
    Message(Message),
    End(End),
}

/// The end of a connection, or of hope for one.
#[derive(Debug)]
pub(super) enum End {
    /// Stands between the messages of two connections, whatever comes after it.
    Between(Error),
    /// A refusal, or a failure to connect: for whoever comes first, a sender too.
    Failure(Error),
    /// Nothing follows, unless the program connects anew.
    Last(Error),
}

impl End {
    pub fn into_error(self) -> Error {
        match self {
            End::Between(error) | End::Failure(error) | End::Last(error) => error,
        }
    }
}

#[derive(Debug)]
enum Item {
    Arrived(Arrived),
    /// That many messages were dropped here for want of room; the receiver is told so.
    Missed(u64),
}

/// A queue of what has arrived, in order.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: VecDeque<Item>,
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
            .map_err(|_| Error::no_memory(self.queue.len() * size_of::<Item>()))
    }

    pub fn push(&mut self, message: Message) {
        self.bytes += message.frame().len();
        self.queue.push_back(Item::Arrived(Arrived::Message(message)));
    }

    /// Notes that a message was dropped behind everything that waits. There is room for that.
    pub fn miss(&mut self) {
        if let Some(Item::Missed(count)) = self.queue.back_mut() {
            *count += 1;
        } else {
            self.queue.push_back(Item::Missed(1));
        }
    }

    /// How many messages were dropped where the queue begins.
    pub fn missed(&self) -> Option<u64> {
        match self.queue.front()? {
            Item::Missed(count) => Some(*count),
            Item::Arrived(_) => None,
        }
    }

    /// The receiver was told of these.
    pub fn forget_missed(&mut self) {
        if self.missed().is_some() {
            self.queue.pop_front();
        }
    }

    /// Without memory for it the end is not told; the calls that follow find no connection.
    pub fn push_end(&mut self, end: End) {
        if self.ends < MAX_ENDS && self.queue.try_reserve(1).is_ok() {
            self.ends += 1;
            self.queue.push_back(Item::Arrived(Arrived::End(end)));
        }
    }

    /// The next of what has arrived, where nothing was [`missed`](Inbox::missed) before it.
    pub fn pop(&mut self) -> Option<Arrived> {
        if self.missed().is_some() {
            return None;
        }
        let Item::Arrived(arrived) = self.queue.pop_front()? else { return None };
        match &arrived {
            Arrived::Message(message) => self.bytes -= message.frame().len(),
            Arrived::End(_) => self.ends -= 1,
        }
        Some(arrived)
    }

    /// Takes the first failure.
    pub fn take_failure(&mut self) -> Option<Error> {
        if self.ends == 0 {
            return None;
        }
        let is_failure = |item: &Item| matches!(item, Item::Arrived(Arrived::End(End::Failure(_))));
        let index = self.queue.iter().position(is_failure)?;
        let Item::Arrived(Arrived::End(end)) = self.queue.remove(index)? else { return None };
        self.ends -= 1;
        Some(end.into_error())
    }

    /// Forgets the messages; the ends stay.
    pub fn clear_messages(&mut self) {
        self.queue.retain(|item| matches!(item, Item::Arrived(Arrived::End(_))));
        self.bytes = 0;
    }

    /// Forgets the ends that are none any more once the program connects anew.
    pub fn forget_obsolete_ends(&mut self) {
        let is_end = |item: &Item| matches!(item, Item::Arrived(Arrived::End(_)));
        self.queue.retain(|item| {
            !matches!(item, Item::Arrived(Arrived::End(End::Failure(_) | End::Last(_))))
        });
        self.ends = self.queue.iter().filter(|item| is_end(item)).count();
    }
}
