//! Options from all layers: built-in, the user's file, `DOTSOCK_SETTINGS`, environment, code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Result;

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
pub(crate) struct Settings {
    pub socket_dir: PathBuf,
    pub default_timeout: Duration,
    pub send_timeout: Option<Duration>,
    pub buffer_size: usize,
    pub timezone: chrono_tz::Tz,
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
    pub max_message_size: usize,
    pub max_depth: usize,
    /// Zero: no limit.
    pub frame_timeout: Duration,
    pub client_queue_size: usize,
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
#[derive(Debug, Clone)]
pub struct Options {
    _settings: Settings,
}

impl Options {
    /// Reads settings files and the environment anew.
    pub fn new() -> Result<Options> {
        todo!()
    }

    /// Adds a settings file.
    pub fn load(&mut self, _path: impl AsRef<Path>) -> Result<()> {
        todo!()
    }

    /// Sets one option; `None` puts it back to what files and environment say.
    pub fn set(&mut self, _key: &str, _value: Option<&str>) -> Result<()> {
        todo!()
    }

    /// The value of one option, in its one form.
    pub fn get(&self, _key: &str) -> Result<String> {
        todo!()
    }

    pub(crate) fn settings(&self) -> &Settings {
        todo!()
    }
}
