//! When what is sent is written: at once, with others that have collected, or by the clock.

use super::burst::{Decision, FLUSH, TAIL};
use super::delivery::{Delivery, Write};
use super::load::Load;
use crate::settings::SlowClient;
use crate::sys::{Monotonic, WallClock};

impl Delivery {
    /// How a sender writes. With `block` it keeps pace with those who read: what a socket does not
    /// take is written a moment later, by the sender, instead of piling up.
    pub(super) fn by_sender(&self) -> Write {
        match self.common.settings.slow_client {
            SlowClient::Block => Write::Paced,
            _ => Write::Now,
        }
    }

    pub(super) fn unless_corked(&self) -> Write {
        if self.burst.corked { Write::Later } else { Write::Now }
    }

    #[inline(always)]
    pub(super) fn write_or_collect(&mut self, now: WallClock) {
        let limit = FLUSH.min(self.common.settings.client_queue_size);
        if !self.burst.is_timed() {
            if !self.burst.corked || self.collected.bytes.len() >= limit {
                self.distribute(self.by_sender());
            }
            return;
        }
        match self.burst.decide(self.collected.bytes.len(), limit, now) {
            Decision::Collect => {}
            Decision::BeginBurst => {
                if let Some(io) = &self.common.io {
                    io.tail.arm(TAIL);
                }
            }
            Decision::WriteNow => {
                self.distribute(self.by_sender());
                self.burst.wrote(now, WallClock::now(), self.common.live);
            }
        }
    }

    /// Hands what was collected to every client.
    pub fn distribute(&mut self, write: Write) {
        if self.collected.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.collected);
        // It fails only where parts have to be put together first: a batch is whole.
        let _ = self.spread(Load::Batch(&mut batch), write);
        batch.clear();
        self.collected = batch;
    }

    /// Writes what has collected, corked or not, and leaves the cork on.
    pub fn write_collected(&mut self) {
        if self.burst.corked {
            self.flush();
        } else {
            self.distribute(Write::Now);
        }
    }

    /// Writes everything that has collected.
    pub fn flush(&mut self) {
        self.distribute(Write::Now);
        if self.common.behind == 0 {
            return;
        }
        for (id, client) in &mut self.clients {
            if client.is_behind() && !client.is_watched() && client.waiting.is_empty() {
                client.write(*id, &mut self.common);
            }
        }
    }

    pub fn cork(&mut self) {
        self.distribute(Write::Now);
        self.burst.end();
        self.burst.corked = true;
    }

    pub fn uncork(&mut self) {
        self.burst.corked = false;
        self.flush();
    }

    /// Whether the library's own thread stands ready to write a tail.
    pub fn set_standby(&mut self, standby: bool) {
        self.burst.standby = standby;
        if !standby {
            if !self.burst.corked {
                self.distribute(Write::Now);
            }
            self.burst.end();
        }
    }

    /// The timer of a burst went off: writes a tail that its sender has left behind, and what there
    /// was no memory for. Whether that was due, which others may have to do as well.
    pub fn look_after_tail(&mut self) -> bool {
        let is_due = |due: &mut Monotonic| *due <= Monotonic::now();
        let were_starving = self.common.starving.take_if(is_due).is_some();
        if were_starving {
            for (id, client) in &mut self.clients {
                if client.is_starved() && client.waiting.is_empty() {
                    client.write(*id, &mut self.common);
                }
            }
        }
        let now = WallClock::now();
        if !self.collected.is_empty() && self.burst.tail_is_due(now) {
            self.distribute(Write::Now);
            self.burst.wrote(now, WallClock::now(), self.common.live);
        }
        let goes_on = self.burst.goes_on(self.collected.is_empty(), now);
        if let Some(io) = &self.common.io {
            if goes_on {
                io.tail.arm(TAIL);
            } else if let Some(due) = self.common.starving {
                io.tail.arm(due.remaining());
            }
        }
        were_starving
    }
}
