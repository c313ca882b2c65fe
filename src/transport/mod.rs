//! Listening and connecting. Knows no messages.
//!
//! [`Listener`] is a server's side: a socket and the files by which clients find it. [`Target`] is
//! a client's side: where the server of an event is to be found.

mod directory;
mod discovery;
mod listener;
mod own_file;
mod target;
mod tcp;
#[cfg(test)]
mod tests;
mod unix;

use std::io;
use std::net::SocketAddr;

pub(crate) use listener::Listener;
pub(crate) use target::{Attempt, Connected, Target};
pub(crate) use unix::socket_path;

use crate::settings::Settings;
use crate::sys::{self, Credentials};
use crate::{Error, Status};

/// The target of what is logged here.
const LOG: &str = "dotsock::transport";

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
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Unix(Some(Credentials { uid, pid })) => write!(f, "uid {uid}, pid {pid}"),
            Peer::Unix(None) => f.write_str("unknown peer"),
            Peer::Tcp(address) => address.fmt(f),
        }
    }
}

/// A refusal of a server that runs as another unprivileged user, unless settings allow it.
pub(crate) fn check_server(peer: &Peer, settings: &Settings) -> Result<(), Error> {
    let Peer::Unix(credentials) = peer else {
        return Ok(());
    };
    let own = sys::effective_uid();
    let server = match credentials {
        _ if settings.allow_foreign_server => return Ok(()),
        Some(Credentials { uid, .. }) if *uid == own || *uid == 0 => return Ok(()),
        Some(Credentials { uid, .. }) => format!("uid {uid}"),
        None => "an unknown user".to_owned(),
    };
    Err(Error::new(
        Status::Permission,
        format!(
            "The server runs as {server}, this client as uid {own}: a server of another \
             unprivileged user is refused. Set allow_foreign_server = true to trust it"
        ),
    ))
}

/// What an error of a system call on a file or an address means to the caller.
fn os_error(text: impl std::fmt::Display, error: &io::Error) -> Error {
    let status = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Status::Permission,
        Some(libc::ENAMETOOLONG) => Status::Invalid,
        _ => Status::Io,
    };
    Error::os(status, text, error)
}

/// Whether a file or directory of this owner can be trusted: it is the user's own, or root's.
fn is_trusted_owner(uid: u32) -> bool {
    uid == 0 || uid == sys::effective_uid()
}
