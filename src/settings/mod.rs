//! Options from all layers: built-in, the user's file, `DOTSOCK_SETTINGS`, environment, code.

mod environment;
mod keys;
mod kinds;
mod layers;
#[cfg(test)]
mod tests;
mod token;

use std::path::{Path, PathBuf};
use std::time::Duration;

use once_cell::race::OnceBox;
use toml::de::DeValue;

use self::environment::{Environment, OfProcess};
use self::keys::Key;
pub(crate) use self::token::Token;
use crate::{Error, Result, Status};

/// What happens when a slow client's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlowClient {
    DropOldest,
    DropNewest,
    Disconnect,
    Block,
}

/// Every option with its value: what servers and clients keep.
#[derive(Debug, Clone, PartialEq)]
#[repr(C)]
pub(crate) struct Settings {
    pub max_message_size: usize,
    pub max_depth: usize,
    pub buffer_size: usize,
    /// Zero: no limit.
    pub frame_timeout: Duration,
    /// Zero: a wait sleeps at once.
    pub spin: Duration,
    pub client_queue_size: usize,
    pub socket_dir: PathBuf,
    pub default_timeout: Duration,
    pub send_timeout: Option<Duration>,
    pub timezone: crate::zone::Zone,
    pub message_queue_size: usize,
    pub blocking_mode: bool,
    pub allow_client_send: bool,
    pub max_connections: usize,
    pub socket_permissions: u32,
    pub auto_remove_socket: bool,
    pub allow_foreign_server: bool,
    pub host: String,
    /// `None`: unset.
    pub port: Option<u16>,
    pub port_range_start: u16,
    pub port_range_end: u16,
    pub token: Option<Token>,
    pub token_file: Option<PathBuf>,
    pub slow_client: SlowClient,
    pub linger: Duration,
    pub retain_last: bool,
    pub auto_reconnect: bool,
    pub report_loss: bool,
    pub reconnect_delay: Duration,
    pub reconnect_max_delay: Duration,
    /// 0: for ever.
    pub reconnect_max_attempts: u64,
}

/// Options of a server or client, from all layers.
///
/// Later wins: the built-in values, the user's settings file
/// (`$XDG_CONFIG_HOME/dotsock/settings.toml`, or `~/.config/dotsock/settings.toml`), the file
/// named by `DOTSOCK_SETTINGS`, the environment (`DOTSOCK_<KEY>`), then [`load`](Options::load)
/// and [`set`](Options::set) in the order called. The keys, their ranges and defaults stand in
/// `config/settings.toml` and `docs/configuration.md`.
///
/// A program that runs with raised privileges (setuid, file capabilities) ignores the user's file
/// and the environment.
///
/// ```
/// let mut options = dotsock::Options::new()?;
/// options.set("max_connections", Some("16"))?;
/// options.set("auto_remove_socket", Some("no"))?;
/// assert_eq!(options.get("max_connections")?, "16");
/// assert_eq!(options.get("auto_remove_socket")?, "false");
/// # Ok::<(), dotsock::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// What files and environment said when this was made: where a key goes back to.
    outside: Settings,
    settings: Settings,
}

impl Options {
    /// Reads settings files and the environment anew.
    ///
    /// # Errors
    /// [`Status::Invalid`](crate::Status::Invalid) when a file or the environment has a bad value,
    /// or the file named by `DOTSOCK_SETTINGS` an unknown key: the error says where, and what is
    /// allowed. [`Status::Io`](crate::Status::Io) when a settings file can't be read; the user's
    /// own need not exist. An unknown key in the user's file or the environment is logged as a
    /// warning: they may be newer than this library.
    pub fn new() -> Result<Options> {
        Options::read(&OfProcess)
    }

    fn read(environment: &dyn Environment) -> Result<Options> {
        let mut settings = Settings::built_in()?.clone();
        layers::apply_outside(&mut settings, environment)?;
        settings.check()?;
        Ok(Options { outside: settings.clone(), settings })
    }

    /// Adds a settings file; what it says replaces what was set before. If it fails, nothing has
    /// changed.
    ///
    /// # Errors
    /// [`Status::Io`](crate::Status::Io) when the file can't be read,
    /// [`Status::Invalid`](crate::Status::Invalid) when it is no TOML, has an unknown key or a bad
    /// value; the error names file, line and column.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let mut settings = self.settings.clone();
        layers::apply_file(&mut settings, path.as_ref(), &OfProcess)?;
        self.settings = settings;
        Ok(())
    }

    /// Sets one option; `None` puts it back to what files and environment said when these options
    /// were made, whatever was set or loaded since.
    ///
    /// `${VAR}` and `~` in `socket_dir` are expanded here, by the environment as it is now. How
    /// keys go together is checked where the options are used, so that the order does not matter.
    ///
    /// # Errors
    /// [`Status::Invalid`](crate::Status::Invalid): an unknown key (the nearest is named), or a
    /// bad value (the error says what is allowed). Nothing has changed then.
    pub fn set(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let key = Key::find(key).map_err(Error::invalid)?;
        match value {
            None => key.copy(&mut self.settings, &self.outside),
            Some(text) => key
                .read(&mut self.settings, &DeValue::String(text.into()), &OfProcess)
                .map_err(Error::invalid)?,
        }
        Ok(())
    }

    /// The value of one option, in its one form: `true` or `false`, `0600`, numbers without
    /// trailing zeros, paths expanded, and the empty text for what is unset; of a `token` only that
    /// it is set. At most 4095 bytes.
    ///
    /// # Errors
    /// [`Status::Invalid`](crate::Status::Invalid): an unknown key; the nearest is named.
    pub fn get(&self, key: &str) -> Result<String> {
        Ok(Key::find(key).map_err(Error::invalid)?.show(&self.settings))
    }

    /// What a server or client keeps: settings that go together, paths absolute.
    pub(crate) fn settings(&self) -> Result<Settings> {
        self.settings.check()?;
        let socket_dir = absolute("socket_dir", &self.settings.socket_dir)?;
        let token_file = self.settings.token_file.as_deref();
        let token_file = token_file.map(|path| absolute("token_file", path)).transpose()?;
        Ok(Settings { socket_dir, token_file, ..self.settings.clone() })
    }
}

fn absolute(key: &str, path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        let text = format!("{key} = '{}' can't be made absolute, write it so", path.display());
        Error::os(Status::Io, text, &error)
    })
}

impl Settings {
    /// The built-in values, those of `config/settings.toml`.
    pub(crate) fn built_in() -> Result<&'static Settings> {
        // Raced for rather than locked: a child forked in the meantime must not wait for ever.
        static BUILT_IN: OnceBox<Settings> = OnceBox::new();
        BUILT_IN.get_or_try_init(|| layers::built_in().map(Box::new))
    }

    /// Whether the values go together.
    fn check(&self) -> Result<()> {
        let (start, end) = (self.port_range_start, self.port_range_end);
        if start > end {
            return Err(Error::invalid(format!(
                "port_range_start = {start} is over port_range_end = {end}: set both so that the \
                 range has a port in it"
            )));
        }
        Ok(())
    }
}
