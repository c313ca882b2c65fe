//! # Payloads
//!
//! A payload is built value by value, without escaping anything by hand. It is then sent with
//! sock_send_payload() or sock_client_send_payload(), or turned into a message with
//! sock_message_from_payload(), and may be changed and sent again.
//!
//! A value's place is a JSON Pointer: "/status", "/steps/0/name" ("~1" stands for '/' in a key,
//! "~0" for '~'). Missing parents are made: an array if the next token is "-", else a map. In an
//! array "-" appends ("/steps/-/name" appends a map to "steps"); in a map it is a key like any
//! other. Setting replaces what was there, also a whole map; the pointer "" is the payload itself,
//! which only a map can replace.
//!
//! All setters: DOTSOCK_E_INVALID when the pointer is not a JSON Pointer, leads through a value
//! that is neither map nor array, or names an index that the array does not have; DOTSOCK_E_MESSAGE
//! when the value is nested too deeply or is not what the setter takes. A setter that fails changes
//! nothing.

use std::ffi::{c_char, c_int, c_void};

use parking_lot::Mutex;

use super::arguments::{bytes, required, text};
use super::guard;
use crate::{Payload, Result};

/// A payload under construction.
pub struct sock_payload(Mutex<Payload>);

/// A copy of what the payload is now, as MessagePack: no lock is held while it is sent.
///
/// # Safety
/// `payload` is NULL or points to a live payload.
pub(super) unsafe fn encoded(payload: *const sock_payload) -> Result<Vec<u8>> {
    // SAFETY: the caller's promise.
    unsafe { required(payload, "payload") }?.0.lock().to_msgpack()
}

/// Checks the arguments that all setters share, and sets.
///
/// # Safety
/// `payload` is NULL or points to a live payload, `pointer` is NULL or NUL-terminated text.
unsafe fn set(
    payload: *mut sock_payload,
    pointer: *const c_char,
    set: impl FnOnce(&mut Payload, &str) -> Result<()>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (payload, pointer) = unsafe { (required(payload, "payload")?, text(pointer, "pointer")?) };
    set(&mut payload.0.lock(), pointer)
}

/// An empty payload: a map without keys. Free it with sock_payload_free().
#[unsafe(no_mangle)]
pub extern "C" fn sock_payload_new() -> *mut sock_payload {
    guard::pointer(|| Ok(Box::into_raw(Box::new(sock_payload(Mutex::new(Payload::new()))))))
}

/// Sets an integer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_int(
    payload: *mut sock_payload,
    pointer: *const c_char,
    value: i64,
) -> c_int {
    // SAFETY: the header asks for a live payload and a NUL-terminated string.
    guard::call(|| unsafe {
        set(payload, pointer, |payload, pointer| payload.set_int(pointer, value))
    })
}

/// Sets an integer that is not negative, up to 2^64-1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_uint(
    payload: *mut sock_payload,
    pointer: *const c_char,
    value: u64,
) -> c_int {
    // SAFETY: the header asks for a live payload and a NUL-terminated string.
    guard::call(|| unsafe {
        set(payload, pointer, |payload, pointer| payload.set_uint(pointer, value))
    })
}

/// Sets a floating point number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_double(
    payload: *mut sock_payload,
    pointer: *const c_char,
    value: f64,
) -> c_int {
    // SAFETY: the header asks for a live payload and a NUL-terminated string.
    guard::call(|| unsafe {
        set(payload, pointer, |payload, pointer| payload.set_double(pointer, value))
    })
}

/// Sets true (anything but 0) or false (0).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_bool(
    payload: *mut sock_payload,
    pointer: *const c_char,
    value: c_int,
) -> c_int {
    // SAFETY: the header asks for a live payload and a NUL-terminated string.
    guard::call(|| unsafe {
        set(payload, pointer, |payload, pointer| payload.set_bool(pointer, value != 0))
    })
}

/// Sets text, which is copied: NUL-terminated UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_string(
    payload: *mut sock_payload,
    pointer: *const c_char,
    value: *const c_char,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a NUL-terminated string.
        let value = unsafe { text(value, "value") }?;
        // SAFETY: the header asks for a live payload and a NUL-terminated string.
        unsafe { set(payload, pointer, |payload, pointer| payload.set_string(pointer, value)) }
    })
}

/// Sets `size` bytes of binary data, which are copied. (NULL, 0) is empty data.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_bytes(
    payload: *mut sock_payload,
    pointer: *const c_char,
    value: *const c_void,
    size: usize,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for `size` bytes.
        let value = unsafe { bytes(value, size, "value") }?;
        // SAFETY: the header asks for a live payload and a NUL-terminated string.
        unsafe { set(payload, pointer, |payload, pointer| payload.set_bytes(pointer, value)) }
    })
}

/// Sets nothing: JSON's null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_null(
    payload: *mut sock_payload,
    pointer: *const c_char,
) -> c_int {
    // SAFETY: the header asks for a live payload and a NUL-terminated string.
    guard::call(|| unsafe { set(payload, pointer, |payload, pointer| payload.set_null(pointer)) })
}

/// Sets any JSON value, such as "[1, 2]", "null" or "\"text\"".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_json(
    payload: *mut sock_payload,
    pointer: *const c_char,
    json: *const c_char,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a NUL-terminated string.
        let json = unsafe { text(json, "json") }?;
        // SAFETY: the header asks for a live payload and a NUL-terminated string.
        unsafe { set(payload, pointer, |payload, pointer| payload.set_json(pointer, json)) }
    })
}

/// Sets any MessagePack value: `size` bytes, which are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_set_msgpack(
    payload: *mut sock_payload,
    pointer: *const c_char,
    value: *const c_void,
    size: usize,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for `size` bytes.
        let value = unsafe { bytes(value, size, "value") }?;
        // SAFETY: the header asks for a live payload and a NUL-terminated string.
        unsafe { set(payload, pointer, |payload, pointer| payload.set_msgpack(pointer, value)) }
    })
}

/// Frees a payload. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_payload_free(payload: *mut sock_payload) {
    if !payload.is_null() {
        // SAFETY: it came from `sock_payload_new` and, as the header asks, is freed once and not
        // used any more.
        guard::free(move || drop(unsafe { Box::from_raw(payload) }));
    }
}
