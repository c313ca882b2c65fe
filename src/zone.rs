//! Time zones by their IANA names: how many seconds east of UTC one is, at any moment.

use tz::TimeZoneRef;

/// A time zone. Its rules are plain numbers without pointers, so that loading the library touches
/// none of them.
#[derive(Clone, Copy)]
pub(crate) struct Zone {
    name: &'static str,
    rules: TimeZoneRef<'static>,
}

/// Beyond this many seconds either way of 1970 (250,000 years) the offset stays what it is there.
const FAR: i64 = 8_000_000_000_000;

impl Zone {
    pub const UTC: Zone = Zone { name: "UTC", rules: tzdb_data::time_zone::UTC };

    /// The zone of exactly this name.
    pub fn named(name: &str) -> Option<Zone> {
        if name == Zone::UTC.name {
            return Some(Zone::UTC);
        }
        let name = Zone::names().find(|known| *known == name)?;
        Some(Zone { name, rules: *tzdb_data::find_tz(name.as_bytes())? })
    }

    /// The names of all zones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        tzdb_data::TZ_NAMES.iter().copied()
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Seconds east of UTC at that second of Unix time.
    pub fn offset_at(&self, second: i64) -> i32 {
        // It fails only for years that do not fit an i32, which `FAR` keeps away.
        let local = self.rules.find_local_time_type(second.clamp(-FAR, FAR));
        local.map_or(0, |local| local.ut_offset())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_zone_and_an_offset_at_any_moment() {
        assert!(Zone::names().count() > 590);
        for name in Zone::names() {
            let zone = Zone::named(name).unwrap();
            assert_eq!(zone.name(), name);
            for second in [i64::MIN, -10_000_000_000, 0, 1_790_000_000, i64::MAX] {
                assert!(zone.offset_at(second).abs() < 86_400, "{name} at {second}");
            }
        }
        assert_eq!(Zone::named("europe/berlin"), None);
    }

    #[test]
    fn rules_go_on_after_the_last_change_that_is_listed() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        // 2200-01-01 and 2200-07-01, and the same in the year 20000.
        for (winter, summer) in [(7_258_118_400, 7_273_756_800), (568_971_820_800, 568_987_545_600)]
        {
            assert_eq!((berlin.offset_at(winter), berlin.offset_at(summer)), (3600, 7200));
        }
        assert_eq!(Zone::named("Asia/Kolkata").unwrap().offset_at(i64::MAX), 19_800);
    }
}
