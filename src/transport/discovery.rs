//! `{event}.tcp`: how clients on the same host find the port of a TCP server.
//!
//! A server holds its file by an exclusive `flock` from before the file has its name until after
//! it is removed, so that a file which nobody holds is stale. Whoever wants to know takes a shared
//! lock without waiting: readers and servers that look disturb neither each other nor the holder.
//!
//! Of servers that publish at once, only one may replace a stale file, or the second would replace
//! the first's. The new file is therefore prepared under one fixed name, `.{event}.tcp.new`: who
//! has locked it, and finds it still under that name, is the only one to publish until the rename,
//! which ends that and publishes in one step. The lock stays on the file all the while, so whoever
//! had opened it under its first name cannot lock it any more; who opens that name afterwards gets
//! another file, and finds the published one held. What a crash leaves behind is used again.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::own_file::{LockedFile, in_the_way};
use super::unix::absent;
use super::{directory, file_error, is_trusted_owner, os_error};
use crate::settings::Settings;
use crate::sys::{self, LockKind};
use crate::{Error, Result, Status};

/// More than the longest line that a server writes.
const MAX_SIZE: u64 = 300;

fn file_path(directory: &Path, event_name: &str) -> PathBuf {
    directory.join(format!("{event_name}.tcp"))
}

/// Writes the file, which says where a server listens, unless another live server has one.
pub(super) fn publish(
    event_name: &str,
    address: SocketAddr,
    settings: &Settings,
) -> Result<LockedFile> {
    directory::ensure(&settings.socket_dir)?;
    let path = file_path(&settings.socket_dir, event_name);
    let new_path = settings.socket_dir.join(format!(".{event_name}.tcp.new"));
    let Some(mut new) = LockedFile::take(&new_path)? else {
        return Err(held(&path));
    };
    check_own(&new_path, &new)?;
    match replace(&path, &mut new, address, settings.socket_permissions) {
        Ok(()) => Ok(new),
        Err(error) => {
            new.remove();
            Err(error)
        }
    }
}

fn replace(path: &Path, new: &mut LockedFile, address: SocketAddr, mode: u32) -> Result<()> {
    let fail = |error: io::Error| os_error(format!("Cannot write {}", path.display()), &error);
    check_replaceable(path)?;
    sys::set_mode(new.file.as_fd(), mode).map_err(fail)?;
    new.file.set_len(0).map_err(fail)?;
    new.file.write_all(format!("{}\n", reachable(address)).as_bytes()).map_err(fail)?;
    new.rename(path).map_err(fail)
}

/// In a directory that all may write, somebody could have laid out a file of their own here, or a
/// second name of one of ours.
fn check_own(path: &Path, new: &LockedFile) -> Result<()> {
    let fail = |error: io::Error| os_error(format!("Cannot look at {}", path.display()), &error);
    let found = new.file.metadata().map_err(fail)?;
    if found.uid() == sys::effective_uid() && found.nlink() == 1 {
        return Ok(());
    }
    Err(Error::new(
        Status::Permission,
        format!("{} was not made by this user's servers; remove it", path.display()),
    ))
}

/// Leaves alone what a live server holds, and what is no discovery file at all.
fn check_replaceable(path: &Path) -> Result<()> {
    let fail = |error: io::Error| os_error(format!("Cannot look at {}", path.display()), &error);
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(in_the_way(path, &found)),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        result => result.map_err(fail)?,
    };
    match open(path) {
        Ok(file) if !is_held(&file).map_err(fail)? => Ok(()),
        Ok(_) => Err(held(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fail(error)),
    }
}

fn held(path: &Path) -> Error {
    Error::new(Status::InUse, format!("{} is held by another running server", path.display()))
}

/// The address that a client on this host can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match address.ip() {
        ip if !ip.is_unspecified() => return address,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, address.port())
}

/// Never waits and follows no link, whatever it is that has the name.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Whether a live server has this file. A shared lock that was got ends with `file`.
fn is_held(file: &File) -> io::Result<bool> {
    sys::try_lock(file.as_fd(), LockKind::Shared).map(|got| !got)
}

/// Reads where the server of this event listens.
pub(super) fn find(event_name: &str, directory: &Path) -> Result<SocketAddr> {
    let path = file_path(directory, event_name);
    let shown = path.display();
    let missing = |why: &str| {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        absent(event_name, &format!("the address in {shown} ({why})"), &error)
    };
    if !directory::inspect(directory)? {
        return Err(missing("no such socket_dir"));
    }
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) => {
            return Err(match error.raw_os_error() {
                Some(libc::ENOENT) => missing("no such file"),
                // A link, or a socket.
                Some(libc::ELOOP | libc::ENXIO) => untrusted(&path),
                _ => file_error(
                    &format!("Cannot open {shown}"),
                    &path,
                    "socket_permissions of the server say who may read it",
                    &error,
                ),
            });
        }
    };
    let fail = |error: io::Error| os_error(format!("Cannot read {shown}"), &error);
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() || !is_trusted_owner(metadata.uid()) {
        return Err(untrusted(&path));
    }
    let mut bytes = Vec::new();
    (&file).take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(fail)?;
    let address = parse(&bytes).ok_or_else(|| {
        let text = format!("{shown} is no discovery file: one line `host:port` is expected");
        Error::new(Status::Io, format!("{text}; remove it and start the server again"))
    })?;
    if is_held(&file).map_err(fail)? {
        Ok(address)
    } else {
        Err(missing("stale, no server has it"))
    }
}

fn parse(bytes: &[u8]) -> Option<SocketAddr> {
    if bytes.len() as u64 > MAX_SIZE {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let address: SocketAddr = text.strip_suffix('\n').unwrap_or(text).parse().ok()?;
    (address.port() != 0).then_some(address)
}

fn untrusted(path: &Path) -> Error {
    Error::new(
        Status::Permission,
        format!(
            "{} is not trusted: a discovery file must be a regular file, no link, that belongs to \
             uid {} or root; remove it, or set host and port",
            path.display(),
            sys::effective_uid()
        ),
    )
}
