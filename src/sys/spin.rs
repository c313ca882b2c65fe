//! Looking again and again instead of going to sleep, for who would rather keep a core busy than wait
//! until the kernel has woken a thread.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Monotonic;

/// Who lets others run and comes back so much later had to wait for them: there are not cores
/// enough. Less is an interrupt, or another one that looks again and again.
const AWAY: Duration = Duration::from_micros(500);
/// From then on everybody in this process sleeps at once, for so many times as long, but at least
/// for twice as long as the last time where it comes so soon again. A thread that sleeps is let in
/// when there is something for it, one that has let others run only when their time is up.
const REST: u32 = 8;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long the last rest was, and until when, in nanoseconds of the monotonic clock.
static LAST_REST: AtomicU64 = AtomicU64::new(0);
static RESTS_UNTIL: AtomicU64 = AtomicU64::new(0);

/// Calls `look` for as long as `length`, and lets others run in between, until it finds something.
pub(super) fn spin<T>(
    length: Duration,
    mut look: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let start = Monotonic::now();
    if start.as_nanos() < RESTS_UNTIL.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let mut now = start;
    while now.since(start) < length {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        std::thread::yield_now();
        let back = Monotonic::now();
        let away = back.since(now);
        if away > AWAY {
            rest(back, away);
            break;
        }
        now = back;
    }
    Ok(None)
}

#[cold]
fn rest(now: Monotonic, away: Duration) {
    let until = RESTS_UNTIL.load(Ordering::Relaxed);
    let Some(since) = now.as_nanos().checked_sub(until) else {
        // Another thread was away at the same time, and has said so.
        return;
    };
    let last = LAST_REST.load(Ordering::Relaxed);
    let repeated = if since < last { 2 * Duration::from_nanos(last) } else { Duration::ZERO };
    let length = away.saturating_mul(REST).max(repeated).min(LONGEST_REST);
    LAST_REST.store(length.as_nanos() as u64, Ordering::Relaxed);
    RESTS_UNTIL.store(now.after(length).as_nanos(), Ordering::Relaxed);
}
