//! Files that are ours: told from others of the same name, and held by a lock.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use log::Level;

use super::{LOG, TAKE_YOUR_OWN, file_error};
use crate::notes::log_now;
use crate::sys::{self, LockKind};
use crate::{Error, Result, Status};

/// A file that we made, remembered by device and inode.
///
/// An inode's number is given again once nobody has the inode open. Whoever keeps an `OwnFile`
/// therefore keeps the file or the bound socket open as well.
#[derive(Debug)]
pub(super) struct OwnFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OwnFile {
    pub fn new(path: &Path, metadata: &Metadata) -> OwnFile {
        OwnFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() }
    }

    /// Whether the path still names this file.
    pub fn is_in_place(&self) -> io::Result<bool> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok(found.dev() == self.device && found.ino() == self.inode),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the file, unless something else has taken its name.
    pub fn remove(&self) {
        let result = match self.is_in_place() {
            Ok(true) => fs::remove_file(&self.path),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let path = self.path.display();
            log_now(Level::Warn, LOG, format_args!("Cannot remove {path}: {error}"));
        }
    }
}

/// A file that this process holds by an exclusive `flock`, for as long as this lives.
///
/// Dropping it closes the descriptor and leaves the file. It does not unlock: in a forked child,
/// that would take the parent's lock.
#[derive(Debug)]
pub(super) struct LockedFile {
    pub file: File,
    name: OwnFile,
}

impl LockedFile {
    /// Makes the file (mode 0600) or opens it, and locks it; `None` while somebody else holds it.
    pub fn take(path: &Path) -> Result<Option<LockedFile>> {
        let fail = |error| lock_error(path, &error);
        // Whoever removes such a file holds its lock. So what was opened may be gone from the
        // directory by the time that it is locked, and then somebody else may hold a new one.
        // Each turn means that another process got on, so that few are ever needed.
        for _ in 0..1000 {
            let Some(file) = open_or_make(path).map_err(fail)? else {
                continue;
            };
            let metadata = file.metadata().map_err(fail)?;
            if !metadata.is_file() {
                return Err(in_the_way(path, &metadata));
            }
            if !sys::try_lock(file.as_fd(), LockKind::Exclusive).map_err(fail)? {
                return Ok(None);
            }
            let name = OwnFile::new(path, &metadata);
            if name.is_in_place().map_err(fail)? {
                return Ok(Some(LockedFile { file, name }));
            }
        }
        Err(Error::new(
            Status::Io,
            format!("Cannot lock {}: something keeps replacing it", path.display()),
        ))
    }

    /// Gives the file another name, replacing what has it.
    pub fn rename(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.name.path, path)?;
        self.name.path = path.to_owned();
        Ok(())
    }

    /// Removes the file while it is still locked.
    pub fn remove(&self) {
        self.name.remove();
    }
}

fn lock_error(path: &Path, error: &io::Error) -> Error {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => in_the_way(path, &found),
        _ => file_error(&format!("Cannot lock {shown}"), path, TAKE_YOUR_OWN, error),
    }
}

/// `None` when the file appeared, vanished or became ours to open in between: try again.
fn open_or_make(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    // Never waits, whatever it is that has the name (a FIFO would make it).
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::PermissionDenied && mend_mode(path) => {
            return Ok(None);
        }
        result => return result.map(Some),
    }
    match options.create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
        Ok(file) => {
            // The umask may have taken away what the next one to open it needs.
            sys::set_mode(file.as_fd(), 0o600)?;
            Ok(Some(file))
        }
    }
}

/// Whether a file that we were denied is our own, so that it is worth trying again: its maker, under
/// a strict umask, has not come to giving it its mode yet. Done here too, for it may never.
fn mend_mode(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        let is_ours = found.is_file() && found.uid() == sys::effective_uid();
        is_ours && (found.mode() & 0o600 == 0o600 || sys::set_mode_at(path, 0o600).is_ok())
    })
}

/// Why something that has the name of one of our files, and is none, stays.
pub(super) fn in_the_way(path: &Path, metadata: &Metadata) -> Error {
    let kind = metadata.file_type();
    let what = if kind.is_symlink() {
        "A symbolic link, which is not followed,"
    } else if kind.is_dir() {
        "A directory"
    } else if kind.is_file() {
        "A regular file"
    } else if kind.is_fifo() {
        "A FIFO"
    } else if kind.is_socket() {
        "A socket"
    } else {
        "A device"
    };
    let shown = path.display();
    Error::new(
        Status::Io,
        format!("{what} is in the way at {shown}; remove it or use another socket_dir"),
    )
}
