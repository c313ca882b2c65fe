//! MessagePack to JSON.

use std::fmt::Write as _;

use base64::engine::{Engine, general_purpose::STANDARD as BASE64};

use crate::timestamp::utc_text;
use crate::wire::msgpack::{Reason, Token, read, skip};
use crate::{Error, Result, Status};

/// How deep keys may be maps with keys that are maps, and so on. Each level quotes the text of
/// the one below, which doubles its backslashes.
const DEEPEST_KEY: usize = 4;

/// The JSON text of well-formed MessagePack.
pub(crate) fn to_json(msgpack: &[u8]) -> Result<String> {
    let mut out = String::new();
    // Often enough, with what a number asks for at the end.
    reserve(&mut out, msgpack.len() + msgpack.len() / 4 + LONGEST_NUMBER)?;
    print(msgpack, 0, &mut out)?;
    Ok(out)
}

/// The JSON text of a well-formed envelope, without the keys that are not known.
pub(crate) fn envelope_to_json(envelope: &[u8]) -> Result<String> {
    let mut out = String::new();
    let (Token::Map(pairs), mut at) = read(envelope, 0).map_err(malformed)? else {
        return Err(malformed("it is no map"));
    };
    for _ in 0..pairs {
        let value = skip(envelope, at, usize::MAX).map_err(malformed)?;
        let end = skip(envelope, value, usize::MAX).map_err(malformed)?;
        if let Ok((Token::Str(key), _)) = read(envelope, at)
            && is_known(key)
        {
            let before = if out.is_empty() { "{" } else { "," };
            push(&mut out, before)?;
            print(&envelope[at..value], 0, &mut out)?;
            push(&mut out, ":")?;
            print(&envelope[value..end], 0, &mut out)?;
        }
        at = end;
    }
    push(&mut out, "}")?;
    Ok(out)
}

fn is_known(key: &[u8]) -> bool {
    matches!(key, b"event_name" | b"timestamp_ms" | b"timestamp_iso" | b"message_type" | b"data")
}

/// An array or map whose elements are being printed.
struct Open {
    is_map: bool,
    /// Values still to come: a key counts as one, and so does what belongs to it.
    left: u64,
}

/// Prints one value, which stands in a key of a key … `in_keys` times.
fn print(msgpack: &[u8], in_keys: usize, out: &mut String) -> Result<()> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    loop {
        let is_key = open.last().is_some_and(|open| open.is_map && open.left % 2 == 0);
        let (token, next) = read(msgpack, at).map_err(malformed)?;
        let mut opens = None;
        if is_key && !matches!(token, Token::Str(_)) {
            let end = skip(msgpack, at, usize::MAX).map_err(malformed)?;
            print_key(&msgpack[at..end], in_keys, out)?;
            at = end;
        } else {
            print_token(token, out)?;
            opens =
                token.children().map(|left| Open { is_map: matches!(token, Token::Map(_)), left });
            at = next;
        }
        if let Some(opened) = opens {
            let size = size_of::<Open>() * (open.len() + 1);
            open.try_reserve(1).map_err(|_| Error::no_memory(size))?;
            open.push(opened);
        } else if let Some(open) = open.last_mut() {
            open.left -= 1;
            separate(open, out)?;
        }
        // What has ended ends, as an element, a part of what is around it.
        while let Some(ended) = open.pop_if(|open| open.left == 0) {
            push(out, if ended.is_map { "}" } else { "]" })?;
            if let Some(open) = open.last_mut() {
                open.left -= 1;
                separate(open, out)?;
            }
        }
        if open.is_empty() {
            return Ok(());
        }
    }
}

/// What stands behind an element, before the next one.
fn separate(open: &Open, out: &mut String) -> Result<()> {
    match open.left {
        0 => Ok(()),
        left if open.is_map && left % 2 == 1 => push(out, ":"),
        _ => push(out, ","),
    }
}

/// A key that is no string: the text of its JSON, quoted.
fn print_key(key: &[u8], in_keys: usize, out: &mut String) -> Result<()> {
    if in_keys == DEEPEST_KEY {
        return Err(Error::new(
            Status::Message,
            format!(
                "Map keys that are maps with such keys, more than {DEEPEST_KEY} deep, cannot be \
                 written as JSON"
            ),
        ));
    }
    let mut text = String::new();
    print(key, in_keys + 1, &mut text)?;
    print_text(text.as_bytes(), out)
}

/// A scalar, or what an array or map begins with.
fn print_token(token: Token, out: &mut String) -> Result<()> {
    match token {
        Token::Nil => push(out, "null"),
        Token::Bool(true) => push(out, "true"),
        Token::Bool(false) => push(out, "false"),
        Token::Uint(number) => push_number(out, format_args!("{number}")),
        Token::Int(number) => push_number(out, format_args!("{number}")),
        // The shortest digits that read back as the same number of 32 or 64 bits.
        Token::Float32(number) if number.is_finite() => {
            push_number(out, format_args!("{number:?}"))
        }
        Token::Float64(number) if number.is_finite() => {
            push_number(out, format_args!("{number:?}"))
        }
        Token::Float32(_) | Token::Float64(_) => push(out, "null"),
        Token::Str(text) => print_text(text, out),
        Token::Bin(bytes) => print_base64(bytes, out),
        Token::Ext(kind, bytes) => match timestamp(kind, bytes) {
            Some((second, nanosecond)) => {
                push_number(out, format_args!("\"{}\"", utc_text(second, nanosecond)))
            }
            None => {
                push_number(out, format_args!("{{\"type\":{kind},\"data\":"))?;
                print_base64(bytes, out)?;
                push(out, "}")
            }
        },
        Token::Array(_) => push(out, "["),
        Token::Map(_) => push(out, "{"),
    }
}

/// Seconds and nanoseconds of MessagePack's timestamp, in one of its three sizes.
fn timestamp(kind: i8, bytes: &[u8]) -> Option<(i64, u32)> {
    let (second, nanosecond) = match (kind, bytes.len()) {
        (-1, 4) => (u32::from_be_bytes(*bytes.first_chunk()?).into(), 0),
        (-1, 8) => {
            let both = u64::from_be_bytes(*bytes.first_chunk()?);
            ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
        }
        (-1, 12) => {
            (i64::from_be_bytes(*bytes.last_chunk()?), u32::from_be_bytes(*bytes.first_chunk()?))
        }
        _ => return None,
    };
    (nanosecond < 1_000_000_000).then_some((second, nanosecond))
}

/// Text in quotes, U+FFFD for what is not UTF-8.
fn print_text(text: &[u8], out: &mut String) -> Result<()> {
    push(out, "\"")?;
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) =
            rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
        {
            push(out, &rest[..at])?;
            match rest.as_bytes()[at] {
                b'"' => push(out, "\\\"")?,
                b'\\' => push(out, "\\\\")?,
                b'\n' => push(out, "\\n")?,
                b'\r' => push(out, "\\r")?,
                b'\t' => push(out, "\\t")?,
                control => push_number(out, format_args!("\\u{control:04x}"))?,
            }
            rest = &rest[at + 1..];
        }
        push(out, rest)?;
        if !chunk.invalid().is_empty() {
            push(out, "\u{fffd}")?;
        }
    }
    push(out, "\"")
}

fn print_base64(bytes: &[u8], out: &mut String) -> Result<()> {
    push(out, "\"")?;
    let size = base64::encoded_len(bytes.len(), true).unwrap_or(usize::MAX);
    reserve(out, size)?;
    BASE64.encode_string(bytes, out);
    push(out, "\"")
}

/// A double has up to 24 bytes, a timestamp 46.
const LONGEST_NUMBER: usize = 64;

/// Pushes what is short.
fn push_number(out: &mut String, number: std::fmt::Arguments) -> Result<()> {
    reserve(out, LONGEST_NUMBER)?;
    // Writing to a String cannot fail.
    let _ = out.write_fmt(number);
    Ok(())
}

fn push(out: &mut String, text: &str) -> Result<()> {
    reserve(out, text.len())?;
    out.push_str(text);
    Ok(())
}

fn reserve(out: &mut String, more: usize) -> Result<()> {
    let size = out.len().saturating_add(more);
    out.try_reserve(more).map_err(|_| Error::no_memory(size))
}

/// Only what was checked is ever printed; should something else come, this says so.
fn malformed(reason: Reason) -> Error {
    Error::new(Status::Message, format!("The MessagePack is malformed: {reason}"))
}
