//! The envelope: one MessagePack map around every payload.

use std::ops::Range;

use crate::timestamp::Stamp;
use crate::{MessageType, Result};

/// Where the fields of an envelope stand, as offsets from the start of its frame (header included).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields {
    pub event_name: Range<u32>,
    pub timestamp_iso: Range<u32>,
    pub data: Range<u32>,
    pub timestamp_ms: i64,
    pub message_type: MessageType,
}

/// Checks the envelope in a whole frame (header included) and finds its fields.
/// The error says what is wrong with it.
pub(crate) fn check(_frame: &[u8], _max_depth: usize) -> std::result::Result<Fields, &'static str> {
    todo!()
}

/// Checks that `data` is one map with str keys, nested no deeper than `max_depth`.
pub(crate) fn check_payload(_data: &[u8], _max_depth: usize) -> Result<()> {
    todo!()
}

/// The envelope of one event and type, with only the stamp, the lengths and the payload missing.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    _bytes: Vec<u8>,
}

impl Template {
    pub fn new(_event_name: &str, _message_type: MessageType) -> Template {
        todo!()
    }

    /// Bytes of everything in a frame that stands before the payload, header included.
    pub fn head_len(&self) -> usize {
        todo!()
    }

    /// Appends that head, for a payload of `data_len` bytes that follows.
    pub fn write_head(&self, _stamp: &Stamp, _data_len: usize, _out: &mut Vec<u8>) {
        todo!()
    }
}
