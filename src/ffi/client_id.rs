//! Ids of clients as C text, without an allocation for each hook that is called.

use std::ffi::c_char;

/// A client's id, NUL-terminated.
pub(super) struct ClientId([u8; ClientId::SIZE]);

impl ClientId {
    /// The longest id is 63 bytes.
    const SIZE: usize = 64;

    pub fn new(id: &[u8]) -> ClientId {
        let mut bytes = [0; ClientId::SIZE];
        debug_assert!(id.len() < ClientId::SIZE);
        let length = id.len().min(ClientId::SIZE - 1);
        bytes[..length].copy_from_slice(&id[..length]);
        ClientId(bytes)
    }

    pub fn as_ptr(&self) -> *const c_char {
        // Text up to a NUL: the last byte is always one.
        self.0.as_ptr().cast()
    }
}
