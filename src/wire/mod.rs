//! The wire format: bytes to messages and back. No I/O.

pub(crate) mod envelope;
pub(crate) mod frame;
pub(crate) mod json;
pub(crate) mod msgpack;
