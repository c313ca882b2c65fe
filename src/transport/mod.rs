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

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

/// What to do where `socket_dir` is another user's.
const TAKE_YOUR_OWN: &str = "set socket_dir (DOTSOCK_SOCKET_DIR) to a directory of your own, such as \
     ${XDG_RUNTIME_DIR}/dotsock, the same for server and client";

/// The error of a system call on a file in `socket_dir`. Where access was denied, it says whose the
/// file is, and `remedy`; where there is none, whose the directory is.
fn file_error(text: &str, path: &Path, remedy: &str, error: &io::Error) -> Error {
    if error.kind() != ErrorKind::PermissionDenied {
        return os_error(text, error);
    }
    let directory = path.parent().unwrap_or(path);
    let (what, found, remedy) = match fs::symlink_metadata(path) {
        Ok(found) => ("it".to_owned(), Ok(found), remedy),
        Err(_) => (
            format!("socket_dir {}", directory.display()),
            fs::symlink_metadata(directory),
            TAKE_YOUR_OWN,
        ),
    };
    let Ok(found) = found else {
        return os_error(format!("{text}; {TAKE_YOUR_OWN}"), error);
    };
    let (owner, mode, own) = (found.uid(), found.mode() & 0o7777, sys::effective_uid());
    let whose = format!("{what} belongs to uid {owner} and has mode {mode:04o}");
    os_error(format!("{text}: {whose}, and this program runs as uid {own}; {remedy}"), error)
}

/// Whether a file or directory of this owner can be trusted: it is the user's own, or root's.
fn is_trusted_owner(uid: u32) -> bool {
    uid == 0 || uid == sys::effective_uid()
}
