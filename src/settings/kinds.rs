//! The kinds of values that options have: what is accepted, and the one form that is shown.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::environment::{Environment, expand};
use super::keys::nearest;
use super::{SlowClient, Token};
use crate::zone::Zone as TimeZone;

/// The longest text of an option in bytes; with its NUL it fits `DOTSOCK_OPTION_SIZE`.
pub(super) const MAX_TEXT: usize = 4095;

/// One kind of value. `read` takes a value as a file, the environment or a program gives it; its
/// error says what is allowed or what to do.
pub(super) trait Kind {
    type Value;
    fn read(
        &self,
        value: &DeValue<'_>,
        environment: &dyn Environment,
    ) -> Result<Self::Value, String>;
    fn show(&self, value: &Self::Value) -> String;
    /// Whether the value must stand in no error.
    fn is_secret(&self) -> bool {
        false
    }
}

/// Yes or no.
pub(super) struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn read(&self, value: &DeValue<'_>, _: &dyn Environment) -> Result<bool, String> {
        let word = match value {
            DeValue::Boolean(value) => return Ok(*value),
            DeValue::String(text) => text.to_ascii_lowercase(),
            DeValue::Integer(number) => number.to_string(),
            _ => String::new(),
        };
        match word.as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("allowed are true, false, 1, 0, yes, no, on and off".into()),
        }
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number, from the first to the second.
pub(super) struct Whole<T>(pub T, pub T);

impl<T: Copy + Display + PartialOrd + TryFrom<u64>> Kind for Whole<T> {
    type Value = T;

    fn read(&self, value: &DeValue<'_>, _: &dyn Environment) -> Result<T, String> {
        let number = match value {
            DeValue::String(text) => digits(text, 10),
            DeValue::Integer(number) => digits(number.as_str(), number.radix()),
            _ => None,
        };
        let number = number.and_then(|number| T::try_from(number).ok());
        number
            .filter(|number| (self.0..=self.1).contains(number))
            .ok_or_else(|| format!("allowed are whole numbers from {} to {}", self.0, self.1))
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }
}

/// Digits alone: the standard parser would also take a sign.
fn digits(text: &str, radix: u32) -> Option<u64> {
    u64::from_str_radix(text, radix).ok().filter(|_| !text.starts_with('+'))
}

/// Seconds from the given minimum to a day.
pub(super) struct Seconds(pub Duration);

const DAY: Duration = Duration::from_secs(86400);

impl Kind for Seconds {
    type Value = Duration;

    fn read(&self, value: &DeValue<'_>, _: &dyn Environment) -> Result<Duration, String> {
        let decimal = match value {
            DeValue::String(text) => text,
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => "",
        };
        // The standard parser also takes signs, exponents and infinity.
        let is_decimal = decimal.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let seconds = decimal.parse().ok().filter(|_| is_decimal);
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|seconds| (self.0..=DAY).contains(seconds))
            .ok_or_else(|| {
                format!("allowed are seconds as decimals from {} to 86400", decimal_of(self.0))
            })
    }

    fn show(&self, value: &Duration) -> String {
        decimal_of(*value)
    }
}

fn decimal_of(seconds: Duration) -> String {
    let text = format!("{}.{:09}", seconds.as_secs(), seconds.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Whole microseconds, up to so many.
pub(super) struct Microseconds(pub u64);

impl Kind for Microseconds {
    type Value = Duration;

    fn read(&self, value: &DeValue<'_>, environment: &dyn Environment) -> Result<Duration, String> {
        Whole(0, self.0).read(value, environment).map(Duration::from_micros)
    }

    fn show(&self, value: &Duration) -> String {
        value.as_micros().to_string()
    }
}

/// A file mode. Decimal integers are refused, whatever their value: `600` is not 0600, and `400`
/// would be 0620.
pub(super) struct Mode;

impl Kind for Mode {
    type Value = u32;

    fn read(&self, value: &DeValue<'_>, _: &dyn Environment) -> Result<u32, String> {
        let octal = match value {
            DeValue::String(text) => text.strip_prefix("0o").unwrap_or(text),
            DeValue::Integer(number) if number.radix() == 8 => number.as_str(),
            _ => "",
        };
        digits(octal, 8)
            .and_then(|mode| u32::try_from(mode).ok())
            .filter(|mode| *mode <= 0o777)
            .ok_or_else(|| {
                "allowed are octal modes from 0000 to 0777: write \"0600\", or 0o600 in a file; a \
                 decimal integer is none"
                    .into()
            })
    }

    fn show(&self, value: &u32) -> String {
        format!("{value:04o}")
    }
}

/// A host name or address.
pub(super) struct Host;

impl Kind for Host {
    type Value = String;

    fn read(&self, value: &DeValue<'_>, _: &dyn Environment) -> Result<String, String> {
        value
            .as_str()
            .filter(|host| (1..=255).contains(&host.len()))
            .filter(|host| !host.contains(|c: char| c.is_whitespace() || c.is_control()))
            .map(str::to_owned)
            .ok_or_else(|| {
                "allowed are an IPv4 address, an IPv6 address or a name, 1 to 255 bytes without \
                 spaces"
                    .into()
            })
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}

/// The path of a file or directory; `${VAR}` and `~` in it are expanded.
pub(super) struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn read(&self, value: &DeValue<'_>, environment: &dyn Environment) -> Result<PathBuf, String> {
        let text = value.as_str().filter(|text| !text.is_empty());
        let path = expand(text.ok_or("allowed is a path")?, environment)?;
        if path.len() > MAX_TEXT {
            return Err(format!("expanded, it is longer than {MAX_TEXT} bytes"));
        }
        Ok(path.into())
    }

    fn show(&self, value: &PathBuf) -> String {
        value.display().to_string()
    }
}

/// A time zone by its IANA name.
pub(super) struct Zone;

impl Kind for Zone {
    type Value = TimeZone;

    fn read(&self, value: &DeValue<'_>, _: &dyn Environment) -> Result<TimeZone, String> {
        let name = value.as_str().unwrap_or_default();
        TimeZone::named(name).ok_or_else(|| {
            let close = nearest(name, TimeZone::names());
            let close = close.map(|close| format!("; nearest is {close}")).unwrap_or_default();
            format!("allowed are IANA time zones such as UTC and Europe/Berlin{close}")
        })
    }

    fn show(&self, value: &TimeZone) -> String {
        value.name().into()
    }
}

/// A policy for slow clients.
pub(super) struct Policy;

const POLICIES: [(&str, SlowClient); 4] = [
    ("drop_oldest", SlowClient::DropOldest),
    ("drop_newest", SlowClient::DropNewest),
    ("disconnect", SlowClient::Disconnect),
    ("block", SlowClient::Block),
];

impl Kind for Policy {
    type Value = SlowClient;

    fn read(&self, value: &DeValue<'_>, _: &dyn Environment) -> Result<SlowClient, String> {
        let found = POLICIES.iter().find(|(name, _)| Some(*name) == value.as_str());
        found
            .map(|(_, policy)| *policy)
            .ok_or_else(|| "allowed are drop_oldest, drop_newest, disconnect and block".into())
    }

    fn show(&self, value: &SlowClient) -> String {
        let found = POLICIES.iter().find(|(_, policy)| policy == value);
        found.map(|(name, _)| *name).unwrap_or_default().into()
    }
}

/// A token. Reading the option back does not tell it: programs print their options.
pub(super) struct Secret;

/// What is shown for a token that is set.
const HIDDEN: &str = "(set)";

impl Kind for Secret {
    type Value = Token;

    fn read(&self, value: &DeValue<'_>, _: &dyn Environment) -> Result<Token, String> {
        let text = value.as_str().ok_or("allowed is text: write it in quotes")?;
        if text == HIDDEN {
            return Err(format!(
                "{HIDDEN} is what reading the option answers, not the token: tokens are not told"
            ));
        }
        let nothing = || "allowed is any text of at least one byte".to_owned();
        Token::new(text.as_bytes().to_vec()).ok_or_else(nothing)
    }

    fn show(&self, _: &Token) -> String {
        HIDDEN.into()
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A value that may be unset: the empty text.
pub(super) struct Optional<K>(pub K);

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;

    fn read(
        &self,
        value: &DeValue<'_>,
        environment: &dyn Environment,
    ) -> Result<Self::Value, String> {
        if value.as_str() == Some("") {
            return Ok(None);
        }
        let read = self.0.read(value, environment);
        read.map(Some).map_err(|allowed| format!("{allowed}, and the empty text for unset"))
    }

    fn show(&self, value: &Self::Value) -> String {
        value.as_ref().map(|value| self.0.show(value)).unwrap_or_default()
    }

    fn is_secret(&self) -> bool {
        self.0.is_secret()
    }
}
