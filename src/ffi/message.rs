//! # Messages
//!
//! A message is immutable, reference-counted, and may be used by any number of threads. Strings and
//! bytes that a getter returns are borrowed from the message until it is freed.
//!
//! Inside, a message is MessagePack. As JSON it keeps the order of its keys, and 64-bit integers
//! stay exact. What JSON does not have is written as:
//!
//! - binary data: base64 text; a MessagePack timestamp: ISO 8601 text
//! - another MessagePack extension: {"type": n, "data": base64}
//! - NaN and infinities: null
//! - a key that is not a string: its JSON text
//! - bytes in text that are not UTF-8: U+FFFD
//!
//! When JSON that is passed in has a key more than once, the last one counts.

use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;

use triomphe::Arc;

use super::arguments::{self, Out, bytes, required, text};
use super::constants::message_type_code;
use super::guard;
use super::payload::{encoded, sock_payload};
use crate::message::{Inner, Shared};
use crate::{Message, Result};

/// A message.
pub struct sock_message {
    // What C holds is a pointer to the `Inner` of an Arc.
    _private: (),
}

/// The message of a call, which keeps no reference of its own.
///
/// # Safety
/// `message` is NULL or points to a live message that is not freed while the result is in use.
pub(super) unsafe fn shared(message: *const sock_message) -> Result<ManuallyDrop<Message>> {
    // SAFETY: the caller's promise.
    unsafe { required(message, "message") }?;
    // SAFETY: every pointer to a message that C has is that of an Arc (see `give` and `lend`), and
    // ManuallyDrop leaves the reference that it stands for with C.
    Ok(ManuallyDrop::new(unsafe { taken_back(message) }))
}

/// Hands a reference over to C.
pub(super) fn give(message: Message) -> *mut sock_message {
    message.into_shared().into_raw().cast_mut().cast()
}

/// Shows a message to C for as long as `message` lives.
pub(super) fn lend(message: &Message) -> *const sock_message {
    message.shared().as_ptr().cast()
}

/// The reference that a pointer stands for.
///
/// # Safety
/// `message` points to a live message, and what becomes of the reference here is what its owner
/// allows.
unsafe fn taken_back(message: *const sock_message) -> Message {
    // SAFETY: every pointer to a message that C has is that of an Arc (see `give` and `lend`).
    let inner = unsafe { Arc::from_raw(message.cast::<Inner>()) };
    Message::from_shared(Shared::from_arc(inner))
}

/// The shared part of a message.
///
/// # Safety
/// `message` is NULL or points to a live message that is not freed during `'a`.
unsafe fn inner<'a>(message: *const sock_message) -> Option<&'a Inner> {
    // SAFETY: every pointer to a message that C has is one to its shared part.
    unsafe { message.cast::<Inner>().as_ref() }
}

/// The shared part of a message that must be there.
///
/// # Safety
/// As for [`inner`].
pub(super) unsafe fn live<'a>(message: *const sock_message) -> Result<&'a Inner> {
    // SAFETY: the caller's promise.
    unsafe { required(message.cast::<Inner>(), "message") }
}

/// A message about `event_name` (see sock_validate_event_name()) with this payload: one
/// MessagePack map with str keys (maps inside it may have any keys), of `size` bytes, which are
/// copied; (NULL, 0) is the empty map. `type`: DOTSOCK_DATA, DOTSOCK_ERROR or DOTSOCK_CONTROL. It
/// is stamped with the current time, in the configured timezone.
///
/// Free it with sock_message_free(). NULL on failure: DOTSOCK_E_INVALID: the name or the type;
/// DOTSOCK_E_MESSAGE: `data` is anything else, or nested more than 128 levels deep.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_new(
    event_name: *const c_char,
    r#type: c_int,
    data: *const c_void,
    size: usize,
) -> *mut sock_message {
    guard::pointer(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for a NUL-terminated string and `size` bytes.
        let (event_name, data) =
            unsafe { (text(event_name, "event_name")?, bytes(data, size, "data")?) };
        Message::from_msgpack(event_name, message_type, data).map(give)
    })
}

/// A message from an envelope (the body of a frame) that came from elsewhere, for relays and
/// recorders: it is kept and sent byte for byte, with its name, timestamps, key order and unknown
/// keys. The bytes are copied.
///
/// Free it with sock_message_free(). NULL on failure: DOTSOCK_E_MESSAGE: it is malformed, and
/// sock_last_error() says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_from_envelope(
    envelope: *const c_void,
    size: usize,
) -> *mut sock_message {
    guard::pointer(|| {
        // SAFETY: the header asks for `size` bytes.
        let envelope = unsafe { bytes(envelope, size, "envelope") }?;
        Message::from_envelope(envelope).map(give)
    })
}

/// Like sock_message_new(), with a payload from JSON: one object.
///
/// NULL on failure; DOTSOCK_E_MESSAGE also for an integer outside -2^63 to 2^64-1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_from_json(
    event_name: *const c_char,
    r#type: c_int,
    json: *const c_char,
) -> *mut sock_message {
    guard::pointer(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for NUL-terminated strings.
        let (event_name, json) = unsafe { (text(event_name, "event_name")?, text(json, "json")?) };
        Message::from_json(event_name, message_type, json).map(give)
    })
}

/// Like sock_message_new(), with a copy of `payload` as it is now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_from_payload(
    event_name: *const c_char,
    r#type: c_int,
    payload: *const sock_payload,
) -> *mut sock_message {
    guard::pointer(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for a NUL-terminated string and a live payload.
        let (event_name, data) = unsafe { (text(event_name, "event_name")?, encoded(payload)?) };
        Message::from_msgpack(event_name, message_type, &data).map(give)
    })
}

/// The event that the message is about; NULL for NULL. In a message from a peer it may be any text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_event_name(message: *const sock_message) -> *const c_char {
    guard::get(std::ptr::null(), || {
        // SAFETY: the header asks for a live message or NULL.
        let text = unsafe { inner(message) }?.event_name_c().ok()?;
        Some(text.as_ptr().cast())
    })
}

/// DOTSOCK_DATA, DOTSOCK_ERROR or DOTSOCK_CONTROL; -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_type(message: *const sock_message) -> c_int {
    // SAFETY: the header asks for a live message or NULL.
    guard::get(-1, || Some(message_type_code(unsafe { inner(message) }?.message_type())))
}

/// When the message was made: Unix time in milliseconds; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_timestamp_ms(message: *const sock_message) -> i64 {
    // SAFETY: the header asks for a live message or NULL.
    guard::get(0, || Some(unsafe { inner(message) }?.timestamp_ms()))
}

/// The same moment in ISO 8601; NULL for NULL. In a message from a peer it may be any text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_timestamp_iso(message: *const sock_message) -> *const c_char {
    guard::get(std::ptr::null(), || {
        // SAFETY: the header asks for a live message or NULL.
        let text = unsafe { inner(message) }?.timestamp_iso_c().ok()?;
        Some(text.as_ptr().cast())
    })
}

/// The payload as MessagePack; its size goes to `size`, unless that is NULL. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_data(
    message: *const sock_message,
    size: *mut usize,
) -> *const c_void {
    // SAFETY: the header asks for a live message or NULL, and for where the size goes or NULL.
    unsafe { part(message, size, Inner::data) }
}

/// The whole envelope, as sock_message_from_envelope() takes it; its size goes to `size`, unless
/// that is NULL. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_envelope(
    message: *const sock_message,
    size: *mut usize,
) -> *const c_void {
    // SAFETY: the header asks for a live message or NULL, and for where the size goes or NULL.
    unsafe { part(message, size, Inner::envelope) }
}

/// # Safety
/// `message` is NULL or points to a live message; `size` is NULL or may be written to.
unsafe fn part(
    message: *const sock_message,
    size: *mut usize,
    part: impl FnOnce(&Inner) -> &[u8],
) -> *const c_void {
    guard::get(std::ptr::null(), || {
        // SAFETY: the caller's promise.
        let (message, size) = unsafe { (inner(message)?, Out::optional(size)) };
        let part = part(message);
        if let Some(size) = size {
            size.set(part.len());
        }
        Some(part.as_ptr().cast())
    })
}

/// The payload as JSON text. It is made on first use and kept with the message.
///
/// NULL on failure: DOTSOCK_E_INVALID: NULL; DOTSOCK_E_NO_MEMORY; DOTSOCK_E_MESSAGE: it has map
/// keys that are maps with such keys again, nested more than 4 deep.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_data_json(message: *const sock_message) -> *const c_char {
    // SAFETY: the header asks for a live message or NULL.
    unsafe { json(message, Inner::data_json_c) }
}

/// Like sock_message_data_json(), of the whole envelope: with event name, type and timestamps, but
/// without keys of it that this version does not know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_json(message: *const sock_message) -> *const c_char {
    // SAFETY: the header asks for a live message or NULL.
    unsafe { json(message, Inner::json_c) }
}

/// # Safety
/// `message` is NULL or points to a live message.
unsafe fn json(
    message: *const sock_message,
    json: impl FnOnce(&Inner) -> Result<&str>,
) -> *const c_char {
    guard::pointer(|| {
        // SAFETY: the caller's promise.
        let text = json(unsafe { live(message) }?)?;
        Ok(text.as_ptr().cast::<c_char>().cast_mut())
    })
}

/// One more reference to the message, to be freed like the first. NULL on failure
/// (DOTSOCK_E_INVALID: NULL).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_ref(message: *const sock_message) -> *mut sock_message {
    guard::pointer(|| {
        // SAFETY: the header asks for a live message.
        let message = unsafe { shared(message) }?;
        Ok(give(Message::clone(&message)))
    })
}

/// Gives one reference up; with the last one the message goes. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_message_free(message: *mut sock_message) {
    if !message.is_null() {
        // SAFETY: the pointer stands for a reference that `give` handed over and, as the header
        // asks, is freed once and not used any more.
        guard::free(move || drop(unsafe { taken_back(message) }));
    }
}
