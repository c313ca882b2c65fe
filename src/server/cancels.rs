//! Calls of `cancel`: how many there were, how many have had an effect, and the descriptor that
//! tells whoever waits.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::sys::EventFd;

/// The part that needs no lock, so that a signal handler may use it.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    asked: AtomicU64,
    taken: AtomicU64,
}

impl Cancels {
    /// Safe in a signal handler. `event` is asked for once the call is counted.
    pub fn ask<'a>(&self, event: impl FnOnce() -> Option<&'a EventFd>) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Pairs with that in `event_is_made`: we see the event, or its maker sees our call.
        fence(Ordering::SeqCst);
        if let Some(event) = event() {
            event.signal();
        }
    }

    /// To be called once others can see the event, and before anybody waits for it.
    pub fn event_is_made(&self) {
        fence(Ordering::SeqCst);
    }

    /// How often `ask` was called; a sender that waits notices that it was called again.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn is_pending(&self) -> bool {
        self.asked() != self.taken.load(Ordering::SeqCst)
    }

    /// Takes what is pending, if anything is, and quiets the event. Under the state lock: one at a
    /// time.
    pub fn take(&self, event: Option<&EventFd>) -> bool {
        if !self.is_pending() {
            return false;
        }
        if let Some(event) = event {
            // Before the count is read: the signal of a later one must stay.
            event.clear();
        }
        self.taken.store(self.asked(), Ordering::SeqCst);
        true
    }

    /// Quiets the event of a call that was taken before its signal came, which would keep
    /// everybody awake.
    pub fn quiet(&self, event: &EventFd) {
        event.clear();
        if self.is_pending() {
            event.signal();
        }
    }
}
