//! A client's side: where the server of an event is to be found, and attempts to connect to it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Peer, Transport, discovery, tcp, unix};
use crate::settings::Settings;
use crate::sys::StreamSocket;
use crate::{Error, Result, Status};

/// Where a client connects to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    event_name: String,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Unix {
        directory: PathBuf,
        path: PathBuf,
    },
    /// `found` is empty until a name was looked up.
    Host {
        host: String,
        port: u16,
        found: Vec<SocketAddr>,
    },
    /// Wherever the discovery file in this directory says.
    Published {
        directory: PathBuf,
    },
}

/// An attempt to connect that has begun.
#[derive(Debug)]
pub(crate) enum Attempt {
    Connected(Connected),
    /// Wait for `socket` to be writable, then call [`Target::finish`].
    Pending {
        socket: StreamSocket,
        address: SocketAddr,
    },
    /// The Unix server's queue is full and nothing can be waited for: try again in a moment.
    Busy,
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connected {
    /// Shared with calls that sleep on it.
    pub socket: Arc<StreamSocket>,
    pub peer: Peer,
    /// Path, or numeric `host:port`.
    pub address: String,
}

impl Target {
    /// Where the server of this event is to be found. Looks nothing up yet.
    pub fn new(transport: Transport, event_name: &str, settings: &Settings) -> Target {
        let directory = settings.socket_dir.clone();
        let place = match (transport, settings.port) {
            (Transport::Unix, _) => {
                Place::Unix { path: unix::socket_path(&directory, event_name), directory }
            }
            (Transport::Tcp, None | Some(0)) => Place::Published { directory },
            (Transport::Tcp, Some(port)) => {
                let numeric = settings.host.parse::<IpAddr>().ok();
                let found = numeric.map(|ip| SocketAddr::new(ip, port)).into_iter().collect();
                Place::Host { host: settings.host.clone(), port, found }
            }
        };
        Target { event_name: event_name.to_owned(), place }
    }

    /// What no attempt could ever mend: a path that is too long for a socket.
    pub fn check(&self) -> Result<()> {
        match &self.place {
            Place::Unix { path, .. } => unix::check_length(path),
            Place::Host { .. } | Place::Published { .. } => Ok(()),
        }
    }

    /// Whether `host` is a name that would have to be looked up (and is used at all).
    pub fn needs_lookup(&self) -> bool {
        matches!(&self.place, Place::Host { host, .. } if host.parse::<IpAddr>().is_err())
    }

    /// Looks the host name up, which may block; what was found is kept. Does nothing when there is
    /// nothing to look up.
    pub fn look_up(&mut self) -> Result<()> {
        if let Place::Host { host, port, found } = &mut self.place {
            *found = tcp::look_up(host, *port)?;
        }
        Ok(())
    }

    /// Begins one attempt, without blocking: checks `socket_dir`, reads the discovery file anew.
    /// No server there is `Status::Closed` with the OS error (ENOENT, ECONNREFUSED), a directory or
    /// file not to be trusted `Status::Permission`. A name that resolved to several addresses is
    /// tried at one after the other: `index` says which, 0 first.
    pub fn attempt(&self, index: usize) -> Result<Attempt> {
        let address = match &self.place {
            Place::Unix { directory, path } => {
                return unix::connect(&self.event_name, directory, path);
            }
            Place::Published { directory } => discovery::find(&self.event_name, directory)?,
            Place::Host { host, found, .. } => *found.get(index).ok_or_else(|| {
                Error::new(Status::State, format!("Host '{host}' has not been looked up"))
            })?,
        };
        tcp::connect(&self.event_name, address)
    }

    /// How many addresses there are to try: 1, or more for a host name.
    pub fn addresses(&self) -> usize {
        match &self.place {
            Place::Host { found, .. } => found.len().max(1),
            Place::Unix { .. } | Place::Published { .. } => 1,
        }
    }

    /// The end of a pending attempt whose socket became writable.
    pub fn finish(&self, socket: StreamSocket, address: SocketAddr) -> Result<Connected> {
        tcp::finish(&self.event_name, socket, address)
    }
}
