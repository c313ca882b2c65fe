//! Log records that arise while a lock is held, kept until it is released.
//!
//! A logger is somebody else's code: it may call back into the library, so it must never run
//! under one of our locks.

use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use log::Level;

use crate::sys::Monotonic;

/// Records waiting for their lock to be released.
#[derive(Default)]
pub(crate) struct Notes(Vec<(Level, &'static str, String)>);

impl Notes {
    /// Keeps a record for later; `text` is only built when somebody listens at this level.
    pub fn add(&mut self, level: Level, target: &'static str, text: impl FnOnce() -> String) {
        if level <= log::max_level() {
            self.0.push((level, target, text()));
        }
    }

    /// Adds the records of `other`, which keeps none.
    pub fn append(&mut self, other: &mut Notes) {
        self.0.append(&mut other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands the records to the logger. Call it without a lock.
    #[inline]
    pub fn emit(self) {
        if !self.is_empty() {
            self.hand_over();
        }
    }

    #[cold]
    fn hand_over(self) {
        for (level, target, text) in self.0 {
            log_now(level, target, format_args!("{text}"));
        }
    }
}

/// Keeps a record that a peer can cause at will from filling the log: one a second is let through.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    last: Option<Monotonic>,
    left_out: u64,
}

impl Limit {
    /// If a record is due now: what to say behind it of those that were left out before.
    pub fn admit(&mut self) -> Option<String> {
        let now = Monotonic::coarse();
        if self.last.is_some_and(|last| now.since(last) < Duration::from_secs(1)) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(match std::mem::take(&mut self.left_out) {
            0 => String::new(),
            count => format!(" ({count} like it since the last one that was logged)"),
        })
    }
}

/// Logs without a lock. A logger that panics (`println!` to a closed pipe does) must not take a
/// server's loop along, which nobody could stop any more, and there is nobody to tell of it.
pub(crate) fn log_now(level: Level, target: &'static str, text: Arguments) {
    let log = || log::log!(target: target, level, "{text}");
    let _ = catch_unwind(AssertUnwindSafe(log));
}
