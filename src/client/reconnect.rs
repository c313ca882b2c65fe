//! When to try again: delays that double, with jitter, and an end to the attempts.

use std::time::Duration;

use crate::settings::Settings;
use crate::sys::Monotonic;

/// Of the pauses between two attempts, whatever `reconnect_max_delay` says.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// Paces attempts to connect. Knows no socket and reads no clock.
#[derive(Debug)]
pub(super) struct Backoff {
    first_delay: Duration,
    max_delay: Duration,
    /// 0: for ever.
    max_attempts: u64,
    /// Before jitter; what the next failure costs.
    delay: Duration,
    failures: u64,
    /// No attempt was made yet since it started anew.
    fresh: bool,
    due: Monotonic,
    random: u64,
}

impl Backoff {
    pub fn new(settings: &Settings, now: Monotonic) -> Backoff {
        Backoff {
            first_delay: settings.reconnect_delay,
            max_delay: settings.reconnect_max_delay,
            max_attempts: settings.reconnect_max_attempts,
            delay: settings.reconnect_delay,
            failures: 0,
            fresh: true,
            due: now,
            // Clients that were made in one nanosecond share a seed; zero would stay zero.
            random: now.as_nanos() | 1,
        }
    }

    /// Starts anew: the first attempt is due at once.
    pub fn restart(&mut self, now: Monotonic) {
        self.delay = self.first_delay;
        self.failures = 0;
        self.fresh = true;
        self.due = now;
    }

    /// When the next attempt is due; `None` when all of them are used up.
    pub fn due(&self) -> Option<Monotonic> {
        let used_up = self.max_attempts != 0 && self.failures >= self.max_attempts;
        (!used_up).then_some(self.due)
    }

    /// An attempt begins.
    pub fn begun(&mut self) {
        self.fresh = false;
    }

    /// An attempt failed, or ended in a refusal.
    pub fn failed(&mut self, now: Monotonic) {
        self.fresh = false;
        self.failures += 1;
        // Without a pause at all, waiting for a server would take a core.
        let delay = self.delay.min(self.max_delay).max(SHORTEST);
        self.due = now.after(self.with_jitter(delay));
        self.delay = (self.delay * 2).min(self.max_delay);
    }

    /// A connection was lost. One that was not `proven`, by a message or by its age, was no better
    /// than a failed attempt: else a server that hangs up on everybody would be called at full
    /// speed.
    pub fn lost(&mut self, now: Monotonic, proven: bool) {
        if proven || self.fresh {
            self.restart(now);
        } else {
            self.failed(now);
        }
    }

    /// Up to a fifth more or less, so that many clients don't come back in step.
    fn with_jitter(&mut self, delay: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let fraction = (self.random >> 11) as f64 / (1u64 << 53) as f64;
        delay.mul_f64(0.8 + 0.4 * fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn backoff(max_attempts: u64) -> (Backoff, Monotonic) {
        let now = Monotonic::from_nanos(1_000 * MS);
        let backoff = Backoff {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            max_attempts,
            delay: Duration::from_millis(100),
            failures: 0,
            fresh: true,
            due: now,
            random: 42,
        };
        (backoff, now)
    }

    /// The wait that a failure at `now` costs, in milliseconds.
    fn fail(backoff: &mut Backoff, now: Monotonic) -> u128 {
        backoff.begun();
        backoff.failed(now);
        backoff.due().unwrap().since(now).as_millis()
    }

    #[test]
    fn the_first_attempt_is_due_at_once_and_delays_double_to_the_longest() {
        let (mut backoff, now) = backoff(0);
        assert_eq!(backoff.due(), Some(now));
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
            let wait = fail(&mut backoff, now);
            assert!(
                (expected * 8 / 10 - 1..=expected * 12 / 10).contains(&wait),
                "{wait} ms is not within a fifth of {expected} ms"
            );
        }
    }

    #[test]
    fn without_a_longest_delay_there_is_a_pause_all_the_same() {
        let (mut backoff, now) = backoff(0);
        backoff.max_delay = Duration::ZERO;
        for _ in 0..3 {
            fail(&mut backoff, now);
            assert!(backoff.due().unwrap().since(now) >= Duration::from_micros(800));
        }
    }

    #[test]
    fn jitter_goes_either_way_and_differs() {
        let (mut backoff, now) = backoff(0);
        let waits: Vec<_> = (0..50)
            .map(|_| {
                backoff.restart(now);
                fail(&mut backoff, now)
            })
            .collect();
        assert!(waits.iter().any(|&wait| wait < 95) && waits.iter().any(|&wait| wait > 105));
        assert!(waits.iter().all(|&wait| (79..=120).contains(&wait)));
    }

    #[test]
    fn attempts_can_be_used_up_and_start_anew() {
        let (mut backoff, now) = backoff(2);
        fail(&mut backoff, now);
        backoff.failed(now);
        assert_eq!(backoff.due(), None);
        backoff.restart(now);
        assert_eq!(backoff.due(), Some(now));
    }

    #[test]
    fn a_connection_that_proved_itself_starts_the_delays_anew() {
        let (mut backoff, now) = backoff(0);
        fail(&mut backoff, now);
        fail(&mut backoff, now);
        let later = now.after(Duration::from_secs(9));
        backoff.lost(later, true);
        assert_eq!(backoff.due(), Some(later));
        assert!(fail(&mut backoff, later) <= 120);
    }

    #[test]
    fn a_connection_that_did_not_is_one_more_failure_unless_it_is_the_first() {
        let (mut backoff, now) = backoff(0);
        backoff.lost(now, false);
        assert_eq!(backoff.due(), Some(now), "what the program connected itself");
        backoff.begun();
        backoff.lost(now, false);
        assert!(backoff.due().unwrap().since(now) >= Duration::from_millis(80));
    }
}
