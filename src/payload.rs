//! A payload built by path, without escaping anything by hand.

use std::borrow::Cow;
use std::ops::Range;

use rmp::encode;

use crate::message::MAX_DEPTH;
use crate::value::Value;
use crate::wire::envelope::check_payload;
use crate::wire::json;
use crate::wire::msgpack::{TOO_DEEP, Token, read, skip};
use crate::{Error, Result, Status, pointer};

/// A payload under construction: one map, filled value by value.
///
/// A place is named by a JSON Pointer such as `/steps/0/name`. Parents that are missing are made:
/// a map, or an array where the next token is `-`, which appends to an array (`/steps/-/name` is
/// one new map in `steps`; in a map `-` is a key like another). Setting replaces what was there,
/// whole maps too; the pointer `""` replaces the payload itself and takes a map only.
///
/// # Errors
/// Every `set_…` can fail, and then has changed nothing:
/// - [`Status::Invalid`]: the pointer is no JSON Pointer, leads through a value that is neither
///   map nor array, or names an element that its array does not have.
/// - [`Status::Message`]: the value would be nested deeper than 128 levels, or what is to be JSON
///   or MessagePack is malformed.
/// - [`Status::NoMemory`]
#[derive(Debug, Clone)]
pub struct Payload {
    /// One well-formed map with str keys.
    msgpack: Vec<u8>,
}

impl Default for Payload {
    fn default() -> Payload {
        Payload::new()
    }
}

impl Payload {
    /// An empty map.
    pub fn new() -> Payload {
        Payload { msgpack: vec![0x80] }
    }

    /// Sets an integer.
    pub fn set_int(&mut self, pointer: &str, value: i64) -> Result<()> {
        self.set(pointer, &small(|out| encode::write_sint(out, value).map(drop)))
    }

    /// Sets an integer.
    pub fn set_uint(&mut self, pointer: &str, value: u64) -> Result<()> {
        self.set(pointer, &small(|out| encode::write_uint(out, value).map(drop)))
    }

    /// Sets a number with a fraction.
    pub fn set_double(&mut self, pointer: &str, value: f64) -> Result<()> {
        self.set(pointer, &small(|out| encode::write_f64(out, value)))
    }

    /// Sets true or false.
    pub fn set_bool(&mut self, pointer: &str, value: bool) -> Result<()> {
        self.set(pointer, if value { &[0xc3] } else { &[0xc2] })
    }

    /// Sets a text.
    pub fn set_string(&mut self, pointer: &str, value: &str) -> Result<()> {
        let len = length_of("text", value.len())?;
        let head = small(|out| encode::write_str_len(out, len).map(drop));
        self.set(pointer, &joined(&head, value.as_bytes())?)
    }

    /// Sets binary data.
    pub fn set_bytes(&mut self, pointer: &str, value: &[u8]) -> Result<()> {
        let len = length_of("binary data", value.len())?;
        let head = small(|out| encode::write_bin_len(out, len).map(drop));
        self.set(pointer, &joined(&head, value)?)
    }

    /// Sets nil, which is null in JSON.
    pub fn set_null(&mut self, pointer: &str) -> Result<()> {
        self.set(pointer, &[0xc0])
    }

    /// Sets any JSON value.
    pub fn set_json(&mut self, pointer: &str, json: &str) -> Result<()> {
        self.set(pointer, &json::value_from_json(json, MAX_DEPTH)?)
    }

    /// Sets any value: one of MessagePack, kept as it is.
    pub fn set_msgpack(&mut self, pointer: &str, value: &[u8]) -> Result<()> {
        self.set(pointer, value)
    }

    /// The payload as MessagePack.
    pub fn as_msgpack(&self) -> &[u8] {
        &self.msgpack
    }

    /// A copy of the same; fails only for want of memory.
    pub(crate) fn to_msgpack(&self) -> Result<Vec<u8>> {
        joined(&self.msgpack, &[])
    }

    fn set(&mut self, pointer: &str, value: &[u8]) -> Result<()> {
        let tokens: Vec<Cow<str>> = pointer::tokens(pointer)?.collect();
        if tokens.is_empty() {
            return self.set_whole(value);
        }
        check_value(pointer, tokens.len(), value)?;
        let mut here = 0..self.msgpack.len();
        for (depth, token) in tokens.iter().enumerate() {
            match pointer::element(&self.msgpack, here.clone(), token) {
                Some(inside) => here = inside,
                None => return self.append(pointer, here, &tokens[depth..], value),
            }
        }
        reserve(&mut self.msgpack, value.len())?;
        self.msgpack.splice(here, value.iter().copied());
        Ok(())
    }

    fn set_whole(&mut self, value: &[u8]) -> Result<()> {
        if !matches!(read(value, 0), Ok((Token::Map(_), _))) {
            return Err(Error::invalid(
                "The pointer \"\" is the payload itself: it takes a map only",
            ));
        }
        check_payload(value, MAX_DEPTH)?;
        self.msgpack = joined(value, &[])?;
        Ok(())
    }

    /// Appends to the map or array at `container` what `tokens` lead to from there.
    fn append(
        &mut self,
        pointer: &str,
        container: Range<usize>,
        tokens: &[Cow<str>],
        value: &[u8],
    ) -> Result<()> {
        let mut entry = Vec::new();
        let size = value.len() + tokens.iter().map(|token| token.len() + 6).sum::<usize>();
        reserve(&mut entry, size)?;
        // Writing to a Vec cannot fail; the keys are shorter than 4 GiB, or there were no memory.
        let (head, elements) = match read(&self.msgpack, container.start) {
            Ok((Token::Map(pairs), elements)) => {
                let _ = encode::write_str(&mut entry, &tokens[0]);
                (small(|out| encode::write_map_len(out, pairs + 1).map(drop)), elements)
            }
            Ok((Token::Array(count), elements)) if tokens[0] == "-" => {
                (small(|out| encode::write_array_len(out, count + 1).map(drop)), elements)
            }
            _ => return Err(no_place(pointer, &tokens[0], &self.msgpack[container])),
        };
        for token in &tokens[1..] {
            if token == "-" {
                entry.push(0x91);
            } else {
                entry.push(0x81);
                let _ = encode::write_str(&mut entry, token);
            }
        }
        entry.extend_from_slice(value);
        reserve(&mut self.msgpack, entry.len() + head.len())?;
        self.msgpack.splice(container.end..container.end, entry);
        self.msgpack.splice(container.start..elements, head);
        Ok(())
    }
}

/// Checks that `value` is one value of MessagePack that may stand `depth` levels down.
fn check_value(pointer: &str, depth: usize, value: &[u8]) -> Result<()> {
    let error = |reason: &str| Error::new(Status::Message, format!("At '{pointer}': {reason}"));
    let too_deep =
        || error(&format!("a payload has at most {MAX_DEPTH} levels of maps and arrays"));
    let Some(levels) = MAX_DEPTH.checked_sub(depth) else {
        return Err(too_deep());
    };
    match skip(value, 0, levels) {
        Ok(end) if end == value.len() => Ok(()),
        Ok(_) => Err(error("the MessagePack is more than one value")),
        Err(TOO_DEEP) => Err(too_deep()),
        Err(reason) => Err(error(&format!("the MessagePack is malformed: {reason}"))),
    }
}

/// Why `container` has no place for `token`.
fn no_place(pointer: &str, token: &str, container: &[u8]) -> Error {
    let container = Value::new(container);
    Error::invalid(match container.size() {
        Some(count) if container.kind() == crate::Kind::Array => format!(
            "Cannot set '{pointer}': the array has no element '{token}' ({count} elements, \
             counted from 0; \"-\" appends)"
        ),
        _ => format!(
            "Cannot set '{pointer}': what should hold '{token}' is {}, neither a map nor an array",
            container.kind().described()
        ),
    })
}

/// A few bytes of MessagePack.
fn small(
    write: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), encode::ValueWriteError>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(9);
    // Writing to a Vec cannot fail.
    let _ = write(&mut out);
    out
}

fn length_of(what: &str, len: usize) -> Result<u32> {
    len.try_into().map_err(|_| {
        Error::new(Status::Message, format!("The {what} has {len} bytes; MessagePack allows 4 GiB"))
    })
}

fn joined(head: &[u8], tail: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    reserve(&mut whole, head.len() + tail.len())?;
    whole.extend_from_slice(head);
    whole.extend_from_slice(tail);
    Ok(whole)
}

fn reserve(bytes: &mut Vec<u8>, more: usize) -> Result<()> {
    bytes.try_reserve(more).map_err(|_| Error::no_memory(bytes.len() + more))
}

#[cfg(test)]
mod tests;
