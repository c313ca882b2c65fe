//! Values inside a payload.

use std::borrow::Cow;

use crate::wire::json;
use crate::wire::msgpack::{Token, read, skip};
use crate::{Error, Result, pointer};

/// The kind of a value in a payload; the numbers are those of the C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Kind {
    /// Nothing.
    Nil = 0,
    /// True or false.
    Bool = 1,
    /// An integer from -2^63 to 2^64-1.
    Int = 2,
    /// A number of 32 or 64 bits with a fraction.
    Double = 3,
    /// Text.
    String = 4,
    /// Binary data.
    Bytes = 5,
    /// Values by index.
    Array = 6,
    /// Values by key.
    Map = 7,
    /// A MessagePack extension type, the timestamp among them.
    Ext = 8,
}

impl Kind {
    /// The kind in a sentence.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Kind::Nil => "nil",
            Kind::Bool => "a boolean",
            Kind::Int => "an integer",
            Kind::Double => "a double",
            Kind::String => "a string",
            Kind::Bytes => "binary data",
            Kind::Array => "an array",
            Kind::Map => "a map",
            Kind::Ext => "an ext",
        }
    }
}

/// A value inside a payload, borrowed from its message.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    msgpack: &'a [u8],
}

impl<'a> Value<'a> {
    /// The value of well-formed MessagePack.
    pub(crate) fn new(msgpack: &'a [u8]) -> Value<'a> {
        Value { msgpack }
    }

    /// What kind of value it is.
    pub fn kind(&self) -> Kind {
        match self.token() {
            Token::Nil => Kind::Nil,
            Token::Bool(_) => Kind::Bool,
            Token::Uint(_) | Token::Int(_) => Kind::Int,
            Token::Float32(_) | Token::Float64(_) => Kind::Double,
            Token::Str(_) => Kind::String,
            Token::Bin(_) => Kind::Bytes,
            Token::Array(_) => Kind::Array,
            Token::Map(_) => Kind::Map,
            Token::Ext(..) => Kind::Ext,
        }
    }

    /// Elements of an array, pairs of a map, or bytes of a string, binary or ext; `None` for
    /// another kind.
    pub fn size(&self) -> Option<usize> {
        match self.token() {
            Token::Array(count) | Token::Map(count) => Some(count as usize),
            Token::Str(bytes) | Token::Bin(bytes) | Token::Ext(_, bytes) => Some(bytes.len()),
            _ => None,
        }
    }

    /// An integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.token() {
            Token::Int(number) => Some(number),
            Token::Uint(number) => number.try_into().ok(),
            _ => None,
        }
    }

    /// An integer that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self.token() {
            Token::Int(number) => number.try_into().ok(),
            Token::Uint(number) => Some(number),
            _ => None,
        }
    }

    /// A double, or an integer as one (the nearest, beyond 2^53).
    pub fn as_f64(&self) -> Option<f64> {
        match self.token() {
            Token::Float32(number) => Some(number.into()),
            Token::Float64(number) => Some(number),
            Token::Int(number) => Some(number as f64),
            Token::Uint(number) => Some(number as f64),
            _ => None,
        }
    }

    /// True or false.
    pub fn as_bool(&self) -> Option<bool> {
        match self.token() {
            Token::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// Text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        str::from_utf8(self.as_text()?).ok()
    }

    /// Text as it came, UTF-8 or not.
    pub fn as_text(&self) -> Option<&'a [u8]> {
        match self.token() {
            Token::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Binary data.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self.token() {
            Token::Bin(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value as MessagePack, as it came.
    pub fn msgpack(&self) -> &'a [u8] {
        self.msgpack
    }

    /// Key number `index` of a map, as text (what is no string by its JSON text). `None` for
    /// another kind, when there is no such key, and for a key that has no JSON text: a map with
    /// keys that are maps with such keys, more than 4 deep. To see every key, count to
    /// [`size`](Self::size) rather than to the first `None`.
    pub fn key(&self, index: usize) -> Option<Cow<'a, [u8]>> {
        let at = self.pair(index, (0, self.first_element()))?;
        key_text(&self.msgpack[at..]).ok()
    }

    /// The value at a JSON Pointer; `None` when nothing is there.
    pub(crate) fn find(&self, pointer: &str) -> Result<Option<Value<'a>>> {
        let mut found = 0..self.msgpack.len();
        for token in pointer::tokens(pointer)? {
            match pointer::element(self.msgpack, found, &token) {
                Some(inside) => found = inside,
                None => return Ok(None),
            }
        }
        Ok(Some(Value::new(&self.msgpack[found])))
    }

    /// The value at a JSON Pointer, read by `read`; `wanted` says what that takes.
    pub(crate) fn read_at<T>(
        &self,
        pointer: &str,
        wanted: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<T> {
        let value = self.at(pointer)?;
        read(value).ok_or_else(|| {
            let shown = match value.token() {
                Token::Int(number) => number.to_string(),
                Token::Uint(number) => number.to_string(),
                _ => value.kind().described().to_owned(),
            };
            Error::invalid(format!("The value at '{pointer}' is {shown}, not {wanted}"))
        })
    }

    /// The value at a JSON Pointer, which must be there.
    pub(crate) fn at(&self, pointer: &str) -> Result<Value<'a>> {
        self.find(pointer)?
            .ok_or_else(|| Error::invalid(format!("There is no value at '{pointer}'")))
    }

    /// Where pair number `index` of a map begins, counted from a pair whose place is known.
    pub(crate) fn pair(&self, index: usize, known: (usize, usize)) -> Option<usize> {
        match self.token() {
            Token::Map(pairs) if index < pairs as usize => {}
            _ => return None,
        }
        let (mut here, mut at) = known;
        while here < index {
            at = skip(self.msgpack, skip(self.msgpack, at, usize::MAX).ok()?, usize::MAX).ok()?;
            here += 1;
        }
        Some(at)
    }

    /// Where the first element of an array or map begins.
    pub(crate) fn first_element(&self) -> usize {
        read(self.msgpack, 0).map_or(0, |(_, next)| next)
    }

    fn token(&self) -> Token<'a> {
        // A value is only ever made of MessagePack that was checked.
        read(self.msgpack, 0).map_or(Token::Nil, |(token, _)| token)
    }
}

/// The key at the head of `msgpack` as text: what is no string by its JSON text.
pub(crate) fn key_text(msgpack: &[u8]) -> Result<Cow<'_, [u8]>> {
    match read(msgpack, 0) {
        Ok((Token::Str(text), _)) => Ok(text.into()),
        _ => {
            let end = skip(msgpack, 0, usize::MAX).unwrap_or(0);
            Ok(json::to_json(&msgpack[..end])?.into_bytes().into())
        }
    }
}
