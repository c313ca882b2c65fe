//! The two clocks: one for timestamps, one for durations.

use std::time::Duration;

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the duration of the call, which cannot fail for the
    // clocks used here and writes nothing else.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time
}

/// A moment of the wall clock, in Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WallClock {
    pub second: i64,
    pub nanosecond: u32,
}

impl WallClock {
    pub fn now() -> WallClock {
        let time = read(libc::CLOCK_REALTIME);
        WallClock { second: time.tv_sec, nanosecond: time.tv_nsec as u32 }
    }

    /// How long it is from `earlier` until this moment, or back where the clock was set back:
    /// nobody shall wait until it has caught up.
    pub fn since(self, earlier: WallClock) -> Duration {
        let nanoseconds = |moment: WallClock| {
            moment.second.wrapping_mul(1_000_000_000).wrapping_add(moment.nanosecond.into())
        };
        Duration::from_nanos(nanoseconds(self).abs_diff(nanoseconds(earlier)))
    }
}

/// A moment of the monotonic clock, in nanoseconds since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Monotonic(u64);

impl Monotonic {
    pub fn now() -> Monotonic {
        let time = read(libc::CLOCK_MONOTONIC);
        Monotonic(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// The same clock as of the kernel's last tick, some milliseconds ago at most: a read of
    /// memory, for what happens with every message and is measured in tenths of a second.
    pub fn coarse() -> Monotonic {
        let time = read(libc::CLOCK_MONOTONIC_COARSE);
        Monotonic(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    pub const EARLIEST: Monotonic = Monotonic(0);
    pub const NEVER: Monotonic = Monotonic(u64::MAX);

    #[cfg(test)]
    pub fn from_nanos(nanos: u64) -> Monotonic {
        Monotonic(nanos)
    }

    pub fn as_nanos(self) -> u64 {
        self.0
    }

    pub fn after(self, duration: Duration) -> Monotonic {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Monotonic(self.0.saturating_add(nanos))
    }

    /// How long it is from `earlier` until this moment; nothing if `earlier` is later.
    pub fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long it still is until this moment; nothing when it has passed.
    pub fn remaining(self) -> Duration {
        self.since(Monotonic::now())
    }
}
