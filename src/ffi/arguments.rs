//! Checks of what C passed, with errors that name the argument.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use super::constants::{message_type_code, transport_code};
use crate::{Error, MessageType, Result, Transport};

/// The object behind a required pointer.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that stays alive and is not changed for `'a`.
pub(super) unsafe fn required<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller's promise is exactly what `as_ref` asks for.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name, "a pointer to one"))
}

/// Required text.
///
/// # Safety
/// `pointer` is NULL or points to NUL-terminated memory that stays unchanged for `'a`.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise is passed on.
    unsafe { optional_text(pointer, name) }?
        .ok_or_else(|| null(name, "a NUL-terminated UTF-8 string"))
}

/// Text where NULL has a meaning of its own.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    name: &str,
) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not NULL, so it points to NUL-terminated memory.
    let text = unsafe { CStr::from_ptr(pointer) };
    if text.to_bytes().is_ascii() {
        // Most of it is, and that is found out in a fraction of the time: a client's id comes with
        // every message to it.
        // SAFETY: ASCII is UTF-8.
        return Ok(Some(unsafe { str::from_utf8_unchecked(text.to_bytes()) }));
    }
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(error) => Err(Error::invalid(format!(
            "`{name}` is not UTF-8 (byte {}): pass UTF-8 text",
            error.valid_up_to()
        ))),
    }
}

/// Bytes with their size; `(NULL, 0)` is the empty buffer.
///
/// # Safety
/// `pointer` is NULL or points to `size` bytes that stay unchanged for `'a`.
pub(super) unsafe fn bytes<'a>(
    pointer: *const c_void,
    size: usize,
    name: &str,
) -> Result<&'a [u8]> {
    check_size(pointer, size, name)?;
    if size == 0 {
        return Ok(&[]);
    }
    // SAFETY: it is not NULL and `size` fits an isize, both checked above; the rest is the
    // caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), size) })
}

fn check_size(pointer: *const c_void, size: usize, name: &str) -> Result<()> {
    if size > isize::MAX as usize {
        return Err(Error::invalid(format!(
            "The size of `{name}` is {size}: no buffer is larger than {} bytes",
            isize::MAX
        )));
    }
    if pointer.is_null() && size > 0 {
        return Err(Error::invalid(format!(
            "`{name}` is NULL but its size is {size}: pass the bytes, or NULL and 0 for none"
        )));
    }
    Ok(())
}

/// Where an output goes, once there is one.
pub(super) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL or may be written to until [`Out::set`] is called.
    pub unsafe fn required(pointer: *mut T, name: &str) -> Result<Out<T>> {
        // SAFETY: the caller's promise is passed on.
        unsafe { Out::optional(pointer) }.ok_or_else(|| null(name, "where the result goes"))
    }

    /// # Safety
    /// As for [`Out::required`].
    pub unsafe fn optional(pointer: *mut T) -> Option<Out<T>> {
        NonNull::new(pointer).map(Out)
    }

    pub fn set(self, value: T) {
        // SAFETY: it is not NULL and may be written to, as whoever made it promised. `write` does
        // not look at what was there, which may be uninitialised.
        unsafe { self.0.write(value) }
    }
}

/// Copies `text` and a NUL into the caller's buffer, or leaves that alone when it is too small.
///
/// # Safety
/// `buffer` is NULL or points to `size` bytes that may be written to.
pub(super) unsafe fn copy_text(text: &str, buffer: *mut c_char, size: usize) -> Result<()> {
    check_size(buffer.cast(), size, "buffer")?;
    let needed = text.len() + 1;
    if size < needed {
        return Err(Error::invalid(format!(
            "`buffer` is too small: `size` is {size}, and {needed} bytes are needed"
        )));
    }
    let buffer = buffer.cast::<u8>();
    // SAFETY: the buffer is not NULL, since its size is above 0, and has room for the text and
    // the NUL. Text of ours and a buffer that the caller may write to do not overlap.
    unsafe {
        buffer.copy_from_nonoverlapping(text.as_ptr(), text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

/// A timeout in milliseconds; `None` waits without end.
pub(super) fn timeout(timeout_ms: c_int) -> Result<Option<Duration>> {
    match u64::try_from(timeout_ms) {
        Ok(ms) => Ok(Some(Duration::from_millis(ms))),
        Err(_) if timeout_ms == -1 => Ok(None),
        Err(_) => Err(Error::invalid(format!(
            "`timeout_ms` is {timeout_ms}: pass milliseconds, 0 to poll, or -1 to wait without end"
        ))),
    }
}

pub(super) fn transport(number: c_int) -> Result<Transport> {
    const ALL: [Transport; 2] = [Transport::Unix, Transport::Tcp];
    match ALL.into_iter().find(|transport| transport_code(*transport) == number) {
        Some(transport) => Ok(transport),
        None => Err(Error::invalid(format!(
            "`transport` is {number}: pass DOTSOCK_UNIX (0) or DOTSOCK_TCP (1)"
        ))),
    }
}

pub(super) fn message_type(number: c_int) -> Result<MessageType> {
    const ALL: [MessageType; 3] = [MessageType::Data, MessageType::Error, MessageType::Control];
    match ALL.into_iter().find(|kind| message_type_code(*kind) == number) {
        Some(kind) => Ok(kind),
        None => Err(Error::invalid(format!(
            "`type` is {number}: pass DOTSOCK_DATA (0), DOTSOCK_ERROR (1) or DOTSOCK_CONTROL (2)"
        ))),
    }
}

pub(super) fn unknown_counter(name: &str, known: &[&str]) -> Error {
    Error::invalid(format!("There is no counter \"{name}\": it is one of {}", known.join(", ")))
}

fn null(name: &str, instead: &str) -> Error {
    Error::invalid(format!("`{name}` is NULL: pass {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    fn refusal<T>(result: Result<T>) -> String {
        let error = result.err().expect("a refusal");
        assert_eq!(error.status(), Status::Invalid);
        error.to_string()
    }

    #[test]
    fn an_error_names_the_argument_and_the_remedy() {
        // SAFETY: NULL is allowed by all of these, and the literal is NUL-terminated.
        unsafe {
            assert_eq!(
                refusal(text(std::ptr::null(), "event_name")),
                "`event_name` is NULL: pass a NUL-terminated UTF-8 string"
            );
            assert_eq!(
                refusal(text(c"ab\xff".as_ptr(), "key")),
                "`key` is not UTF-8 (byte 2): pass UTF-8 text"
            );
            assert_eq!(
                refusal(bytes(std::ptr::null(), 3, "data")),
                "`data` is NULL but its size is 3: pass the bytes, or NULL and 0 for none"
            );
            assert!(bytes(std::ptr::null(), 0, "data").expect("an empty buffer").is_empty());
            assert!(
                refusal(bytes(std::ptr::null(), usize::MAX, "data"))
                    .contains("no buffer is larger")
            );
        }
        assert!(refusal(timeout(-2)).contains("-2"));
        assert!(refusal(transport(2)).contains("DOTSOCK_TCP (1)"));
        assert!(refusal(message_type(-1)).contains("DOTSOCK_CONTROL (2)"));
    }

    #[test]
    fn a_buffer_that_is_too_small_is_left_alone() {
        let mut buffer = [b'x' as c_char; 4];
        // SAFETY: the buffer has the size that is passed.
        let result = unsafe { copy_text("abcd", buffer.as_mut_ptr(), buffer.len()) };
        assert!(refusal(result).ends_with("5 bytes are needed"));
        assert_eq!(buffer, [b'x' as c_char; 4]);
        // SAFETY: as above.
        unsafe { copy_text("abc", buffer.as_mut_ptr(), buffer.len()) }.expect("room for four");
        assert_eq!(buffer.map(|byte| byte as u8), *b"abc\0");
    }
}
