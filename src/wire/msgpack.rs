//! MessagePack, read where it lies: one value at a time, nothing copied, no recursion.

/// Why bytes are not what they should be, as the rest of a sentence.
pub(crate) type Reason = &'static str;

pub(crate) const CUT_SHORT: Reason = "it ends in the middle of a value";
pub(crate) const RESERVED: Reason = "it has a byte 0xc1, which MessagePack does not use";
pub(crate) const TOO_DEEP: Reason = "its maps and arrays are nested deeper than max_depth";

/// One value, or the head of an array or map whose elements follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    Nil,
    Bool(bool),
    /// An integer in one of the unsigned encodings.
    Uint(u64),
    /// An integer in one of the signed encodings; it may be positive all the same.
    Int(i64),
    Float32(f32),
    Float64(f64),
    /// Text as it came: MessagePack does not promise that it is UTF-8.
    Str(&'a [u8]),
    Bin(&'a [u8]),
    Ext(i8, &'a [u8]),
    Array(u32),
    /// How many pairs follow.
    Map(u32),
}

impl Token<'_> {
    /// How many values follow as elements; `None` for what is no array or map.
    #[inline(always)]
    pub fn children(self) -> Option<u64> {
        match self {
            Token::Array(count) => Some(count.into()),
            Token::Map(pairs) => Some(2 * u64::from(pairs)),
            _ => None,
        }
    }
}

/// The token at `at`, and where the next one begins.
#[inline(always)]
pub(crate) fn read(bytes: &[u8], at: usize) -> Result<(Token<'_>, usize), Reason> {
    let Some(&first) = bytes.get(at) else {
        return Err(CUT_SHORT);
    };
    let at = at + 1;
    let token = match first {
        0x00..=0x7f => Token::Uint(first.into()),
        0x80..=0x8f => Token::Map((first & 0x0f).into()),
        0x90..=0x9f => Token::Array((first & 0x0f).into()),
        0xa0..=0xbf => return block(bytes, at, (first & 0x1f).into(), Token::Str),
        0xc0 => Token::Nil,
        0xc1 => return Err(RESERVED),
        0xc2 => Token::Bool(false),
        0xc3 => Token::Bool(true),
        0xc4..=0xc6 => {
            let (len, at) = length(bytes, at, first - 0xc4)?;
            return block(bytes, at, len, Token::Bin);
        }
        0xc7..=0xc9 => {
            let (len, at) = length(bytes, at, first - 0xc7)?;
            return ext(bytes, at, len);
        }
        0xca => {
            return fixed(bytes, at, |number| Token::Float32(f32::from_be_bytes(number)));
        }
        0xcb => {
            return fixed(bytes, at, |number| Token::Float64(f64::from_be_bytes(number)));
        }
        0xcc => return fixed(bytes, at, |[number]| Token::Uint(number.into())),
        0xcd => {
            return fixed(bytes, at, |number| Token::Uint(u16::from_be_bytes(number).into()));
        }
        0xce => {
            return fixed(bytes, at, |number| Token::Uint(u32::from_be_bytes(number).into()));
        }
        0xcf => return fixed(bytes, at, |number| Token::Uint(u64::from_be_bytes(number))),
        0xd0 => {
            return fixed(bytes, at, |number| Token::Int(i8::from_be_bytes(number).into()));
        }
        0xd1 => {
            return fixed(bytes, at, |number| Token::Int(i16::from_be_bytes(number).into()));
        }
        0xd2 => {
            return fixed(bytes, at, |number| Token::Int(i32::from_be_bytes(number).into()));
        }
        0xd3 => return fixed(bytes, at, |number| Token::Int(i64::from_be_bytes(number))),
        0xd4..=0xd8 => return ext(bytes, at, 1 << (first - 0xd4)),
        0xd9..=0xdb => {
            let (len, at) = length(bytes, at, first - 0xd9)?;
            return block(bytes, at, len, Token::Str);
        }
        0xdc | 0xdd => {
            let (count, at) = length(bytes, at, first - 0xdc + 1)?;
            return Ok((Token::Array(count), at));
        }
        0xde | 0xdf => {
            let (pairs, at) = length(bytes, at, first - 0xde + 1)?;
            return Ok((Token::Map(pairs), at));
        }
        0xe0..=0xff => Token::Int((first as i8).into()),
    };
    Ok((token, at))
}

/// A length of 1, 2 or 4 bytes (`width` 0, 1, 2).
#[inline(always)]
fn length(bytes: &[u8], at: usize, width: u8) -> Result<(u32, usize), Reason> {
    match width {
        0 => fixed(bytes, at, |[number]| number.into()),
        1 => fixed(bytes, at, |number| u16::from_be_bytes(number).into()),
        _ => fixed(bytes, at, u32::from_be_bytes),
    }
}

#[inline(always)]
fn fixed<const N: usize, T>(
    bytes: &[u8],
    at: usize,
    read: impl FnOnce([u8; N]) -> T,
) -> Result<(T, usize), Reason> {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(number) => Ok((read(*number), at + N)),
        None => Err(CUT_SHORT),
    }
}

#[inline(always)]
fn block<'a>(
    bytes: &'a [u8],
    at: usize,
    len: u32,
    token: impl FnOnce(&'a [u8]) -> Token<'a>,
) -> Result<(Token<'a>, usize), Reason> {
    match bytes.get(at..).and_then(|rest| rest.get(..len as usize)) {
        Some(block) => Ok((token(block), at + len as usize)),
        None => Err(CUT_SHORT),
    }
}

#[inline(always)]
fn ext(bytes: &[u8], at: usize, len: u32) -> Result<(Token<'_>, usize), Reason> {
    let (kind, at) = fixed(bytes, at, i8::from_be_bytes)?;
    block(bytes, at, len, |data| Token::Ext(kind, data))
}

/// Where the value at `at` ends, if it is well-formed and has at most `max_depth` levels of maps
/// and arrays.
#[inline(always)]
pub(crate) fn skip(bytes: &[u8], at: usize, max_depth: usize) -> Result<usize, Reason> {
    match pass(bytes, at)? {
        (next, None) => Ok(next),
        (next, Some(children)) => skip_elements(bytes, next, children, max_depth),
    }
}

/// Where the token at `at` ends, and how many values follow as elements of an array or map: what
/// [`read`] finds, for those who don't ask what the value is.
#[inline(always)]
fn pass(bytes: &[u8], at: usize) -> Result<(usize, Option<u64>), Reason> {
    let Some(&first) = bytes.get(at) else {
        return Err(CUT_SHORT);
    };
    let at = at + 1;
    let size = match first {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
        0xa0..=0xbf => (first & 0x1f).into(),
        0xcc | 0xd0 => 1,
        0xcd | 0xd1 => 2,
        0xca | 0xce | 0xd2 => 4,
        0xcb | 0xcf | 0xd3 => 8,
        0xd4..=0xd8 => 1 + (1 << (first - 0xd4)),
        0xc1 => return Err(RESERVED),
        0x80..=0x8f => return Ok((at, Some(2 * u64::from(first & 0x0f)))),
        0x90..=0x9f => return Ok((at, Some((first & 0x0f).into()))),
        0xdc..=0xdf => {
            let (count, at) = length(bytes, at, (first & 1) + 1)?;
            return Ok((at, Some(if first < 0xde { count.into() } else { 2 * u64::from(count) })));
        }
        0xc4..=0xc6 | 0xc7..=0xc9 | 0xd9..=0xdb => {
            let (width, kind) = match first {
                0xc4..=0xc6 => (first - 0xc4, 0),
                0xc7..=0xc9 => (first - 0xc7, 1),
                _ => (first - 0xd9, 0),
            };
            let (len, at) = length(bytes, at, width)?;
            return end(bytes, at, (len as usize).saturating_add(kind));
        }
    };
    end(bytes, at, size)
}

#[inline(always)]
fn end(bytes: &[u8], at: usize, size: usize) -> Result<(usize, Option<u64>), Reason> {
    if bytes.len() - at >= size { Ok((at + size, None)) } else { Err(CUT_SHORT) }
}

/// The short text at `at`, if there is one, and where it ends.
#[inline(always)]
pub(crate) fn short_str(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (start, len) = match *bytes.get(at)? {
        first @ 0xa0..=0xbf => (at + 1, first & 0x1f),
        0xd9 => (at + 2, *bytes.get(at + 1)?),
        _ => return None,
    };
    let end = start + usize::from(len);
    Some((bytes.get(start..end)?, end))
}

/// The same from behind the head of an array or map.
fn skip_elements(
    bytes: &[u8],
    mut at: usize,
    mut left: u64,
    max_depth: usize,
) -> Result<usize, Reason> {
    if max_depth == 0 {
        return Err(TOO_DEEP);
    }
    // How many elements the levels around this one still lack.
    let mut outer = Levels::default();
    loop {
        while left == 0 {
            match outer.pop() {
                Some(count) => left = count.into(),
                None => return Ok(at),
            }
        }
        let (next, children) = pass(bytes, at)?;
        at = next;
        left -= 1;
        if let Some(children) = children {
            if outer.depth + 1 >= max_depth {
                return Err(TOO_DEEP);
            }
            outer.push(left, bytes.len() - at)?;
            left = children;
        }
    }
}

/// A stack of counts that allocates only for what is nested unusually deep.
#[derive(Default)]
struct Levels {
    near: [u32; 16],
    far: Vec<u32>,
    depth: usize,
}

impl Levels {
    fn push(&mut self, count: u64, bytes_left: usize) -> Result<(), Reason> {
        // Every element has at least one byte; what announces more ends too early.
        let count = match u32::try_from(count) {
            Ok(count) if count as usize <= bytes_left => count,
            _ => return Err(CUT_SHORT),
        };
        match self.near.get_mut(self.depth) {
            Some(near) => *near = count,
            None => {
                self.far.try_reserve(1).map_err(|_| "there is no memory to check it")?;
                self.far.push(count);
            }
        }
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<u32> {
        self.depth = self.depth.checked_sub(1)?;
        if self.depth < self.near.len() { Some(self.near[self.depth]) } else { self.far.pop() }
    }
}
