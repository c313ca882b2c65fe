//! Timestamps: one reading of the clock as milliseconds and as ISO 8601 text.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::sys::WallClock;
use crate::zone::Zone;
use crate::{Error, Options, Result};

const DAY: i64 = 86_400;

/// ISO 8601 text with microseconds and offset, such as `2026-11-23T10:00:00.123456+00:00`.
///
/// 32 bytes, but for years that have more than four digits (`+12026-…`) and for offsets of
/// historic local times, which have seconds (`+00:19:32`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Iso {
    bytes: [u8; 48],
    len: u8,
    /// Where the six digits of the microseconds stand.
    fraction: u8,
}

impl Iso {
    /// Bytes of the text for every year from 0 to 9999 and offset of whole minutes.
    pub const USUAL_LEN: usize = 32;

    /// The text of a whole second, `offset` seconds east of UTC.
    fn new(second: i64, offset: i32) -> Iso {
        let local = second.saturating_add(offset.into());
        let (year, month, day) = civil_date(local.div_euclid(DAY));
        let time = local.rem_euclid(DAY);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        let east = offset.unsigned_abs();
        let sign = if offset < 0 { '-' } else { '+' };
        let mut iso = Iso { bytes: [0; 48], len: 0, fraction: 0 };
        let mut rest = &mut iso.bytes[..];
        let room = rest.len();
        // The longest text, of the year -292277022657, has 45 bytes: these writes cannot fail.
        let _ = match year {
            0..=9999 => write!(rest, "{year:04}"),
            _ => write!(rest, "{year:+05}"),
        };
        let _ = write!(rest, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.");
        iso.fraction = (room - rest.len()) as u8;
        let _ = write!(rest, "000000{sign}{:02}:{:02}", east / 3600, east / 60 % 60);
        if !east.is_multiple_of(60) {
            let _ = write!(rest, ":{:02}", east % 60);
        }
        iso.len = (room - rest.len()) as u8;
        iso
    }

    /// Writes the six digits of the microseconds to where they stand in a copy of the text.
    #[inline(always)]
    fn put_microseconds(&self, microseconds: u32, text: &mut [u8]) {
        let at = self.fraction as usize;
        let pairs = [microseconds / 10_000, microseconds / 100 % 100, microseconds % 100];
        for (digits, pair) in text[at..at + 6].chunks_exact_mut(2).zip(pairs) {
            digits[0] = b'0' + (pair / 10) as u8;
            digits[1] = b'0' + (pair % 10) as u8;
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// The text in the usual length, which almost every one has.
    #[inline(always)]
    pub fn as_usual(&self) -> Option<&[u8; Iso::USUAL_LEN]> {
        if self.len as usize == Iso::USUAL_LEN { self.bytes.first_chunk() } else { None }
    }

    pub fn as_str(&self) -> &str {
        // Written by `new` and `put_microseconds`, in ASCII alone.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Iso {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One moment, as a message carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub ms: i64,
    /// The text of the second that it is in.
    second: Iso,
    microseconds: u32,
}

impl Stamp {
    /// The instant `ms`, in `zone`.
    pub fn at(zone: Zone, ms: i64) -> Stamp {
        let (second, millisecond) = (ms.div_euclid(1000), ms.rem_euclid(1000) as u32);
        let second = Iso::new(second, zone.offset_at(second));
        Stamp { ms, second, microseconds: millisecond * 1000 }
    }

    /// The moment as text.
    pub fn iso(&self) -> Iso {
        let mut iso = self.second;
        self.second.put_microseconds(self.microseconds, &mut iso.bytes);
        iso
    }

    /// Writes that text, which has the usual length.
    ///
    /// The digits come last, straight to where they stay: a copy of what was written byte by byte a
    /// moment ago makes the processor wait.
    #[inline(always)]
    pub fn write_usual_iso(&self, to: &mut [u8; Iso::USUAL_LEN]) {
        if let Some(second) = self.second.as_usual() {
            *to = *second;
            self.second.put_microseconds(self.microseconds, to);
        }
    }

    /// Whether text and number have the length that almost all have.
    #[inline(always)]
    pub fn is_usual(&self) -> bool {
        self.second.as_usual().is_some() && self.ms > u32::MAX.into()
    }
}

/// Makes stamps of one time zone; what stays the same within a second is kept.
#[derive(Debug, Clone)]
pub(crate) struct Stamper {
    zone: Zone,
    second: i64,
    iso: Iso,
}

impl Stamper {
    pub fn new(zone: Zone) -> Stamper {
        Stamper { zone, second: 0, iso: Iso::new(0, zone.offset_at(0)) }
    }

    #[inline(always)]
    pub fn now(&mut self) -> Stamp {
        self.stamp(WallClock::now())
    }

    #[inline(always)]
    pub fn stamp(&mut self, WallClock { second, nanosecond }: WallClock) -> Stamp {
        if second != self.second {
            self.iso = Iso::new(second, self.zone.offset_at(second));
            self.second = second;
        }
        Stamp {
            ms: second * 1000 + i64::from(nanosecond / 1_000_000),
            second: self.iso,
            microseconds: nanosecond / 1000,
        }
    }
}

/// Now, for what belongs to no handle: in the configured time zone.
pub(crate) fn configured_now() -> Stamp {
    static STAMPER: OnceLock<Mutex<Stamper>> = OnceLock::new();
    let stamper = STAMPER.get_or_init(|| Mutex::new(Stamper::new(configured_zone())));
    match stamper.try_lock() {
        Some(mut stamper) => stamper.now(),
        // Another thread has it; in a forked child that thread may not exist any more.
        None => Stamper::new(configured_zone()).now(),
    }
}

/// The configured time zone as it was at the first call, UTC when the configuration is bad.
fn configured_zone() -> Zone {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    *ZONE.get_or_init(|| {
        let settings = Options::new().and_then(|options| options.settings());
        settings.map_or(Zone::UTC, |settings| settings.timezone)
    })
}

/// The time zone of an IANA name.
pub(crate) fn zone_of_name(name: &str) -> Result<Zone> {
    Zone::named(name).ok_or_else(|| {
        Error::invalid(format!(
            "Unknown timezone '{name}': it must be an IANA name such as \"Europe/Berlin\" or \"UTC\""
        ))
    })
}

/// Year, month and day of a day counted from 1970-01-01, for any year of the Gregorian calendar.
fn civil_date(day: i64) -> (i64, u32, u32) {
    // Years are counted from March, so that the leap day comes last, in eras of 400 years.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month as u32, day_of_month as u32)
}

/// The instant in UTC, with nanoseconds where microseconds don't say it all.
pub(crate) fn utc_text(second: i64, nanosecond: u32) -> String {
    let iso = Iso::new(second, 0);
    let text = iso.as_str();
    let (before, after) = text.split_at(iso.fraction as usize);
    let mut exact = String::from(before);
    // Writing to a String cannot fail.
    let _ = match nanosecond % 1000 {
        0 => write!(exact, "{:06}", nanosecond / 1000),
        _ => write!(exact, "{nanosecond:09}"),
    };
    exact.push_str(&after[6..]);
    exact
}

/// Unix time in milliseconds, by the system's clock.
pub fn timestamp_ms() -> i64 {
    let WallClock { second, nanosecond } = WallClock::now();
    second * 1000 + i64::from(nanosecond / 1_000_000)
}

/// Now, in ISO 8601 with microseconds and offset: `2026-11-23T10:00:00.123456+00:00`.
///
/// `timezone` is an IANA name such as `Europe/Berlin`; `None` is the configured time zone, as it
/// was at the first call of the process that needed it (UTC when the configuration is bad).
///
/// # Errors
/// [`Status::Invalid`](crate::Status::Invalid) when the time zone is unknown.
pub fn timestamp_iso(timezone: Option<&str>) -> Result<String> {
    let stamp = match timezone {
        Some(name) => Stamper::new(zone_of_name(name)?).now(),
        None => configured_now(),
    };
    Ok(stamp.iso().as_str().to_owned())
}

/// The instant `timestamp_ms` (Unix time in milliseconds, any value), in the form of
/// [`timestamp_iso`]. Years of more than four digits are written with a sign: `+12026-…`.
///
/// # Errors
/// [`Status::Invalid`](crate::Status::Invalid) when the time zone is unknown.
pub fn timestamp_iso_at(timezone: Option<&str>, timestamp_ms: i64) -> Result<String> {
    let zone = timezone.map_or_else(|| Ok(configured_zone()), zone_of_name)?;
    Ok(Stamp::at(zone, timestamp_ms).iso().as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};

    fn moment(second: i64, nanosecond: u32) -> WallClock {
        WallClock { second, nanosecond }
    }
    use crate::Status;

    fn at(zone: &str, ms: i64) -> String {
        timestamp_iso_at(Some(zone), ms).unwrap()
    }

    #[test]
    fn an_instant_is_written_in_its_zone() {
        assert_eq!(at("UTC", 1_790_000_000_000), "2026-09-21T14:13:20.000000+00:00");
        assert_eq!(at("America/New_York", 1_790_000_000_123), "2026-09-21T10:13:20.123000-04:00");
        assert_eq!(at("America/New_York", 1_795_428_000_123), "2026-11-23T05:00:00.123000-05:00");
        assert_eq!(at("Asia/Kolkata", 0), "1970-01-01T05:30:00.000000+05:30");
        assert_eq!(at("UTC", 951_782_400_000), "2000-02-29T00:00:00.000000+00:00");
    }

    #[test]
    fn instants_before_1970_count_backwards() {
        assert_eq!(at("UTC", -1), "1969-12-31T23:59:59.999000+00:00");
        let stamp = Stamper::new(Zone::UTC).stamp(moment(-1, 999_999_999));
        assert_eq!(stamp.ms, -1);
        assert_eq!(stamp.iso().as_str(), "1969-12-31T23:59:59.999999+00:00");
    }

    #[test]
    fn unusual_years_and_offsets_still_fit() {
        assert_eq!(at("UTC", 253_402_300_800_000), "+10000-01-01T00:00:00.000000+00:00");
        assert_eq!(at("UTC", -62_167_219_200_001), "-0001-12-31T23:59:59.999000+00:00");
        assert_eq!(
            at("Africa/Monrovia", -2_000_000_000_000),
            "1906-08-16T19:43:32.000000-00:43:08"
        );
        assert_eq!(at("UTC", i64::MAX), "+292278994-08-17T07:12:55.807000+00:00");
        assert_eq!(at("UTC", i64::MIN), "-292275055-05-16T16:47:04.192000+00:00");
        assert!(at("Europe/Berlin", i64::MIN).len() < 64);
    }

    #[test]
    fn dates_agree_with_chrono_over_four_centuries() {
        for day in -100_000..100_000 {
            let date = DateTime::<Utc>::from_timestamp(day * DAY, 0).unwrap();
            let (year, month, day) = civil_date(day);
            assert_eq!(
                format!("{year:04}-{month:02}-{day:02}"),
                date.format("%Y-%m-%d").to_string()
            );
        }
    }

    #[test]
    fn both_parts_of_a_stamp_are_one_moment() {
        let mut stamper = Stamper::new(zone_of_name("Europe/Berlin").unwrap());
        for (second, nanosecond) in [(1_790_000_000, 123_456_789), (1_790_000_001, 0), (5, 1_999)] {
            let stamp = stamper.stamp(moment(second, nanosecond));
            assert_eq!(stamp.ms, second * 1000 + i64::from(nanosecond / 1_000_000));
            let parsed = DateTime::parse_from_rfc3339(stamp.iso().as_str()).unwrap();
            assert_eq!(
                parsed.timestamp_micros(),
                second * 1_000_000 + i64::from(nanosecond / 1000)
            );
        }
    }

    #[test]
    fn the_kept_second_follows_a_change_of_the_offset() {
        let mut stamper = Stamper::new(zone_of_name("Europe/Berlin").unwrap());
        let before = stamper.stamp(moment(1_792_889_999, 0));
        let after = stamper.stamp(moment(1_792_890_000, 0));
        assert_eq!(before.iso().as_str(), "2026-10-25T02:59:59.000000+02:00");
        assert_eq!(after.iso().as_str(), "2026-10-25T02:00:00.000000+01:00");
    }

    #[test]
    fn nanoseconds_are_shown_where_there_are_some() {
        assert_eq!(utc_text(1_790_000_000, 5_000), "2026-09-21T14:13:20.000005+00:00");
        assert_eq!(utc_text(1_790_000_000, 5), "2026-09-21T14:13:20.000000005+00:00");
        assert_eq!(utc_text(i64::MAX, 999_999_999), "+292277026596-12-04T15:30:07.999999999+00:00");
        assert_eq!(utc_text(i64::MIN, 0), "-292277022657-01-27T08:29:52.000000+00:00");
    }

    #[test]
    fn an_unknown_zone_is_named() {
        let error = timestamp_iso(Some("Mars/Base")).unwrap_err();
        assert_eq!(error.status(), Status::Invalid);
        assert!(error.to_string().contains("'Mars/Base'") && error.to_string().contains("IANA"));
    }
}
