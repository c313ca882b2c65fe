//! JSON to MessagePack.

use rmp::encode;

use crate::wire::msgpack::{Token, read};
use crate::{Error, Result, Status};

/// The MessagePack of one JSON object. Key order is kept; of equal keys the last wins.
pub(crate) fn object_from_json(json: &str, max_depth: usize) -> Result<Vec<u8>> {
    let mut parser = Parser::new(json, max_depth);
    parser.skip_space();
    if parser.peek() != Some(b'{') {
        return Err(parser.error("expected an object, which begins with '{'"));
    }
    parser.run()
}

/// The MessagePack of any JSON value.
pub(crate) fn value_from_json(json: &str, max_depth: usize) -> Result<Vec<u8>> {
    Parser::new(json, max_depth).run()
}

/// An object or array whose end has not come yet.
struct Open {
    is_object: bool,
    /// Where in the output its head stands: one byte until the number of elements is known.
    head: usize,
    /// Where in `Parser::pairs` its own begin.
    first_pair: usize,
    count: u32,
}

struct Parser<'a> {
    json: &'a str,
    at: usize,
    out: Vec<u8>,
    open: Vec<Open>,
    max_depth: usize,
    /// Where in the output the pairs of all open objects begin.
    pairs: Vec<usize>,
}

impl<'a> Parser<'a> {
    fn new(json: &'a str, max_depth: usize) -> Parser<'a> {
        Parser { json, at: 0, out: Vec::new(), open: Vec::new(), max_depth, pairs: Vec::new() }
    }

    fn run(mut self) -> Result<Vec<u8>> {
        // Nearly always enough: only fractions and escapes can take more than their text.
        reserve(&mut self.out, self.json.len())?;
        loop {
            self.skip_space();
            let is_whole = match self.peek() {
                Some(b'{') => self.begin(true)?,
                Some(b'[') => self.begin(false)?,
                _ => {
                    self.scalar()?;
                    true
                }
            };
            if is_whole && self.end_of_value()? {
                return Ok(self.out);
            }
        }
    }

    /// Begins an object or array; true if it is empty and so ended already.
    fn begin(&mut self, is_object: bool) -> Result<bool> {
        if self.open.len() >= self.max_depth {
            let limit = self.max_depth;
            return Err(self.error(&format!("nested deeper than {limit} levels (max_depth)")));
        }
        self.at += 1;
        reserve(&mut self.open, 1)?;
        let (head, first_pair) = (self.out.len(), self.pairs.len());
        self.open.push(Open { is_object, head, first_pair, count: 0 });
        self.write(&[0])?;
        self.skip_space();
        if self.peek() == Some(if is_object { b'}' } else { b']' }) {
            self.at += 1;
            self.close()?;
            return Ok(true);
        }
        if is_object {
            self.key()?;
        }
        Ok(false)
    }

    /// Reads on behind a value up to where the next one begins; true if that was the last.
    fn end_of_value(&mut self) -> Result<bool> {
        loop {
            self.skip_space();
            let Some(open) = self.open.last_mut() else {
                return match self.peek() {
                    None => Ok(true),
                    Some(_) => Err(self.error("expected the end of the text")),
                };
            };
            open.count = match open.count.checked_add(1) {
                Some(count) => count,
                None => return Err(self.error("more elements than MessagePack allows")),
            };
            let is_object = open.is_object;
            match (self.peek(), is_object) {
                (Some(b','), _) => {
                    self.at += 1;
                    if is_object {
                        self.skip_space();
                        self.key()?;
                    }
                    return Ok(false);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    self.close()?;
                }
                (_, true) => return Err(self.error("expected ',' or '}'")),
                (_, false) => return Err(self.error("expected ',' or ']'")),
            }
        }
    }

    fn key(&mut self) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key, which is a string in double quotes"));
        }
        reserve(&mut self.pairs, 1)?;
        self.pairs.push(self.out.len());
        self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected ':' behind the key"));
        }
        self.at += 1;
        Ok(())
    }

    /// Ends the innermost object or array: now its head can be written.
    fn close(&mut self) -> Result<()> {
        let Some(Open { is_object, head, first_pair, mut count }) = self.open.pop() else {
            return Ok(());
        };
        if is_object {
            count = self.drop_repeated_keys(first_pair, count)?;
            self.pairs.truncate(first_pair);
        }
        let mut room = [0; 5];
        let mut rest = &mut room[..];
        // It is the longest that there is.
        let _ = match is_object {
            true => encode::write_map_len(&mut rest, count).map(drop),
            false => encode::write_array_len(&mut rest, count).map(drop),
        };
        let size = 5 - rest.len();
        reserve(&mut self.out, size - 1)?;
        self.out.splice(head..head + 1, room[..size].iter().copied());
        Ok(())
    }

    /// Leaves of equal keys the last value, in the place of the first; returns how many are left.
    fn drop_repeated_keys(&mut self, first_pair: usize, count: u32) -> Result<u32> {
        let pairs = self.pairs.len() - first_pair;
        if pairs < 2 {
            return Ok(count);
        }
        let mut by_key = Vec::new();
        reserve(&mut by_key, pairs)?;
        by_key.extend(0..pairs);
        let start = |pair: usize| self.pairs[first_pair + pair];
        let key = |pair: usize| match read(&self.out, start(pair)) {
            Ok((Token::Str(key), _)) => key,
            _ => &[],
        };
        by_key.sort_unstable_by_key(|&pair| (key(pair), pair));
        if by_key.windows(2).all(|two| key(two[0]) != key(two[1])) {
            return Ok(count);
        }
        // For each pair that is the first of its key, the pair that is the last of it.
        let mut last_of = Vec::new();
        reserve(&mut last_of, pairs)?;
        last_of.resize(pairs, None);
        for equal in by_key.chunk_by(|&one, &other| key(one) == key(other)) {
            last_of[equal[0]] = equal.last().copied();
        }
        let end =
            |pair: usize| self.pairs.get(first_pair + pair + 1).map_or(self.out.len(), |&at| at);
        let mut kept = Vec::new();
        reserve(&mut kept, self.out.len() - start(0))?;
        for pair in last_of.iter().copied().flatten() {
            kept.extend_from_slice(&self.out[start(pair)..end(pair)]);
        }
        let begin = start(0);
        self.out.truncate(begin);
        self.out.append(&mut kept);
        Ok(last_of.iter().flatten().count() as u32)
    }

    fn scalar(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", 0xc3),
            Some(b'f') => self.word("false", 0xc2),
            Some(b'n') => self.word("null", 0xc0),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("the text ends too early")),
        }
    }

    fn word(&mut self, word: &str, msgpack: u8) -> Result<()> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        self.write(&[msgpack])
    }

    fn number(&mut self) -> Result<()> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let begins_with_zero = self.peek() == Some(b'0');
        let digits = self.digits()?;
        if begins_with_zero && digits > 1 {
            self.at = start;
            return Err(self.error("a number has no leading zeros"));
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_integer = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = &self.json[start..self.at];
        reserve(&mut self.out, 9)?;
        // Writing to a Vec cannot fail.
        if !is_integer {
            let number = text.parse().unwrap_or(f64::INFINITY);
            if !number.is_finite() {
                self.at = start;
                return Err(self.error("the number is too large for a double"));
            }
            let _ = encode::write_f64(&mut self.out, number);
        } else if let Ok(number) = text.parse() {
            let _ = encode::write_uint(&mut self.out, number);
        } else if let Ok(number) = text.parse() {
            let _ = encode::write_sint(&mut self.out, number);
        } else {
            self.at = start;
            return Err(self.error("an integer must be within -2^63 and 2^64-1"));
        }
        Ok(())
    }

    /// Reads past digits, of which there must be one.
    fn digits(&mut self) -> Result<usize> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.error("expected a digit")) } else { Ok(count) }
    }

    fn string(&mut self) -> Result<()> {
        self.at += 1;
        let start = self.at;
        let plain = self.plain_length();
        self.at += plain;
        if self.peek() == Some(b'"') {
            self.at += 1;
            self.write_str_head(plain)?;
            return self.write(&self.json.as_bytes()[start..start + plain]);
        }
        let mut text = Vec::new();
        self.at = start;
        loop {
            let plain = self.plain_length();
            reserve(&mut text, plain + 4)?;
            text.extend_from_slice(&self.rest()[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let character = self.escape()?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => {
                    return Err(self.error("a control character in a string must be escaped"));
                }
                None => return Err(self.error("the text ends inside a string")),
            }
        }
        self.at += 1;
        self.write_str_head(text.len())?;
        self.write(&text)
    }

    /// How many bytes follow that stand for themselves.
    fn plain_length(&self) -> usize {
        let rest = self.rest();
        rest.iter()
            .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
            .unwrap_or(rest.len())
    }

    fn escape(&mut self) -> Result<char> {
        let start = self.at;
        self.at += 2;
        Ok(match self.json.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut code = self.hex4(start)?;
                // Beyond the first 65,536 characters two escapes, a surrogate pair, are one.
                if (0xd800..0xdc00).contains(&code) && self.rest().starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.hex4(start)?;
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    }
                }
                match char::from_u32(code) {
                    Some(character) => character,
                    None => {
                        self.at = start;
                        return Err(self.error("half of a surrogate pair stands alone"));
                    }
                }
            }
            _ => {
                self.at = start;
                return Err(self.error("no such escape in a string"));
            }
        })
    }

    fn hex4(&mut self, start: usize) -> Result<u32> {
        let digits = self.rest().first_chunk::<4>();
        let code = digits.and_then(|digits| {
            digits
                .iter()
                .try_fold(0, |code, &digit| Some(code << 4 | (digit as char).to_digit(16)?))
        });
        let Some(code) = code else {
            self.at = start;
            return Err(self.error("\\u needs four hexadecimal digits"));
        };
        self.at += 4;
        Ok(code)
    }

    fn write_str_head(&mut self, len: usize) -> Result<()> {
        let Ok(len) = len.try_into() else {
            return Err(self.error("a string of more than 4 GiB"));
        };
        reserve(&mut self.out, 5)?;
        // Writing to a Vec cannot fail.
        let _ = encode::write_str_len(&mut self.out, len);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        reserve(&mut self.out, bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.json.as_bytes()[self.at..]
    }

    /// What is wrong here, with the place in the text.
    fn error(&self, text: &str) -> Error {
        let before = &self.json.as_bytes()[..self.at.min(self.json.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
        let text = format!("JSON, line {line}, column {column}: {text}");
        Error::new(Status::Message, text)
    }
}

fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<()> {
    let size = (vec.len() + more) * size_of::<T>();
    vec.try_reserve(more).map_err(|_| Error::no_memory(size))
}
