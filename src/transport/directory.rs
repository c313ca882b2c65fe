//! `socket_dir`: made when it is missing, refused where others could tamper with what is in it.

use std::fs::{self, DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{TAKE_YOUR_OWN, is_trusted_owner, os_error};
use crate::{Error, Result, Status, sys};

const OWN_MODE: u32 = 0o700;
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o002;

/// Makes the directory if it is missing, its parents too, and checks that it is safe: for servers.
pub(super) fn ensure(directory: &Path) -> Result<()> {
    if inspect(directory)? {
        return Ok(());
    }
    make(directory).map_err(|error| {
        let shown = directory.display();
        os_error(format!("Cannot make socket_dir {shown}; make it or name another one"), &error)
    })?;
    // Somebody else may have made it a moment earlier, in their own way.
    if inspect(directory)? {
        return Ok(());
    }
    let gone = io::Error::from_raw_os_error(libc::ENOENT);
    let shown = directory.display();
    Err(os_error(format!("socket_dir {shown} was removed as soon as it was made"), &gone))
}

/// Checks that the directory is safe, and says whether it is there at all: for clients, which make
/// nothing.
pub(super) fn inspect(directory: &Path) -> Result<bool> {
    // With a slash at its end, a link would be followed.
    let directory: PathBuf = directory.components().collect();
    let shown = directory.display();
    let metadata = match fs::symlink_metadata(&directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            let text = format!(
                "Cannot look at socket_dir {shown}; make it accessible or name another one"
            );
            return Err(os_error(text, &error));
        }
    };
    if metadata.is_symlink() {
        return Err(refusal(format!(
            "socket_dir {shown} is a symbolic link, which is not followed; name the directory that \
             it points to"
        )));
    }
    if !metadata.is_dir() {
        let error = io::Error::from_raw_os_error(libc::ENOTDIR);
        return Err(os_error(format!("socket_dir {shown} is in the way of a directory"), &error));
    }
    check_access(&directory, &metadata)?;
    Ok(true)
}

fn check_access(directory: &Path, metadata: &Metadata) -> Result<()> {
    let (shown, owner, mode) = (directory.display(), metadata.uid(), metadata.mode() & 0o7777);
    if !is_trusted_owner(owner) {
        let own = sys::effective_uid();
        return Err(refusal(format!(
            "socket_dir {shown} (mode {mode:04o}) belongs to uid {owner}, and this program runs as \
             uid {own}; {TAKE_YOUR_OWN}"
        )));
    }
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        let safe = mode & !OTHERS_WRITE;
        return Err(refusal(format!(
            "socket_dir {shown} has mode {mode:04o}: anybody could replace the files in it; \
             `chmod {safe:04o}` it, or set its sticky bit (`chmod +t`)"
        )));
    }
    Ok(())
}

fn refusal(text: String) -> Error {
    Error::new(Status::Permission, text)
}

fn make(directory: &Path) -> io::Result<()> {
    let is_missing = |path: &&Path| {
        let found = fs::symlink_metadata(path);
        !path.as_os_str().is_empty()
            && found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    let missing: Vec<&Path> = directory.ancestors().take_while(is_missing).collect();
    missing.into_iter().rev().try_for_each(make_one)
}

fn make_one(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(OWN_MODE).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        result => result?,
    }
    // A umask can take away our own access. Who lost a race to make the directory mends that too,
    // for the winner may not have come to it yet.
    let metadata = fs::symlink_metadata(directory)?;
    let is_crippled = metadata.mode() & OWN_MODE != OWN_MODE;
    if metadata.is_dir() && is_crippled && metadata.uid() == sys::effective_uid() {
        sys::set_mode_at(directory, OWN_MODE)?;
    }
    Ok(())
}
