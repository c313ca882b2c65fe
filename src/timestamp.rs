//! Timestamps: one reading of the clock as milliseconds and as ISO 8601 text.

use chrono_tz::Tz;

use crate::Result;

/// The longest ISO 8601 timestamp we write.
pub(crate) const ISO_LEN: usize = 32;

/// One moment, as a message carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub ms: i64,
    pub iso: [u8; ISO_LEN],
}

/// Makes stamps of one time zone; what stays the same within a second is kept.
#[derive(Debug, Clone)]
pub(crate) struct Stamper {
    _zone: Tz,
}

impl Stamper {
    pub fn new(_zone: Tz) -> Stamper {
        todo!()
    }

    pub fn now(&mut self) -> Stamp {
        todo!()
    }
}

/// Unix time in milliseconds.
pub fn timestamp_ms() -> i64 {
    todo!()
}

/// Now, in ISO 8601 with microseconds and offset; `None` is the configured time zone.
pub fn timestamp_iso(_timezone: Option<&str>) -> Result<String> {
    todo!()
}

/// The instant `timestamp_ms`, in the same form.
pub fn timestamp_iso_at(_timezone: Option<&str>, _timestamp_ms: i64) -> Result<String> {
    todo!()
}
