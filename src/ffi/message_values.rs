//! # Values of a message
//!
//! sock_message_get_...() read one value of the payload. `pointer` says which, as a JSON Pointer:
//! "/status", "/steps/0/name"; "" is the payload itself. A key that is not a string is named by its
//! JSON text.
//!
//! All of them: DOTSOCK_E_INVALID when there is no such value, or when it is of another type (an
//! integer may be read as a double, but no double as an integer).

use std::ffi::{c_char, c_int, c_void};

use super::arguments::{Out, text};
use super::constants::kind_code;
use super::guard;
use super::message::{live, sock_message};
use crate::Result;
use crate::message::Inner;

/// Reads an integer from -2^63 to 2^63-1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_int(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut i64,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the value goes.
    unsafe {
        read(message, pointer, out, |message, pointer| {
            message
                .payload()
                .read_at(pointer, "an integer from -2^63 to 2^63-1", |value| value.as_i64())
        })
    }
}

/// Reads an integer from 0 to 2^64-1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_uint(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut u64,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the value goes.
    unsafe {
        read(message, pointer, out, |message, pointer| {
            message
                .payload()
                .read_at(pointer, "an integer from 0 to 2^64-1", |value| value.as_u64())
        })
    }
}

/// Reads a floating point number, or an integer as one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_double(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut f64,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the value goes.
    unsafe {
        read(message, pointer, out, |message, pointer| {
            message.payload().read_at(pointer, "a number", |value| value.as_f64())
        })
    }
}

/// Reads true (1) or false (0).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_bool(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut c_int,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the value goes.
    unsafe {
        read(message, pointer, out, |message, pointer| {
            message
                .payload()
                .read_at(pointer, "a boolean", |value| value.as_bool().map(c_int::from))
        })
    }
}

/// Reads text: NUL-terminated, and borrowed from the message. Its size without that NUL goes to
/// `size`, unless that is NULL (text may have a NUL inside). Text that is not UTF-8 is left as it
/// came.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_string(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut *const c_char,
    size: *mut usize,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the outputs go.
    unsafe { read_text(message, pointer, out, size, Inner::lend_text) }
}

/// Reads binary data, borrowed from the message; its size goes to `size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_bytes(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut *const c_void,
    size: *mut usize,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the outputs go.
    unsafe {
        read_bytes(message, pointer, out, size, |message, pointer| {
            message.payload().read_at(pointer, "binary data", |value| value.as_bytes())
        })
    }
}

/// Reads any value as MessagePack, as it came, borrowed from the message; its size goes to `size`.
/// Where a map has a key more than once, the last one counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_msgpack(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut *const c_void,
    size: *mut usize,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the outputs go.
    unsafe {
        read_bytes(message, pointer, out, size, |message, pointer| {
            Ok(message.payload().at(pointer)?.msgpack())
        })
    }
}

/// Says of which kind a value is (DOTSOCK_KIND_NIL and so on), for programs that walk through a
/// payload that they do not know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_kind(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut c_int,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the kind goes.
    unsafe {
        read(message, pointer, out, |message, pointer| {
            Ok(kind_code(message.payload().at(pointer)?.kind()))
        })
    }
}

/// Says how many elements an array or map has, or how many bytes a string, binary data or an
/// extension has. DOTSOCK_E_INVALID for other kinds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_size(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut usize,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the size goes.
    unsafe {
        read(message, pointer, out, |message, pointer| {
            let wanted = "a string, binary data, an array, a map or an ext";
            message.payload().read_at(pointer, wanted, |value| value.size())
        })
    }
}

/// Reads key number `index` (from 0) of a map, or the JSON text of a key that is not a string:
/// NUL-terminated, and borrowed from the message. Its size without that NUL goes to `size`, unless
/// that is NULL. DOTSOCK_E_INVALID also when there is no such key, DOTSOCK_E_MESSAGE for a key that
/// has no JSON text: a map with keys that are maps again, nested more than 4 deep. Later keys can
/// still be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_get_key(
    message: *const sock_message,
    pointer: *const c_char,
    index: usize,
    out: *mut *const c_char,
    size: *mut usize,
) -> c_int {
    // SAFETY: the header asks for a live message, a string, and for where the outputs go.
    unsafe {
        read_text(message, pointer, out, size, |message, pointer| message.lend_key(pointer, index))
    }
}

/// # Safety
/// `message` is NULL or points to a live message, `pointer` is NULL or NUL-terminated text, `out`
/// is NULL or may be written to.
unsafe fn read<T>(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut T,
    read: impl FnOnce(&Inner, &str) -> Result<T>,
) -> c_int {
    guard::call(|| {
        // SAFETY: the caller's promise.
        let (message, pointer, out) =
            unsafe { (live(message)?, text(pointer, "pointer")?, Out::required(out, "out")?) };
        out.set(read(message, pointer)?);
        Ok(())
    })
}

/// # Safety
/// As for [`read`], and `size` is NULL or may be written to.
unsafe fn read_bytes(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut *const c_void,
    size: *mut usize,
    read: impl for<'a> FnOnce(&'a Inner, &str) -> Result<&'a [u8]>,
) -> c_int {
    guard::call(|| {
        // SAFETY: the caller's promise.
        let (message, pointer, out, size) = unsafe {
            (
                live(message)?,
                text(pointer, "pointer")?,
                Out::required(out, "out")?,
                Out::required(size, "size")?,
            )
        };
        let bytes = read(message, pointer)?;
        out.set(bytes.as_ptr().cast());
        size.set(bytes.len());
        Ok(())
    })
}

/// Text that `read` returns with a NUL behind it.
///
/// # Safety
/// As for [`read_bytes`].
unsafe fn read_text(
    message: *const sock_message,
    pointer: *const c_char,
    out: *mut *const c_char,
    size: *mut usize,
    read: impl for<'a> FnOnce(&'a Inner, &str) -> Result<&'a [u8]>,
) -> c_int {
    guard::call(|| {
        // SAFETY: the caller's promise.
        let (message, pointer, out, size) = unsafe {
            (
                live(message)?,
                text(pointer, "pointer")?,
                Out::required(out, "out")?,
                Out::optional(size),
            )
        };
        let text = read(message, pointer)?;
        out.set(text.as_ptr().cast());
        if let Some(size) = size {
            size.set(text.len() - 1);
        }
        Ok(())
    })
}
