//! A server's side: a socket that listens, and the files by which clients find it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::own_file::{LockedFile, OwnFile};
use super::{Peer, Transport, tcp, unix};
use crate::Result;
use crate::settings::Settings;
use crate::sys::{self, StreamSocket};

/// A socket that listens, and the files that belong to it.
///
/// Dropping it closes descriptors (which gives up the lock) and touches no file, so that a forked
/// child may drop it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) socket: StreamSocket,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) files: Files,
}

/// The files that belong to a listener.
#[derive(Debug)]
pub(super) enum Files {
    /// The lock decides who is live. `socket` goes when listening ends, unless it is to stay.
    Unix { socket: Option<OwnFile>, lock: LockedFile },
    /// The discovery file, where it could be published.
    Tcp { published: Option<LockedFile> },
}

impl Listener {
    /// Starts to listen for `event_name`. Looks `host` up for TCP. A TCP server whose discovery
    /// file can't be published logs a warning: call it without a lock.
    pub fn bind(transport: Transport, event_name: &str, settings: &Settings) -> Result<Listener> {
        match transport {
            Transport::Unix => unix::bind(event_name, settings),
            Transport::Tcp => tcp::bind(event_name, settings),
        }
    }

    /// The socket, to wait for connections on.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next connection (TCP_NODELAY set); `None` when none waits.
    pub fn accept(&self) -> io::Result<Option<(StreamSocket, Peer)>> {
        let Some((socket, from)) = sys::accept(self.socket())? else {
            return Ok(None);
        };
        let peer = match from {
            Some(address) => {
                // Fails only on a connection that has ended already, which reading will tell.
                let _ = sys::set_no_delay(&socket);
                Peer::Tcp(tcp::canonical(address))
            }
            None => {
                unix::enlarge_send_buffer(&socket);
                Peer::Unix(sys::peer_credentials(socket.as_fd()).ok())
            }
        };
        Ok(Some((socket, peer)))
    }

    /// Path, or numeric `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// 0 for Unix.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends listening: removes the socket or discovery file (its own and nobody else's, and the
    /// socket file only with `auto_remove_socket`), refuses connections from now on, and drops
    /// those that were not accepted. The lock is still held, and the socket, which is closed by
    /// [`Listener::release`], reports a hang-up until then: stop watching it first.
    pub fn withdraw(&mut self) {
        // The socket stays open until the file was compared, so that its inode is still ours.
        match &self.files {
            Files::Unix { socket: Some(file), .. } => file.remove(),
            Files::Tcp { published: Some(file) } => file.remove(),
            Files::Unix { socket: None, .. } | Files::Tcp { published: None } => {}
        }
        sys::stop_listening(self.socket());
        while let Ok(Some(_)) = sys::accept(self.socket()) {}
    }

    /// Removes the lock file while its lock is still held, then gives the lock up. Called last.
    pub fn release(self) {
        if let Files::Unix { lock, .. } = &self.files {
            lock.remove();
        }
    }
}
