//! Senders that wait for room: first come, first served.

use std::collections::VecDeque;

/// The line that they wait in, by the turn that each was given.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<u64>,
    given: u64,
}

impl Line {
    pub fn join(&mut self) -> u64 {
        self.given += 1;
        self.waiting.push_back(self.given);
        self.given
    }

    pub fn leave(&mut self, turn: u64) {
        self.waiting.retain(|&waiting| waiting != turn);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether it is the turn of this one, or of one who has not joined.
    pub fn is_turn_of(&self, turn: Option<u64>) -> bool {
        self.waiting.front().copied() == turn
    }
}
