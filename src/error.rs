//! The one error type, and a status code for each kind of failure.

use std::borrow::Cow;
use std::fmt;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it was; the numbers are those of the C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Status {
    /// An argument is wrong: the error names it, its value and what is allowed.
    Invalid = -1,
    /// The operating system refused something; see [`Error::os_error`].
    Io = -2,
    /// Nothing happened in time.
    Timeout = -3,
    /// Not connected, or the peer is gone.
    Closed = -4,
    /// A message is malformed, too large, or cannot be encoded.
    Message = -5,
    /// The server has as many clients as it allows.
    MaxConnections = -6,
    /// The server is not running.
    NotRunning = -7,
    /// No client has this id.
    NoClient = -8,
    /// A live server has this event, or no port in the range is free.
    InUse = -9,
    /// Access was refused, or a file or peer is not to be trusted.
    Permission = -10,
    /// The server does not accept messages from its clients.
    SendDenied = -11,
    /// The client's queue is full.
    Full = -12,
    /// The call is not possible in this state.
    State = -13,
    /// `cancel` ended the wait.
    Cancelled = -14,
    /// A signal handler ran during the wait.
    Interrupted = -15,
    /// The handle was made before a fork, and this is the child.
    Forked = -16,
    /// A defect in the library.
    Internal = -17,
    /// Memory ran out.
    NoMemory = -18,
}

impl Status {
    /// The code that the C API returns for this kind of failure.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// Why a call failed: a kind, a sentence for a person, and the OS error behind it, if any.
#[derive(Clone, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    status: Status,
    text: Cow<'static, str>,
    os_error: i32,
}

impl Error {
    #[cold]
    pub(crate) fn new(status: Status, text: impl Into<Cow<'static, str>>) -> Error {
        Error { status, text: text.into(), os_error: 0 }
    }

    /// An error of the operating system; its own words are appended to `text`.
    #[cold]
    pub(crate) fn os(status: Status, text: impl fmt::Display, error: &std::io::Error) -> Error {
        let os_error = error.raw_os_error().unwrap_or(0);
        Error { status, text: format!("{text}: {error}").into(), os_error }
    }

    pub(crate) fn invalid(text: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Status::Invalid, text)
    }

    #[cold]
    pub(crate) fn no_memory(bytes: usize) -> Error {
        Error::new(Status::NoMemory, format!("Out of memory: {bytes} bytes could not be allocated"))
    }

    /// What kind of failure it was.
    pub fn status(&self) -> Status {
        self.status
    }

    /// `errno` of the system call that failed, if one did.
    pub fn os_error(&self) -> Option<i32> {
        (self.os_error != 0).then_some(self.os_error)
    }
}

/// The sentence alone: it is what a `main` that returns this error prints.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failing_main_prints_is_the_sentence() {
        let error = Error::invalid("linger = -1: allowed are 0 to 86400 seconds");
        assert_eq!(format!("Error: {error:?}"), format!("Error: {error}"));
    }
}
