//! # The library

use std::ffi::{c_char, c_int};

use super::arguments::{copy_text, optional_text, text};
use super::{constants, guard};
use crate::{timestamp, validate_event_name};

/// The version of the library that is in use, such as "0.1.0". The header's is in
/// DOTSOCK_VERSION_MAJOR, DOTSOCK_VERSION_MINOR and DOTSOCK_VERSION_PATCH.
///
/// Never NULL; valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn sock_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// A sentence that says what a status means in general. sock_last_error() says what went wrong in
/// particular.
///
/// Never NULL, whatever the number; valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn sock_strerror(status: c_int) -> *const c_char {
    constants::describe(status).as_ptr()
}

/// The status of this thread's last call that can fail: DOTSOCK_OK when it did not. Useful
/// after a call that returned NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sock_last_status() -> c_int {
    guard::get(0, || Some(guard::last_status()))
}

/// Why this thread's last call that can fail did so: a sentence that names the value, the limit
/// and the remedy. "" when it did not fail; never NULL.
///
/// Valid until this thread's next call that can fail has ended (so that it may be an argument of
/// that call); getters, `_free` and `_cancel` leave it unchanged. Each thread has its own.
#[unsafe(no_mangle)]
pub extern "C" fn sock_last_error() -> *const c_char {
    guard::get(c"".as_ptr(), || Some(guard::last_text()))
}

/// `errno` of the system call behind this thread's last error, 0 when there is none.
#[unsafe(no_mangle)]
pub extern "C" fn sock_last_os_error() -> c_int {
    guard::get(0, || Some(guard::last_os_error()))
}

/// Checks the name of an event: 1 to 64 of A-Z, a-z, 0-9, '_' and '-'.
///
/// DOTSOCK_E_INVALID: sock_last_error() says what is wrong with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_validate_event_name(name: *const c_char) -> c_int {
    // SAFETY: the header asks for a NUL-terminated string that stays as it is during the call.
    guard::call(|| validate_event_name(unsafe { text(name, "name") }?))
}

/// Unix time in milliseconds, as messages carry it.
#[unsafe(no_mangle)]
pub extern "C" fn sock_timestamp_ms() -> i64 {
    guard::get(0, || Some(timestamp::timestamp_ms()))
}

/// Writes the current time to `buffer`, in ISO 8601 with microseconds and offset:
/// "2026-11-23T10:00:00.123456+00:00" and a NUL. `timezone` is an IANA name such as
/// "Europe/Berlin", or NULL for the configured one, as it was at the first call of the process
/// that needed it (UTC when the configuration is bad).
///
/// `size` is that of `buffer`; DOTSOCK_TIMESTAMP_SIZE is always enough.
///
/// DOTSOCK_E_INVALID: the timezone is unknown, or the buffer is too small (sock_last_error()
/// names the size needed; nothing is written).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_timestamp_iso(
    timezone: *const c_char,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a NUL-terminated string or NULL.
        let timezone = unsafe { optional_text(timezone, "timezone") }?;
        let iso = timestamp::timestamp_iso(timezone)?;
        // SAFETY: the header asks for a buffer of `size` bytes.
        unsafe { copy_text(&iso, buffer, size) }
    })
}

/// The same for the moment `timestamp_ms`, Unix time in milliseconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_timestamp_iso_at(
    timezone: *const c_char,
    timestamp_ms: i64,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a NUL-terminated string or NULL.
        let timezone = unsafe { optional_text(timezone, "timezone") }?;
        let iso = timestamp::timestamp_iso_at(timezone, timestamp_ms)?;
        // SAFETY: the header asks for a buffer of `size` bytes.
        unsafe { copy_text(&iso, buffer, size) }
    })
}
