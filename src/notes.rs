//! Log records that arise while a lock is held, kept until it is released.
//!
//! A logger is somebody else's code: it may call back into the library, so it must never run
//! under one of our locks.

use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::Level;

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

/// Logs without a lock. A logger that panics (`println!` to a closed pipe does) must not take a
/// server's loop along, which nobody could stop any more, and there is nobody to tell of it.
pub(crate) fn log_now(level: Level, target: &'static str, text: Arguments) {
    let log = || log::log!(target: target, level, "{text}");
    let _ = catch_unwind(AssertUnwindSafe(log));
}
