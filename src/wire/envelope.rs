//! The envelope: one MessagePack map around every payload.

use std::ops::Range;

use super::frame::HEADER;
use super::msgpack::{Reason, TOO_DEEP, Token, read, short_str, skip};
use crate::timestamp::{Iso, Stamp};
use crate::{Error, MessageType, Result, Status};

/// Where the fields of an envelope stand, as offsets from the start of its frame (header included).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields {
    pub event_name: Range<u32>,
    pub timestamp_iso: Range<u32>,
    pub data: Range<u32>,
    pub timestamp_ms: i64,
    pub message_type: MessageType,
}

/// What stands before the event's name in a frame of our own, after the header.
const BEGIN: &[u8; 12] = b"\x85\xaaevent_name";
const TIMESTAMP_MS: &[u8; 13] = b"\xactimestamp_ms";
const TIMESTAMP_ISO: &[u8; 14] = b"\xadtimestamp_iso";
const MESSAGE_TYPE: &[u8; 13] = b"\xacmessage_type";
const DATA: &[u8; 5] = b"\xa4data";
const EMPTY_MAP: &[u8] = &[0x80];

/// Bytes between the event's name and the type in a usual frame: two stamps with their keys, and the
/// key of the type.
const STAMPS: usize =
    TIMESTAMP_MS.len() + 9 + TIMESTAMP_ISO.len() + 2 + Iso::USUAL_LEN + MESSAGE_TYPE.len();

/// At least what a usual head takes beside the name of the event.
const USUAL_HEAD: usize = 120;

/// The longest body whose frame is still counted in 32 bits.
pub(crate) const LONGEST_BODY: usize = u32::MAX as usize - HEADER;

const TRAILING: Reason = "bytes are left over behind it";

/// Checks the envelope in a whole frame (header included) and finds its fields.
/// The error says what is wrong with it.
#[inline]
pub(crate) fn check(frame: &[u8], max_depth: usize) -> std::result::Result<Fields, Reason> {
    if u32::try_from(frame.len()).is_err() {
        return Err("it is larger than 4 GiB");
    }
    match check_usual(frame, max_depth) {
        Some(fields) => Ok(fields),
        None => check_any_order(frame, max_depth),
    }
}

/// The same, for a frame of less than 4 GiB that is laid out as ours are and has nothing wrong with
/// it; else `None`, and [`check`] tells more.
#[inline(always)]
pub(crate) fn check_usual(frame: &[u8], max_depth: usize) -> Option<Fields> {
    let mut fields = usual_head(frame)?;
    let end = skip_data(frame, fields.data.start as usize, max_depth).ok()?;
    fields.data.end = end as u32;
    (end == frame.len()).then_some(fields)
}

/// The fields of an envelope that is laid out as ours are, up to where its data begins; `None`
/// says only that it is laid out in another way.
#[inline(always)]
fn usual_head(frame: &[u8]) -> Option<Fields> {
    let at = expect(frame, HEADER, BEGIN)?;
    let (event_name, name_end) = short_str(frame, at)?;
    let stamps: &[u8; STAMPS] = frame.get(name_end..)?.first_chunk()?;
    let (ms_key, rest) = stamps.split_first_chunk::<14>()?;
    let (timestamp_ms, rest) = rest.split_first_chunk::<8>()?;
    let (iso_key, rest) = rest.split_first_chunk::<16>()?;
    let (timestamp_iso, type_key) = rest.split_first_chunk::<{ Iso::USUAL_LEN }>()?;
    if ms_key != b"\xactimestamp_ms\xcf"
        || iso_key != b"\xadtimestamp_iso\xd9\x20"
        || type_key != MESSAGE_TYPE
        || !timestamp_iso.is_ascii()
        || !event_name.is_ascii()
    {
        return None;
    }
    let at = name_end + STAMPS;
    let (message_type, data) = match frame.get(at)? {
        0xa4 => (MessageType::Data, expect(frame, at, b"\xa4data\xa4data")?),
        0xa5 => (MessageType::Error, expect(frame, at, b"\xa5error\xa4data")?),
        _ => (MessageType::Control, expect(frame, at, b"\xa7control\xa4data")?),
    };
    let iso = name_end + STAMPS - MESSAGE_TYPE.len() - Iso::USUAL_LEN;
    Some(Fields {
        event_name: (name_end - event_name.len()) as u32..name_end as u32,
        timestamp_iso: iso as u32..(iso + Iso::USUAL_LEN) as u32,
        data: data as u32..data as u32,
        timestamp_ms: i64::try_from(u64::from_be_bytes(*timestamp_ms)).ok()?,
        message_type,
    })
}

#[inline(always)]
fn expect<const N: usize>(frame: &[u8], at: usize, bytes: &[u8; N]) -> Option<usize> {
    (frame.get(at..)?.first_chunk::<N>()? == bytes).then_some(at + N)
}

/// The same for keys in any order, in any encoding, among others that are not known.
#[inline(never)]
fn check_any_order(frame: &[u8], max_depth: usize) -> std::result::Result<Fields, Reason> {
    let (Token::Map(pairs), mut at) = read(frame, HEADER)? else {
        return Err("it is no map");
    };
    let mut event_name = None;
    let mut timestamp_ms = None;
    let mut timestamp_iso = None;
    let mut message_type = None;
    let mut data = None;
    for _ in 0..pairs {
        let value = skip(frame, at, max_depth)?;
        let known = match read(frame, at)?.0 {
            Token::Str(key) => key,
            _ => b"",
        };
        at = if known == b"data" {
            skip_data(frame, value, max_depth)?
        } else {
            skip(frame, value, max_depth)?
        };
        let token = read(frame, value)?.0;
        match (known, token) {
            (b"event_name", Token::Str(text)) => {
                set(&mut event_name, text_range(text, at).ok_or("`event_name` is not UTF-8")?)?
            }
            (b"event_name", _) => return Err("`event_name` is no str"),
            (b"timestamp_ms", Token::Int(ms)) => set(&mut timestamp_ms, ms)?,
            (b"timestamp_ms", Token::Uint(ms)) => {
                let ms = ms.try_into().map_err(|_| "`timestamp_ms` exceeds 64 signed bits")?;
                set(&mut timestamp_ms, ms)?
            }
            (b"timestamp_ms", _) => return Err("`timestamp_ms` is no integer"),
            (b"timestamp_iso", Token::Str(text)) => set(
                &mut timestamp_iso,
                text_range(text, at).ok_or("`timestamp_iso` is not UTF-8")?,
            )?,
            (b"timestamp_iso", _) => return Err("`timestamp_iso` is no str"),
            (b"message_type", Token::Str(text)) => {
                let known = MessageType::from_wire(text);
                set(&mut message_type, known.ok_or("`message_type` is none that we know")?)?
            }
            (b"message_type", _) => return Err("`message_type` is no str"),
            (b"data", _) => set(&mut data, value as u32..at as u32)?,
            _ => {}
        }
    }
    if at != frame.len() {
        return Err(TRAILING);
    }
    Ok(Fields {
        event_name: event_name.ok_or("`event_name` is missing")?,
        timestamp_ms: timestamp_ms.ok_or("`timestamp_ms` is missing")?,
        timestamp_iso: timestamp_iso.ok_or("`timestamp_iso` is missing")?,
        message_type: message_type.ok_or("`message_type` is missing")?,
        data: data.ok_or("`data` is missing")?,
    })
}

fn set<T>(field: &mut Option<T>, value: T) -> std::result::Result<(), Reason> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err("one of its keys is there twice"),
    }
}

/// Where text that ends at `end` stands, if it is UTF-8.
fn text_range(text: &[u8], end: usize) -> Option<Range<u32>> {
    str::from_utf8(text).is_ok().then_some((end - text.len()) as u32..end as u32)
}

/// Where the payload at `at` ends: a map with str keys.
#[inline(always)]
fn skip_data(bytes: &[u8], at: usize, max_depth: usize) -> std::result::Result<usize, Reason> {
    let (Token::Map(pairs), mut at) = read(bytes, at)? else {
        return Err("the payload is no map");
    };
    let Some(depth_left) = max_depth.checked_sub(1) else {
        return Err(TOO_DEEP);
    };
    for _ in 0..pairs {
        let value = match short_str(bytes, at) {
            Some((_, value)) => value,
            None => match read(bytes, at)? {
                (Token::Str(_), value) => value,
                _ => return Err("the payload has a key that is no str"),
            },
        };
        at = skip(bytes, value, depth_left)?;
    }
    Ok(at)
}

/// Checks that `data` is one map with str keys, nested no deeper than `max_depth`, and returns
/// what is to be sent for it: nothing at all stands for the empty map.
#[inline(always)]
pub(crate) fn check_payload(data: &[u8], max_depth: usize) -> Result<&[u8]> {
    if data.is_empty() {
        return Ok(EMPTY_MAP);
    }
    let reason = match skip_data(data, 0, max_depth) {
        Ok(end) if end == data.len() => return Ok(data),
        Ok(_) => TRAILING,
        Err(reason) => reason,
    };
    Err(Error::new(
        Status::Message,
        format!(
            "The payload must be one MessagePack map with str keys, at most {max_depth} levels \
             deep: {reason}"
        ),
    ))
}

/// Checks a whole frame that somebody wants to send.
#[inline(always)]
pub(crate) fn check_sendable(frame: &[u8], max_depth: usize) -> Result<()> {
    check(frame, max_depth).map(drop).map_err(|reason| {
        Error::new(Status::Message, format!("The message cannot be sent: {reason}"))
    })
}

#[cold]
pub(crate) fn too_large(body: usize, limit: usize) -> Error {
    Error::new(
        Status::Message,
        format!(
            "A message of {body} bytes is larger than max_message_size ({limit}): send less at \
             once, or raise that option on both sides"
        ),
    )
}

/// The envelope of one event and type, with only the stamp, the lengths and the payload missing.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// A usual head with zeros where length and stamp belong.
    bytes: Vec<u8>,
    event_name: Range<u32>,
    timestamp_ms: usize,
    timestamp_iso: usize,
    message_type: MessageType,
}

impl Template {
    pub fn new(event_name: &str, message_type: MessageType) -> Template {
        let mut bytes = Vec::with_capacity(USUAL_HEAD + event_name.len());
        bytes.extend_from_slice(&[0; HEADER]);
        bytes.extend_from_slice(BEGIN);
        write_str(&mut bytes, event_name);
        let name_end = bytes.len();
        bytes.extend_from_slice(TIMESTAMP_MS);
        bytes.extend_from_slice(&[0xcf, 0, 0, 0, 0, 0, 0, 0, 0]);
        let timestamp_ms = bytes.len() - 8;
        bytes.extend_from_slice(TIMESTAMP_ISO);
        write_str(&mut bytes, str::from_utf8(&[0; Iso::USUAL_LEN]).unwrap_or_default());
        let timestamp_iso = bytes.len() - Iso::USUAL_LEN;
        bytes.extend_from_slice(MESSAGE_TYPE);
        write_str(&mut bytes, message_type.wire_name());
        bytes.extend_from_slice(DATA);
        let event_name = (name_end - event_name.len()) as u32..name_end as u32;
        Template { bytes, event_name, timestamp_ms, timestamp_iso, message_type }
    }

    /// Bytes of everything in a frame that stands before the payload, header included, for any
    /// stamp of the years 1971 to 9999 in a zone whose offset is whole minutes.
    pub fn head_len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends that head, for a payload of `data_len` bytes that follows, and returns where the
    /// fields of this frame stand. The caller has made sure that the body stays within
    /// [`LONGEST_BODY`].
    #[inline(always)]
    pub fn write_head(&self, stamp: &Stamp, data_len: usize, out: &mut Vec<u8>) -> Fields {
        let start = out.len();
        let iso_len = if stamp.is_usual() {
            out.extend_from_slice(&self.bytes);
            let head = &mut out[start..];
            head[self.timestamp_ms..][..8].copy_from_slice(&stamp.ms.to_be_bytes());
            if let Some(iso) = head[self.timestamp_iso..].first_chunk_mut() {
                stamp.write_usual_iso(iso);
            }
            Iso::USUAL_LEN
        } else {
            self.write_unusual_head(stamp, out)
        };
        let head_len = out.len() - start;
        let body_len = (head_len + data_len - HEADER) as u32;
        out[start..][..HEADER].copy_from_slice(&body_len.to_be_bytes());
        let iso_end = head_len - self.behind_stamp().len();
        Fields {
            event_name: self.event_name.clone(),
            timestamp_iso: (iso_end - iso_len) as u32..iso_end as u32,
            data: head_len as u32..(head_len + data_len) as u32,
            timestamp_ms: stamp.ms,
            message_type: self.message_type,
        }
    }

    /// The same for a stamp whose encoding has another length than usual; returns that of its text.
    #[cold]
    fn write_unusual_head(&self, stamp: &Stamp, out: &mut Vec<u8>) -> usize {
        let iso = stamp.iso();
        out.extend_from_slice(&self.bytes[..self.timestamp_ms - 1]);
        // Writing to a Vec cannot fail.
        let _ = rmp::encode::write_sint(out, stamp.ms);
        out.extend_from_slice(TIMESTAMP_ISO);
        write_str(out, iso.as_str());
        out.extend_from_slice(self.behind_stamp());
        iso.as_bytes().len()
    }

    fn behind_stamp(&self) -> &[u8] {
        &self.bytes[self.timestamp_iso + Iso::USUAL_LEN..]
    }
}

fn write_str(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec cannot fail.
    let _ = rmp::encode::write_str(out, text);
}

#[cfg(test)]
mod tests;
