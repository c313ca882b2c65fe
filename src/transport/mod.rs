//! Listening and connecting. Knows no messages.

mod directory;
mod discovery;
mod tcp;
mod unix;

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::settings::Settings;
use crate::sys::Credentials;
use crate::{Error, Result};

/// How server and clients reach each other; the numbers are those of the C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Transport {
    /// A Unix socket in `socket_dir`.
    Unix = 0,
    /// TCP, on a port that clients on the same host find in `socket_dir`.
    Tcp = 1,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Unix(Option<Credentials>),
    Tcp(SocketAddr),
}

impl std::fmt::Display for Peer {
    /// `uid 1000, pid 4242` or `127.0.0.1:54321`: how logs and client lists name a peer.
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

/// A socket that listens, and the files that belong to it.
///
/// Dropping it closes descriptors (which gives up the lock) and touches no file, so that a forked
/// child may drop it.
#[derive(Debug)]
pub(crate) struct Listener {
    _socket: Option<OwnedFd>,
}

impl Listener {
    /// Starts to listen for `event_name`. Looks `host` up for TCP.
    pub fn bind(
        _transport: Transport,
        _event_name: &str,
        _settings: &Settings,
    ) -> Result<Listener> {
        todo!()
    }

    /// The socket, to wait for connections on.
    pub fn socket(&self) -> BorrowedFd<'_> {
        todo!()
    }

    /// The next connection (TCP_NODELAY set); `None` when none waits.
    pub fn accept(&self) -> std::io::Result<Option<(OwnedFd, Peer)>> {
        todo!()
    }

    /// Path, or numeric `host:port`.
    pub fn address(&self) -> &str {
        todo!()
    }

    /// 0 for Unix.
    pub fn port(&self) -> u16 {
        todo!()
    }

    /// Ends listening: closes the socket and removes the socket or discovery file (its own and
    /// nobody else's, and the socket file only with `auto_remove_socket`). The lock is still held.
    pub fn withdraw(&mut self) {
        todo!()
    }

    /// Removes the lock file while its lock is still held, then gives the lock up. Called last.
    pub fn release(self) {
        todo!()
    }
}

/// Where a client connects to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    _todo: (),
}

/// An attempt to connect that has begun.
#[derive(Debug)]
pub(crate) enum Attempt {
    Connected(Connected),
    /// Wait for `socket` to be writable, then call [`Target::finish`].
    Pending {
        socket: OwnedFd,
        address: SocketAddr,
    },
    /// The Unix server's queue is full and nothing can be waited for: try again in a moment.
    Busy,
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connected {
    pub socket: OwnedFd,
    pub peer: Peer,
    /// Path, or numeric `host:port`.
    pub address: String,
}

impl Target {
    /// Where the server of this event is to be found. Looks nothing up yet.
    pub fn new(_transport: Transport, _event_name: &str, _settings: &Settings) -> Target {
        todo!()
    }

    /// Whether `host` is a name that would have to be looked up (and is used at all).
    pub fn needs_lookup(&self) -> bool {
        todo!()
    }

    /// Looks the host name up, which may block; what was found is kept. Does nothing when there is
    /// nothing to look up.
    pub fn look_up(&mut self) -> Result<()> {
        todo!()
    }

    /// Begins one attempt, without blocking: checks `socket_dir`, reads the discovery file anew.
    /// No server there is `Status::Closed` with the OS error (ENOENT, ECONNREFUSED), a directory or
    /// file not to be trusted `Status::Permission`. A name that resolved to several addresses is
    /// tried at one after the other: `index` says which, 0 first.
    pub fn attempt(&self, _index: usize) -> Result<Attempt> {
        todo!()
    }

    /// How many addresses there are to try: 1, or more for a host name.
    pub fn addresses(&self) -> usize {
        todo!()
    }

    /// The end of a pending attempt whose socket became writable.
    pub fn finish(&self, _socket: OwnedFd, _address: SocketAddr) -> Result<Connected> {
        todo!()
    }
}

/// A refusal of a server that runs as another unprivileged user, unless settings allow it.
pub(crate) fn check_server(_peer: &Peer, _settings: &Settings) -> std::result::Result<(), Error> {
    todo!()
}
