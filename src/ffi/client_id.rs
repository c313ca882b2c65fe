//! Ids of clients as C text, without an allocation for each hook that is called.

use std::ffi::{CStr, c_char};

/// A client's id, NUL-terminated.
pub(super) struct ClientId([u8; ClientId::SIZE]);

impl ClientId {
    /// The longest id is 63 bytes.
    const SIZE: usize = 64;

    pub fn new(id: &str) -> ClientId {
        let mut bytes = [0; ClientId::SIZE];
        debug_assert!(id.len() < ClientId::SIZE);
        for (to, from) in bytes.iter_mut().zip(id.bytes().take(ClientId::SIZE - 1)) {
            *to = from;
        }
        ClientId(bytes)
    }

    pub fn as_ptr(&self) -> *const c_char {
        // The last byte is always 0.
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default().as_ptr()
    }
}
