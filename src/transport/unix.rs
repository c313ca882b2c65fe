//! Unix sockets: `{event}.sock`, and beside it `{event}.lock`, which decides who is live.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::listener::{Files, Listener};
use super::own_file::{LockedFile, OwnFile, in_the_way};
use super::{Attempt, Connected, Peer, TAKE_YOUR_OWN, directory, file_error, os_error};
use crate::settings::Settings;
use crate::sys::{self, StreamSocket};
use crate::{Error, Result, Status};

/// Where the socket of an event is.
pub(crate) fn socket_path(directory: &Path, event_name: &str) -> PathBuf {
    directory.join(format!("{event_name}.sock"))
}

/// Refuses a path that no Unix socket can have.
pub(super) fn check_length(path: &Path) -> Result<()> {
    let (size, limit) = (path.as_os_str().len(), sys::MAX_UNIX_PATH);
    if size <= limit {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Socket path too long: {size} > {limit} bytes: {}; use a shorter socket_dir or event name",
        path.display()
    )))
}

/// Starts to listen, unless a live server has the event.
pub(super) fn bind(event_name: &str, settings: &Settings) -> Result<Listener> {
    let path = socket_path(&settings.socket_dir, event_name);
    check_length(&path)?;
    directory::ensure(&settings.socket_dir)?;
    let lock_path = settings.socket_dir.join(format!("{event_name}.lock"));
    let Some(lock) = LockedFile::take(&lock_path)? else {
        return Err(in_use(event_name, &format!("it holds {}", lock_path.display())));
    };
    match listen(event_name, &path, settings.socket_permissions) {
        Ok((socket, file)) => Ok(Listener {
            socket,
            address: path.to_string_lossy().into_owned(),
            port: 0,
            files: Files::Unix { socket: settings.auto_remove_socket.then_some(file), lock },
        }),
        Err(error) => {
            lock.remove();
            Err(error)
        }
    }
}

/// Called with the lock held: no other server of ours looks at the path meanwhile.
fn listen(event_name: &str, path: &Path, mode: u32) -> Result<(StreamSocket, OwnFile)> {
    let shown = path.display();
    remove_stale(event_name, path)?;
    let socket = sys::bind_unix(path, mode).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => in_use(event_name, &format!("it has just made {shown}")),
        _ => file_error(&format!("Cannot listen at {shown}"), path, TAKE_YOUR_OWN, &error),
    })?;
    let made = fs::symlink_metadata(path)
        .map_err(|error| os_error(format!("Socket {shown} was removed by another"), &error))?;
    Ok((socket, OwnFile::new(path, &made)))
}

/// Removes a socket file that nobody listens at. Anything else that has the name stays.
fn remove_stale(event_name: &str, path: &Path) -> Result<()> {
    let shown = path.display();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(os_error(format!("Cannot look at {shown}"), &error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(in_the_way(path, &metadata));
    }
    // A server of another make holds no lock, but it answers: it accepts, its queue is full, or it
    // speaks through another type of socket.
    let error = match sys::connect_unix(path) {
        Ok(_) => return Err(in_use(event_name, &format!("it answers at {shown}"))),
        Err(error) => error,
    };
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EPROTOTYPE) => {
            Err(in_use(event_name, &format!("it listens at {shown}")))
        }
        Some(libc::ENOENT) => Ok(()),
        Some(libc::ECONNREFUSED) => fs::remove_file(path).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(os_error(format!("Cannot remove the stale socket {shown}"), &error)),
        }),
        _ => Err(os_error(format!("Cannot tell whether a server listens at {shown}"), &error)),
    }
}

fn in_use(event_name: &str, why: &str) -> Error {
    Error::new(
        Status::InUse,
        format!(
            "A server for event '{event_name}' is running already: {why}. Stop it, or use another \
             event name or socket_dir"
        ),
    )
}

/// Room for several large messages, so that few of them leave in two parts, of which the second
/// has to be kept. (The kernel counts its own overhead too, and doubles the number for that.)
const SEND_BUFFER: i32 = 208 * 1024;

/// Gives one end of a connection that room. With less it is merely slower.
pub(super) fn enlarge_send_buffer(socket: &StreamSocket) {
    let _ = sys::set_send_buffer(socket, SEND_BUFFER);
}

/// Connects to the server of this event, if one runs.
pub(super) fn connect(event_name: &str, directory: &Path, path: &Path) -> Result<Attempt> {
    check_length(path)?;
    let shown = path.display();
    if !directory::inspect(directory)? {
        let missing = io::Error::from_raw_os_error(libc::ENOENT);
        return Err(absent(event_name, &format!("{shown} (no such socket_dir)"), &missing));
    }
    let socket = match sys::connect_unix(path) {
        Ok(socket) => socket,
        Err(error) => {
            return match error.raw_os_error() {
                Some(libc::EAGAIN) => Ok(Attempt::Busy),
                Some(libc::ENOENT | libc::ECONNREFUSED) => {
                    Err(absent(event_name, &shown.to_string(), &error))
                }
                _ => Err(file_error(
                    &format!("Cannot connect to {shown}"),
                    path,
                    "socket_permissions of the server say who may connect",
                    &error,
                )),
            };
        }
    };
    enlarge_send_buffer(&socket);
    let peer = Peer::Unix(sys::peer_credentials(socket.as_fd()).ok());
    let (socket, address) = (Arc::new(socket), path.to_string_lossy().into_owned());
    Ok(Attempt::Connected(Connected { socket, peer, address }))
}

/// That nobody is there, at the address that was tried.
pub(super) fn absent(event_name: &str, tried: &str, error: &io::Error) -> Error {
    let text = format!("No server runs for event '{event_name}': cannot connect to {tried}");
    Error::os(Status::Closed, text, error)
}
