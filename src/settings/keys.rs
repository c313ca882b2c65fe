//! The options: one list of their keys and kinds, from which everything else follows.

use std::time::Duration;

use toml::de::DeValue;

use super::Settings;
use super::environment::Environment;
use super::kinds::*;

/// One option: its name, and how to read, show and copy its value in [`Settings`].
pub(super) struct Key {
    pub name: &'static str,
    read: fn(&mut Settings, &DeValue<'_>, &dyn Environment) -> Result<(), String>,
    show: fn(&Settings) -> String,
    copy: fn(&mut Settings, &Settings),
    is_secret: fn() -> bool,
}

/// Makes the list of keys, and a constructor that lacks no field of [`Settings`].
macro_rules! keys {
    ($($name:ident: $kind:expr,)*) => {
        /// Every option.
        pub(super) const KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            read: |settings, value, environment| {
                settings.$name = $kind.read(value, environment)?;
                Ok(())
            },
            show: |settings| $kind.show(&settings.$name),
            copy: |to, from| to.$name.clone_from(&from.$name),
            is_secret: || $kind.is_secret(),
        },)*];

        impl Settings {
            /// Settings of which `value` knows every one.
            pub(super) fn from_values<'a>(
                value: impl Fn(&str) -> Option<&'a DeValue<'a>>,
                environment: &dyn Environment,
            ) -> Result<Settings, String> {
                let named = |name| value(name).ok_or_else(|| format!("{name} is missing"));
                Ok(Settings {
                    $($name: $kind.read(named(stringify!($name))?, environment)?,)*
                })
            }
        }
    };
}

const SIZE_MAX: usize = isize::MAX as usize;

keys! {
    socket_dir: FilePath,
    default_timeout: Seconds(Duration::ZERO),
    send_timeout: Optional(Seconds(Duration::ZERO)),
    buffer_size: Whole(1, SIZE_MAX),
    timezone: Zone,
    message_queue_size: Whole(0, SIZE_MAX),
    blocking_mode: Switch,
    allow_client_send: Switch,
    max_connections: Whole(1, SIZE_MAX),
    socket_permissions: Mode,
    auto_remove_socket: Switch,
    allow_foreign_server: Switch,
    host: Host,
    port: Optional(Whole(0, u16::MAX)),
    port_range_start: Whole(1, u16::MAX),
    port_range_end: Whole(1, u16::MAX),
    token: Optional(Secret),
    token_file: Optional(FilePath),
    // A frame announces its length in 32 bits.
    max_message_size: Whole(1, u32::MAX as usize),
    max_depth: Whole(1, SIZE_MAX),
    frame_timeout: Seconds(Duration::ZERO),
    client_queue_size: Whole(1, SIZE_MAX),
    slow_client: Policy,
    spin: Microseconds(1_000_000),
    linger: Seconds(Duration::ZERO),
    retain_last: Switch,
    auto_reconnect: Switch,
    report_loss: Switch,
    reconnect_delay: Seconds(Duration::from_millis(1)),
    reconnect_max_delay: Seconds(Duration::ZERO),
    reconnect_max_attempts: Whole(0, SIZE_MAX as u64),
}

impl Key {
    /// The option of this name; the error names the nearest, if one is near.
    pub fn find(name: &str) -> Result<&'static Key, String> {
        KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
            let close = nearest(name, KEYS.iter().map(|key| key.name));
            let remedy = match close {
                Some(close) => format!(", the nearest is '{close}'"),
                None => "; docs/configuration.md has all that there are".into(),
            };
            format!("Unknown option '{}'{remedy}", clipped(name))
        })
    }

    /// Puts a value into `settings`; the error names the key, the value, and what is allowed.
    pub fn read(
        &self,
        settings: &mut Settings,
        value: &DeValue<'_>,
        environment: &dyn Environment,
    ) -> Result<(), String> {
        let read = match value.as_str() {
            Some(text) if text.contains('\0') => Err("a NUL byte has no place in an option".into()),
            Some(text) if text.len() > MAX_TEXT => {
                Err(format!("{} bytes are too long, allowed are {MAX_TEXT}", text.len()))
            }
            _ => (self.read)(settings, value, environment),
        };
        let shown = || match value {
            _ if (self.is_secret)() => "(not shown)".into(),
            DeValue::String(text) => format!("'{}'", clipped(text)),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            other => format!("({})", other.type_str()),
        };
        read.map_err(|reason| format!("{} = {} is invalid: {reason}", self.name, shown()))
    }

    /// The value in its one form.
    pub fn show(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }

    /// Takes the value over from other settings.
    pub fn copy(&self, to: &mut Settings, from: &Settings) {
        (self.copy)(to, from);
    }
}

/// The name that takes the fewest changes, whatever the case, if half of it stays.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // The start decides, and comparing is quadratic.
    let name: String = name.chars().take(64).collect::<String>().to_ascii_lowercase();
    let changes = |known: &str| strsim::damerau_levenshtein(&name, &known.to_ascii_lowercase());
    let close = known.min_by_key(|known| changes(known))?;
    (changes(close) * 2 < name.chars().count().max(close.len())).then_some(close)
}

/// Foreign text for an error: without control characters, and not longer than one wants to read.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(256) {
        Some((end, _)) => format!("{}…", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}
