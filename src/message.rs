//! Messages: an envelope around a payload, immutable and shared.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::envelope::Fields;
use crate::{Payload, Result};

/// What a message is about; the numbers are those of the C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum MessageType {
    /// What the program has to say.
    Data = 0,
    /// Something failed.
    Error = 1,
    /// Something about the conversation itself: `shutdown`, `ping`.
    Control = 2,
}

/// The kind of a value in a payload; the numbers are those of the C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Kind {
    Nil = 0,
    Bool = 1,
    Int = 2,
    Double = 3,
    String = 4,
    Bytes = 5,
    Array = 6,
    Map = 7,
    Ext = 8,
}

/// A value inside a payload, borrowed from its message.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    _msgpack: &'a [u8],
}

impl<'a> Value<'a> {
    pub fn kind(&self) -> Kind {
        todo!()
    }
    /// Elements of an array or map; bytes of a string, binary or ext; None for another kind
    pub fn size(&self) -> Option<usize> {
        todo!()
    }
    pub fn as_i64(&self) -> Option<i64> {
        todo!()
    }
    pub fn as_u64(&self) -> Option<u64> {
        todo!()
    }
    /// A double, or an integer as one.
    pub fn as_f64(&self) -> Option<f64> {
        todo!()
    }
    pub fn as_bool(&self) -> Option<bool> {
        todo!()
    }
    /// Text that is UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        todo!()
    }
    /// Text as it came, UTF-8 or not.
    pub fn as_text(&self) -> Option<&'a [u8]> {
        todo!()
    }
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        todo!()
    }
    /// The value as MessagePack, as it came.
    pub fn msgpack(&self) -> &'a [u8] {
        todo!()
    }
    /// Key `index` of a map, as text (what is no string by its JSON text).
    pub fn key(&self, _index: usize) -> Option<std::borrow::Cow<'a, [u8]>> {
        todo!()
    }
}

/// One message. Cloning it copies no bytes.
#[derive(Debug, Clone)]
pub struct Message(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    _frame: Box<[u8]>,
    _fields: Fields,
}

impl Message {
    /// A message around anything that serializes to a map with string keys.
    pub fn new(
        _event_name: &str,
        _message_type: MessageType,
        _data: &impl Serialize,
    ) -> Result<Message> {
        todo!()
    }
    /// A message around a payload that is MessagePack already: one map with str keys; empty is the empty map
    pub fn from_msgpack(
        _event_name: &str,
        _message_type: MessageType,
        _data: &[u8],
    ) -> Result<Message> {
        todo!()
    }
    pub fn from_json(
        _event_name: &str,
        _message_type: MessageType,
        _json: &str,
    ) -> Result<Message> {
        todo!()
    }
    pub fn from_payload(
        _event_name: &str,
        _message_type: MessageType,
        _payload: &Payload,
    ) -> Result<Message> {
        todo!()
    }
    /// A frame's body as it came from elsewhere.
    pub fn from_envelope(_envelope: &[u8]) -> Result<Message> {
        todo!()
    }
    /// A whole frame (header included) that `wire::envelope::check` found well-formed.
    pub(crate) fn from_frame(_frame: Vec<u8>, _fields: Fields) -> Message {
        todo!()
    }
    /// The same from a borrowed frame; fails only for want of memory.
    pub(crate) fn copy_frame(_frame: &[u8], _fields: Fields) -> Result<Message> {
        todo!()
    }

    pub fn event_name(&self) -> &str {
        todo!()
    }
    pub fn message_type(&self) -> MessageType {
        todo!()
    }
    pub fn timestamp_ms(&self) -> i64 {
        todo!()
    }
    pub fn timestamp_iso(&self) -> &str {
        todo!()
    }
    /// The payload, as MessagePack.
    pub fn data(&self) -> &[u8] {
        todo!()
    }
    pub fn envelope(&self) -> &[u8] {
        todo!()
    }
    /// The whole frame, header included.
    pub(crate) fn frame(&self) -> &[u8] {
        todo!()
    }
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        todo!()
    }
    /// The payload as JSON; made on first use and kept.
    pub fn data_json(&self) -> Result<&str> {
        todo!()
    }
    /// The whole envelope as JSON
    pub fn json(&self) -> Result<&str> {
        todo!()
    }
    /// The value at a JSON Pointer; `""` is the payload itself.
    pub fn get(&self, _pointer: &str) -> Option<Value<'_>> {
        todo!()
    }
}
