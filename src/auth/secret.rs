//! The token, where it comes from, and what it proves.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::settings::{Settings, Token};
use crate::{Error, Result, Status, sys};

/// Bytes that are used once.
pub(crate) type Nonce = [u8; 32];
/// HMAC-SHA256.
pub(crate) type Mac = [u8; 32];

/// The longest token, from a file as from an option.
const LONGEST: usize = 4095;

/// Bits of a file's mode that let others than its owner at it.
const OTHERS: u32 = 0o077;

/// A nonce that nobody can foresee, from the kernel.
pub(crate) fn fresh_nonce() -> Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| {
        let text = "No random bytes for a handshake could be had from the kernel";
        Error::os(Status::Io, text, &error.into())
    })?;
    Ok(nonce)
}

/// What proves to one side that the other knows the token of this event.
#[derive(Debug)]
pub(crate) struct Secret {
    /// The token, in the only form in which it is needed.
    keyed: Hmac<Sha256>,
    event_name: String,
}

impl Secret {
    /// What the options say, for TCP; `None` where they name no token. The file is read anew.
    ///
    /// Errors: [`Status::Invalid`] for both options at once, an empty or too long token, and no
    /// time for a handshake; [`Status::Permission`] for a file that others may read or that
    /// belongs to somebody else; [`Status::Io`].
    pub fn configured(event_name: &str, settings: &Settings) -> Result<Option<Secret>> {
        let token = match (&settings.token, &settings.token_file) {
            (None, None) => return Ok(None),
            (Some(_), Some(path)) => {
                return Err(Error::invalid(format!(
                    "Both token and token_file = '{}' are set: unset one of them (the empty text)",
                    path.display()
                )));
            }
            (Some(token), None) => token.clone(),
            (None, Some(path)) => read(path)?,
        };
        if settings.default_timeout.is_zero() {
            return Err(Error::invalid(
                "default_timeout = 0 leaves no time to exchange tokens: raise it, or unset token \
                 and token_file",
            ));
        }
        Secret::new(event_name, &token).map(Some)
    }

    fn new(event_name: &str, token: &Token) -> Result<Secret> {
        let keyed = Hmac::new_from_slice(token.bytes())
            .map_err(|error| Error::new(Status::Internal, format!("A token is no key: {error}")))?;
        Ok(Secret { keyed, event_name: event_name.to_owned() })
    }

    fn over(&self, side: &str, first: &Nonce, second: &Nonce) -> Hmac<Sha256> {
        let parts = [side.as_bytes(), self.event_name.as_bytes(), first, second];
        let mut mac = self.keyed.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }

    /// What the client says.
    pub fn client_mac(&self, server: &Nonce, client: &Nonce) -> Mac {
        self.over("client", server, client).finalize().into_bytes().into()
    }

    /// What the server says.
    pub fn server_mac(&self, server: &Nonce, client: &Nonce) -> Mac {
        self.over("server", client, server).finalize().into_bytes().into()
    }

    /// Whether the client knows the token. Takes the same time for every MAC.
    pub fn is_client(&self, server: &Nonce, client: &Nonce, mac: &Mac) -> bool {
        self.over("client", server, client).verify_slice(mac).is_ok()
    }

    /// Whether the server does.
    pub fn is_server(&self, server: &Nonce, client: &Nonce, mac: &Mac) -> bool {
        self.over("server", client, server).verify_slice(mac).is_ok()
    }
}

/// The token in a file that its owner alone may read, without the line end behind it.
fn read(path: &Path) -> Result<Token> {
    let shown = path.display();
    let mut bytes = Vec::new();
    // Never waits and follows no link, whatever it is that has the name; what is judged is what
    // was opened.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if !metadata.is_file() {
        return Err(Error::invalid(format!("token_file = '{shown}' is no regular file")));
    }
    if owner != 0 && owner != sys::effective_uid() {
        return Err(Error::new(
            Status::Permission,
            format!(
                "token_file = '{shown}' belongs to uid {owner}: it must belong to the user who \
                 runs this program, or root (chown it)"
            ),
        ));
    }
    if mode & OTHERS != 0 {
        return Err(Error::new(
            Status::Permission,
            format!(
                "token_file = '{shown}' has mode {mode:04o}, so that others than its owner may \
                 use it: chmod 600 '{shown}', and take a new token if they may have read it"
            ),
        ));
    }
    let most = LONGEST as u64 + 2;
    file.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    bytes.pop_if(|last| *last == b'\n');
    if bytes.len() > LONGEST {
        return Err(Error::invalid(format!(
            "token_file = '{shown}' is longer than {LONGEST} bytes: is it the right file?"
        )));
    }
    Token::new(bytes).ok_or_else(|| {
        Error::invalid(format!(
            "token_file = '{shown}' is empty: write a token to it, for example by \
             head -c 32 /dev/urandom | base64 > '{shown}'"
        ))
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let status = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Status::Permission,
        _ => Status::Io,
    };
    let remedy = match error.raw_os_error() {
        Some(libc::ELOOP) => "name the file itself: a symbolic link is not followed",
        _ => "name a file that its user can read, or unset token_file",
    };
    Error::os(status, format!("Can't read token_file = '{}' ({remedy})", path.display()), error)
}

#[cfg(test)]
mod tests;
