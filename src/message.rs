//! Messages: an envelope around a payload, immutable and shared.

mod missed;
mod serialize;
mod shared;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub(crate) use missed::Missed;
pub(crate) use serialize::serialize;
pub(crate) use shared::Shared;

use crate::texts::{Text, Texts, Walk};
use crate::timestamp::{Stamp, configured_now};
use crate::value::{Value, key_text};
use crate::wire::envelope::{self, Fields, LONGEST_BODY, Template};
use crate::wire::frame::{FrameBuffer, HEADER, LARGE};
use crate::wire::json;
use crate::wire::msgpack::Reason;
use crate::{Error, Kind, Payload, Result, Status, validate_event_name};

/// Levels of maps and arrays in a payload that was not given to a server or client yet, which
/// have their own `max_depth`.
pub(crate) const MAX_DEPTH: usize = 128;

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

impl MessageType {
    /// The type as it is written in an envelope.
    pub(crate) fn wire_name(self) -> &'static str {
        match self {
            MessageType::Data => "data",
            MessageType::Error => "error",
            MessageType::Control => "control",
        }
    }

    pub(crate) fn from_wire(name: &[u8]) -> Option<MessageType> {
        match name {
            b"data" => Some(MessageType::Data),
            b"error" => Some(MessageType::Error),
            b"control" => Some(MessageType::Control),
            _ => None,
        }
    }
}

/// One message: immutable, and shared by its clones, which copy no bytes.
#[derive(Debug, Clone)]
pub struct Message(Shared);

/// What the clones of a message share; the C API hands out pointers to it.
#[derive(Debug)]
pub(crate) struct Inner {
    frame: Vec<u8>,
    fields: Fields,
    texts: Texts,
}

impl Message {
    /// A message around anything that serializes to a map with string keys, a struct with named
    /// fields for one. Both timestamps are now, in the configured time zone.
    ///
    /// # Errors
    /// - [`Status::Invalid`]: the event's name is not allowed (see [`validate_event_name`]).
    /// - [`Status::Message`]: `data` is no map with string keys, is nested deeper than 128 levels,
    ///   or cannot be serialized.
    /// - [`Status::NoMemory`]
    pub fn new(
        event_name: &str,
        message_type: MessageType,
        data: &impl Serialize,
    ) -> Result<Message> {
        validate_event_name(event_name)?;
        Message::from_msgpack(event_name, message_type, &serialize(data)?)
    }

    /// A message around a payload that is MessagePack already: one map with str keys (further
    /// down any key), at most 128 levels deep; nothing at all stands for the empty map.
    ///
    /// # Errors
    /// Those of [`Message::new`].
    pub fn from_msgpack(
        event_name: &str,
        message_type: MessageType,
        data: &[u8],
    ) -> Result<Message> {
        validate_event_name(event_name)?;
        let data = envelope::check_payload(data, MAX_DEPTH)?;
        Message::compose(event_name, message_type, data, &configured_now())
    }

    /// A message around a JSON object. Key order is kept, and of equal keys the last wins.
    ///
    /// # Errors
    /// [`Status::Message`], with line and column, when `json` is not one object, has an integer
    /// outside -2^63 to 2^64-1, or is nested deeper than 128 levels; else those of [`Message::new`].
    pub fn from_json(event_name: &str, message_type: MessageType, json: &str) -> Result<Message> {
        validate_event_name(event_name)?;
        let data = json::object_from_json(json, MAX_DEPTH)?;
        Message::compose(event_name, message_type, &data, &configured_now())
    }

    /// A message around a payload as it is now; the payload may be changed and sent again.
    ///
    /// # Errors
    /// Those of [`Message::new`].
    pub fn from_payload(
        event_name: &str,
        message_type: MessageType,
        payload: &Payload,
    ) -> Result<Message> {
        validate_event_name(event_name)?;
        Message::compose(event_name, message_type, payload.as_msgpack(), &configured_now())
    }

    /// A frame's body as it came from elsewhere, for relays and recorders: kept and sent byte for
    /// byte, with its name, timestamps, key order and unknown keys.
    ///
    /// # Errors
    /// [`Status::Message`] when it is no well-formed envelope: the error says what is wrong.
    pub fn from_envelope(envelope: &[u8]) -> Result<Message> {
        let mut frame = new_frame(envelope.len())?;
        frame.extend_from_slice(&(envelope.len() as u32).to_be_bytes());
        frame.extend_from_slice(envelope);
        let fields = envelope::check(&frame, MAX_DEPTH).map_err(|reason| {
            Error::new(Status::Message, format!("The envelope is malformed: {reason}"))
        })?;
        Message::from_frame(frame, fields)
    }

    /// A whole frame (header included) that `wire::envelope::check` found well-formed; fails only
    /// for want of memory.
    fn from_frame(frame: Vec<u8>, fields: Fields) -> Result<Message> {
        Shared::new(|| Ok(frame), fields).map(Message)
    }

    /// The same from a borrowed frame.
    #[inline(always)]
    pub(crate) fn copy_frame(frame: &[u8], fields: Fields) -> Result<Message> {
        Shared::copy(frame, fields).map(Message)
    }

    /// Takes the frame at the head of a buffer, whose body has the length that `cut` found, or the
    /// reason why it is no message. Without memory for the message the frame stays.
    #[inline(always)]
    pub(crate) fn take_from(
        buffer: &mut FrameBuffer,
        body: usize,
        max_depth: usize,
    ) -> Result<std::result::Result<Message, Reason>> {
        if HEADER + body >= LARGE {
            return Message::take_large(buffer, body, max_depth);
        }
        let frame = buffer.frame(body);
        let taken = match envelope::check_usual(frame, max_depth) {
            Some(fields) => Ok(Message::copy_frame(frame, fields)?),
            None => Message::copy_unusual(frame, max_depth)?,
        };
        buffer.pass(body);
        Ok(taken)
    }

    #[inline(never)]
    fn copy_unusual(
        frame: &[u8],
        max_depth: usize,
    ) -> Result<std::result::Result<Message, Reason>> {
        match envelope::check(frame, max_depth) {
            Ok(fields) => Message::copy_frame(frame, fields).map(Ok),
            Err(reason) => Ok(Err(reason)),
        }
    }

    #[inline(never)]
    fn take_large(
        buffer: &mut FrameBuffer,
        body: usize,
        max_depth: usize,
    ) -> Result<std::result::Result<Message, Reason>> {
        match envelope::check(buffer.frame(body), max_depth) {
            Ok(fields) => Shared::new(|| buffer.take(body), fields).map(Message).map(Ok),
            Err(reason) => {
                buffer.pass(body);
                Ok(Err(reason))
            }
        }
    }

    /// A message around a payload and a name that were checked.
    pub(crate) fn compose(
        event_name: &str,
        message_type: MessageType,
        data: &[u8],
        stamp: &Stamp,
    ) -> Result<Message> {
        let template = Template::new(event_name, message_type);
        let mut frame = new_frame(template.head_len() - HEADER + data.len())?;
        let fields = template.write_head(stamp, data.len(), &mut frame);
        frame.extend_from_slice(data);
        Message::from_frame(frame, fields)
    }

    /// The shared part, for the C API.
    pub(crate) fn into_shared(self) -> Shared {
        self.0
    }

    /// The same, still held by this message.
    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// The message of a shared part.
    pub(crate) fn from_shared(shared: Shared) -> Message {
        Message(shared)
    }

    /// The event that the message is about. One that came from a peer may have any name.
    pub fn event_name(&self) -> &str {
        self.0.event_name()
    }

    /// What the message is about.
    pub fn message_type(&self) -> MessageType {
        self.0.message_type()
    }

    /// When it was made: Unix time in milliseconds.
    pub fn timestamp_ms(&self) -> i64 {
        self.0.timestamp_ms()
    }

    /// When it was made, in ISO 8601; what came from a peer may be any text.
    pub fn timestamp_iso(&self) -> &str {
        self.0.timestamp_iso()
    }

    /// The payload, as MessagePack.
    pub fn data(&self) -> &[u8] {
        self.0.data()
    }

    /// The whole envelope, as MessagePack: what [`Message::from_envelope`] takes.
    pub fn envelope(&self) -> &[u8] {
        self.0.envelope()
    }

    /// The whole frame, header included.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.0.frame
    }

    /// Reads the payload into a type of the program's own, which may borrow from the message.
    ///
    /// # Errors
    /// [`Status::Message`] when the payload does not fit the type: the error says where.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        rmp_serde::from_slice(self.data()).map_err(|error| {
            let wanted = std::any::type_name::<T>();
            Error::new(Status::Message, format!("The payload cannot be read as {wanted}: {error}"))
        })
    }

    /// The payload as JSON; made on first use and kept.
    ///
    /// 64-bit integers stay exact. Binary becomes base64, a MessagePack timestamp ISO 8601,
    /// another ext `{"type": n, "data": base64}`, NaN and infinities null, a key that is not a
    /// string its JSON text, and bytes that are not UTF-8 U+FFFD.
    ///
    /// # Errors
    /// [`Status::NoMemory`], and [`Status::Message`] for map keys that are maps whose keys are
    /// maps again, and so on, which would take text without end.
    pub fn data_json(&self) -> Result<&str> {
        self.0.data_json()
    }

    /// The whole envelope as JSON, by the rules of [`Message::data_json`]; made on first use and
    /// kept. Keys of the envelope that are not known are left out.
    ///
    /// # Errors
    /// Those of [`Message::data_json`].
    pub fn json(&self) -> Result<&str> {
        self.0.json()
    }

    /// The value at a JSON Pointer such as `"/steps/0/name"`; `""` is the payload itself.
    ///
    /// A key that is not a string is found by its JSON text, and of equal keys the last.
    /// `None` when nothing is there, or when `pointer` is no JSON Pointer.
    pub fn get(&self, pointer: &str) -> Option<Value<'_>> {
        self.0.payload().find(pointer).ok().flatten()
    }
}

impl Inner {
    pub fn event_name(&self) -> &str {
        self.text(&self.fields.event_name)
    }

    pub fn message_type(&self) -> MessageType {
        self.fields.message_type
    }

    pub fn timestamp_ms(&self) -> i64 {
        self.fields.timestamp_ms
    }

    pub fn timestamp_iso(&self) -> &str {
        self.text(&self.fields.timestamp_iso)
    }

    pub fn data(&self) -> &[u8] {
        self.bytes(&self.fields.data)
    }

    pub fn envelope(&self) -> &[u8] {
        &self.frame[HEADER..]
    }

    pub fn data_json(&self) -> Result<&str> {
        self.data_json_c().map(without_nul)
    }

    pub fn json(&self) -> Result<&str> {
        self.json_c().map(without_nul)
    }

    /// These four end with the NUL that C needs; made on first use and kept.
    pub fn event_name_c(&self) -> Result<&str> {
        self.texts.get(Text::EventName, || copy_text(self.event_name()))
    }

    pub fn timestamp_iso_c(&self) -> Result<&str> {
        self.texts.get(Text::TimestampIso, || copy_text(self.timestamp_iso()))
    }

    pub fn data_json_c(&self) -> Result<&str> {
        self.texts.get(Text::DataJson, || json::to_json(self.data()))
    }

    pub fn json_c(&self) -> Result<&str> {
        self.texts.get(Text::Json, || json::envelope_to_json(self.envelope()))
    }

    /// The payload, as the value to walk from.
    pub fn payload(&self) -> Value<'_> {
        Value::new(self.data())
    }

    /// The text at a JSON Pointer, as it came, with a NUL behind it; kept with the message, once
    /// for each value.
    pub fn lend_text(&self, pointer: &str) -> Result<&[u8]> {
        let (value, text) =
            self.payload().read_at(pointer, "a string", |value| Some((value, value.as_text()?)))?;
        // Not by where its text stands: an empty one stands where the next key begins.
        self.texts.lend(self.offset_of(value.msgpack()), text)
    }

    /// Key number `index` of the map at a JSON Pointer, in the same way; what is no string by its
    /// JSON text.
    pub fn lend_key(&self, pointer: &str, index: usize) -> Result<&[u8]> {
        let map = self
            .payload()
            .read_at(pointer, "a map", |value| (value.kind() == Kind::Map).then_some(value))?;
        // A walk over all keys goes on from where it was, or it would take quadratic time.
        let offset = self.offset_of(map.msgpack()) as usize;
        let latest = self.texts.walk();
        let known = if latest.map == offset && latest.index <= index {
            (latest.index, latest.at)
        } else {
            (0, map.first_element())
        };
        let Some(at) = map.pair(index, known) else {
            let size = map.size().unwrap_or(0);
            return Err(Error::invalid(format!(
                "The map at '{pointer}' has no key number {index}: it has {size}, counted from 0"
            )));
        };
        self.texts.set_walk(Walk { map: offset, index, at });
        let key = &map.msgpack()[at..];
        self.texts.lend(self.offset_of(key), &key_text(key)?)
    }

    /// Where in the frame a part of it stands.
    fn offset_of(&self, part: &[u8]) -> u32 {
        (part.as_ptr().addr() - self.frame.as_ptr().addr()) as u32
    }

    fn bytes(&self, range: &Range<u32>) -> &[u8] {
        &self.frame[range.start as usize..range.end as usize]
    }

    fn text(&self, range: &Range<u32>) -> &str {
        // The check of the frame found it to be UTF-8.
        str::from_utf8(self.bytes(range)).unwrap_or_default()
    }
}

/// Memory for a frame whose body is no longer than can be said in its header.
fn new_frame(body: usize) -> Result<Vec<u8>> {
    if body > LONGEST_BODY {
        return Err(Error::new(
            Status::Message,
            format!(
                "A message of {body} bytes is too large: the wire format allows {LONGEST_BODY}"
            ),
        ));
    }
    let mut frame = Vec::new();
    let size = HEADER + body;
    frame.try_reserve_exact(size).map_err(|_| Error::no_memory(size))?;
    Ok(frame)
}

fn copy_text(text: &str) -> Result<String> {
    let mut copy = String::new();
    let size = text.len() + 1;
    copy.try_reserve_exact(size).map_err(|_| Error::no_memory(size))?;
    copy.push_str(text);
    Ok(copy)
}

fn without_nul(text: &str) -> &str {
    &text[..text.len() - 1]
}
