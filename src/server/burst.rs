//! When to write at once and when to collect.
//!
//! A message that comes alone is written at once, on the sender's thread: that is the floor of
//! latency. Messages that come faster than single writes serve are collected, and the sender
//! writes many at once; a timer that the library's own thread waits for covers only the tail.
//!
//! Time is that of the wall clock, which a message is stamped with anyway: to read a second clock
//! would cost a tenth of a send. When somebody sets it, a burst begins or ends at the wrong time.

use std::time::Duration;

use crate::sys::WallClock;

/// Sends back to back that begin a burst.
const ENTER: u32 = 8;
/// What is collected is written at this size at the latest.
pub(crate) const FLUSH: usize = 65536;
/// And at this age, or after what the last write cost where that is more.
const AGE: Duration = Duration::from_micros(20);
/// A sender that pauses for so long between two sends could send more than it does: its messages
/// are better off soon than in few writes.
const PAUSE: Duration = Duration::from_nanos(500);
/// They are written at this age, or after half of what the last write cost: one that wakes a reader
/// costs several times what the next ones do, which find it awake.
const AGE_WITH_PAUSES: Duration = Duration::from_micros(5);
/// How soon the library's thread looks after the tail.
pub(crate) const TAIL: Duration = Duration::from_micros(100);
/// A first guess of what one inline send to one client costs, and the most we believe: a send that
/// also woke somebody says little about the next one.
const GUESS: Duration = Duration::from_nanos(800);
const MOST: Duration = Duration::from_nanos(1500);

#[derive(Debug)]
pub(crate) struct Burst {
    /// The program collects until it says otherwise.
    pub corked: bool,
    /// The library's own thread waits in its poll, ready to write a tail.
    pub standby: bool,
    active: bool,
    streak: u32,
    last_send: WallClock,
    last_end: WallClock,
    last_cost: Duration,
    inline_cost: Duration,
    collected: u64,
    /// `collected` and the time when the tail was last looked after.
    mark: (u64, WallClock),
}

/// What a send does with the message that it has appended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    WriteNow,
    Collect,
    /// Collect, and arm the timer: a burst has begun.
    BeginBurst,
}

impl Burst {
    pub fn new() -> Burst {
        let now = WallClock::now();
        Burst {
            corked: false,
            standby: false,
            active: false,
            streak: 0,
            last_send: now,
            last_end: now,
            last_cost: Duration::ZERO,
            inline_cost: GUESS,
            collected: 0,
            mark: (0, now),
        }
    }

    /// Whether the time of sends matters at all.
    #[inline(always)]
    pub fn is_timed(&self) -> bool {
        self.standby && !self.corked
    }

    /// Decides about a message that was appended to `bytes` collected bytes, at `now`, while sends
    /// are timed.
    #[inline(always)]
    pub fn decide(&mut self, bytes: usize, limit: usize, now: WallClock) -> Decision {
        let mut begins = false;
        let pauses = now.since(self.last_send) > PAUSE;
        self.last_send = now;
        if !self.active {
            let quick = now.since(self.last_end) < self.inline_cost / 2;
            self.streak = if quick { self.streak + 1 } else { 0 };
            if self.streak < ENTER {
                return Decision::WriteNow;
            }
            begins = true;
            self.active = true;
            self.mark = (self.collected, now);
        }
        self.collected += 1;
        if begins {
            Decision::BeginBurst
        } else if bytes >= limit || now.since(self.last_end) > self.due(pauses) {
            Decision::WriteNow
        } else {
            Decision::Collect
        }
    }

    /// How long after the last write the next one is due.
    fn due(&self, pauses: bool) -> Duration {
        match pauses {
            true => AGE_WITH_PAUSES.max(self.last_cost / 2),
            false => AGE.max(self.last_cost),
        }
    }

    /// A write for `clients` clients took from `start` to `end`.
    #[inline(always)]
    pub fn wrote(&mut self, start: WallClock, end: WallClock, clients: usize) {
        self.last_end = end;
        self.last_cost = end.since(start);
        if !self.active {
            let most = MOST * clients.max(1) as u32;
            let cost = self.last_cost.min(self.inline_cost * 4);
            self.inline_cost = ((self.inline_cost * 7 + cost) / 8).min(most);
        }
    }

    /// A sender was held up by sockets that are full, and now goes on: with its burst, if it was one
    /// and sends again at once, even though the time without a send has ended that.
    pub fn goes_on_after_wait(&mut self, now: WallClock) {
        self.last_end = now;
        self.streak = ENTER;
    }

    /// The number of clients has changed, and so has what a send costs.
    pub fn clients_changed(&mut self, clients: usize) {
        self.inline_cost = GUESS * clients.max(1) as u32;
    }

    /// Whether the sender seems to have left the tail behind, when the timer goes off.
    pub fn tail_is_due(&self, now: WallClock) -> bool {
        now.since(self.last_end) > (self.due(false) * 2).min(TAIL)
    }

    /// Whether the burst goes on. It ends once single writes would have taken less than half of
    /// the time, and never while something is unwritten: that would reorder.
    pub fn goes_on(&mut self, nothing_collected: bool, now: WallClock) -> bool {
        let (collected, since) = self.mark;
        let sends = (self.collected - collected) as u32;
        self.mark = (self.collected, now);
        if self.active && nothing_collected && self.inline_cost * sends < now.since(since) / 2 {
            self.end();
        }
        self.active
    }

    /// Nobody stands ready for a tail any more; everything has been written.
    pub fn end(&mut self) {
        self.active = false;
        self.streak = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanosecond: u32) -> WallClock {
        WallClock { second: 1, nanosecond }
    }

    /// How many nanoseconds after a write that took `cost` the next one comes, in a burst with a send
    /// every `gap` nanoseconds.
    fn next_write(gap: u32, cost: u32) -> u32 {
        let mut burst = Burst::new();
        burst.goes_on_after_wait(at(0));
        assert_eq!(burst.decide(100, FLUSH, at(0)), Decision::BeginBurst);
        burst.wrote(at(0), at(cost), 1);
        let sends = (1..).map(|send| send * gap);
        let mut later = sends
            .skip_while(|after| burst.decide(100, FLUSH, at(cost + after)) == Decision::Collect);
        later.next().unwrap()
    }

    #[test]
    fn whoever_sends_all_the_time_is_written_in_few_large_writes() {
        assert_eq!(next_write(100, 2_000), 20_100);
        assert_eq!(next_write(100, 30_000), 30_100);
    }

    #[test]
    fn whoever_pauses_between_sends_is_written_soon() {
        assert_eq!(next_write(1_000, 2_000), 6_000);
        assert_eq!(next_write(1_000, 14_000), 8_000);
    }

    #[test]
    fn what_collects_is_written_at_its_limit_at_once() {
        let mut burst = Burst::new();
        burst.goes_on_after_wait(at(0));
        assert_eq!(burst.decide(100, FLUSH, at(0)), Decision::BeginBurst);
        assert_eq!(burst.decide(FLUSH - 1, FLUSH, at(100)), Decision::Collect);
        assert_eq!(burst.decide(FLUSH, FLUSH, at(200)), Decision::WriteNow);
    }
}
