//! JSON Pointers (RFC 6901) into MessagePack.

use std::borrow::Cow;
use std::ops::Range;

use crate::wire::json;
use crate::wire::msgpack::{Token, read, skip};
use crate::{Error, Result};

/// The tokens of a JSON Pointer, unescaped: none for `""`.
pub(crate) fn tokens(pointer: &str) -> Result<impl Iterator<Item = Cow<'_, str>>> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(Error::invalid(format!(
            "Not a JSON Pointer: '{pointer}': it must be empty or begin with '/', as \
             \"/steps/0/name\" does"
        )));
    }
    let mut tildes = pointer.split('~').skip(1);
    if !tildes.all(|behind| behind.starts_with(['0', '1'])) {
        return Err(Error::invalid(format!(
            "Not a JSON Pointer: '{pointer}': a '~' in a key must be written \"~0\", a '/' \"~1\""
        )));
    }
    Ok(pointer.split('/').skip(1).map(|token| {
        if token.contains('~') {
            token.replace("~1", "/").replace("~0", "~").into()
        } else {
            token.into()
        }
    }))
}

/// Where the value stands that `token` names in the well-formed map or array at `container`.
pub(crate) fn element(bytes: &[u8], container: Range<usize>, token: &str) -> Option<Range<usize>> {
    match read(bytes, container.start).ok()? {
        (Token::Map(pairs), at) => value_of_key(bytes, at..container.end, pairs, token),
        (Token::Array(count), mut at) => {
            let index = array_index(token).filter(|&index| index < count)?;
            for _ in 0..index {
                at = skip(bytes, at, usize::MAX).ok()?;
            }
            let is_last = index + 1 == count;
            let end = if is_last { container.end } else { skip(bytes, at, usize::MAX).ok()? };
            Some(at..end)
        }
        _ => None,
    }
}

/// The value of the last of `pairs` pairs whose key is `token`.
fn value_of_key(
    bytes: &[u8],
    mut rest: Range<usize>,
    pairs: u32,
    token: &str,
) -> Option<Range<usize>> {
    let mut found = None;
    for left in (0..pairs).rev() {
        let (is_it, value) = match read(bytes, rest.start).ok()? {
            (Token::Str(key), value) => (key == token.as_bytes(), value),
            _ => {
                let value = skip(bytes, rest.start, usize::MAX).ok()?;
                (json::to_json(&bytes[rest.start..value]).is_ok_and(|key| key == token), value)
            }
        };
        let end = if left == 0 { rest.end } else { skip(bytes, value, usize::MAX).ok()? };
        if is_it {
            found = Some(value..end);
        }
        rest.start = end;
    }
    found
}

/// The index that a token names: digits without leading zeros.
fn array_index(token: &str) -> Option<u32> {
    let canonical = token.bytes().all(|byte| byte.is_ascii_digit())
        && (token == "0" || !token.starts_with('0'));
    if canonical { token.parse().ok() } else { None }
}
