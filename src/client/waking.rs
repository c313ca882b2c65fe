//! Making threads look up that sleep in a call: for what another thread did, and for `cancel`.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use once_cell::sync::OnceCell;

use crate::sys::EventFd;
use crate::{Error, Result, Status};

/// The part that needs no lock, so that a signal handler may use it.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// Made when the client is first told to connect.
    event: OnceCell<EventFd>,
    cancels: AtomicU64,
}

impl Wake {
    /// What a call that waits polls beside its socket. For whoever holds the client's lock.
    #[inline]
    pub fn event(&self) -> Result<&EventFd> {
        match self.event.get() {
            Some(event) => Ok(event),
            None => self.make_event(),
        }
    }

    #[cold]
    fn make_event(&self) -> Result<&EventFd> {
        let event = self.event.get_or_try_init(EventFd::new).map_err(|error| {
            Error::os(Status::Io, "No descriptor to wait with could be made", &error)
        })?;
        // Pairs with the fence in `cancel`: it sees the event, or we, and after us whoever gets the
        // lock, see its call.
        fence(Ordering::SeqCst);
        Ok(event)
    }

    /// Safe in a signal handler.
    pub fn cancel(&self) {
        self.cancels.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.signal();
    }

    /// How often `cancel` was called so far.
    pub fn cancels(&self) -> u64 {
        self.cancels.load(Ordering::SeqCst)
    }

    fn signal(&self) {
        if let Some(event) = self.event.get() {
            event.signal();
        }
    }

    fn clear(&self) {
        if let Some(event) = self.event.get() {
            event.clear();
        }
    }
}

/// Who sleeps, and who of them has not heard yet that there is news. Kept under the client's lock.
///
/// One event wakes all; it stays signalled until the last of those that slept when there was news
/// has got up. One that sleeps again before that gets up again at once.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    asleep: usize,
    /// Of these, those that wait for messages.
    receivers: usize,
    /// Asleep, and not up yet since the last news.
    unaware: usize,
    news: u64,
    /// Calls of `cancel` that sleepers were told of.
    cancels_told: u64,
    /// Calls of `cancel` that ended a `recv` or `connect`.
    cancels_taken: u64,
}

/// What a sleeper has to show when it gets up.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub(super) struct Bed {
    news: u64,
    receives: bool,
}

impl Sleepers {
    pub fn lie_down(&mut self, receives: bool) -> Bed {
        self.asleep += 1;
        self.receivers += usize::from(receives);
        Bed { news: self.news, receives }
    }

    pub fn get_up(&mut self, bed: Bed, wake: &Wake) {
        self.asleep -= 1;
        self.receivers -= usize::from(bed.receives);
        if bed.news != self.news {
            self.unaware -= 1;
            if self.unaware == 0 {
                wake.clear();
            }
        }
        self.tell_of_cancels(wake);
    }

    /// Whether somebody sleeps who waits for messages.
    pub fn has_receivers(&self) -> bool {
        self.receivers > 0
    }

    /// Wakes everybody who sleeps now.
    pub fn tell(&mut self, wake: &Wake) {
        if self.asleep > 0 {
            self.news += 1;
            self.unaware = self.asleep;
            wake.signal();
        }
    }

    /// For one that got up and found nothing: clears an event that concerns nobody any more.
    pub fn found_nothing(&mut self, wake: &Wake) {
        self.tell_of_cancels(wake);
        if self.unaware == 0 {
            wake.clear();
            // Called after the look above and cleared with the rest: nobody would hear of it.
            self.tell_of_cancels(wake);
        }
    }

    /// Whoever takes a cancel may clear its signal, so everybody must be told of it first.
    fn tell_of_cancels(&mut self, wake: &Wake) {
        let cancels = wake.cancels();
        if self.cancels_told != cancels {
            self.cancels_told = cancels;
            self.tell(wake);
        }
    }

    /// Whether `cancel` was called and has ended no `recv` or `connect` yet.
    pub fn is_cancel_pending(&self, wake: &Wake) -> bool {
        self.cancels_taken != wake.cancels()
    }

    /// The same, and takes it.
    pub fn take_cancel(&mut self, wake: &Wake) -> bool {
        let cancels = wake.cancels();
        std::mem::replace(&mut self.cancels_taken, cancels) != cancels
    }
}
