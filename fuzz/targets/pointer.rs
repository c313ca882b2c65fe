//! Setting and getting by JSON Pointer, beside a payload that is a plain tree.
#![no_main]

use arbitrary::Arbitrary;
use dotsock::{Message, MessageType, Payload};
use libfuzzer_sys::fuzz_target;
use rmpv::Value;

#[derive(Debug, Arbitrary)]
struct Set<'a> {
    pointer: Pointer<'a>,
    what: What<'a>,
}

#[derive(Debug, Arbitrary)]
enum Pointer<'a> {
    Tokens(Vec<Token<'a>>),
    Text(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Token<'a> {
    A,
    B,
    Append,
    Index(u8),
    Special(u8),
    Any(&'a str),
}

#[derive(Debug, Arbitrary)]
enum What<'a> {
    Int(i64),
    Uint(u64),
    Double(f64),
    Bool(bool),
    String(&'a str),
    Bytes(&'a [u8]),
    Null,
    EmptyMap,
    EmptyArray,
    Json(&'a str),
    Msgpack(&'a [u8]),
}

impl Token<'_> {
    fn text(&self) -> String {
        match self {
            Token::A => "a".into(),
            Token::B => "b".into(),
            Token::Append => "-".into(),
            Token::Index(index) => (index % 4).to_string(),
            Token::Special(which) => {
                ["", "00", "~0", "~1", "1", "null"][usize::from(which % 6)].into()
            }
            Token::Any(text) => text.replace('~', "~0").replace('/', "~1"),
        }
    }
}

impl Pointer<'_> {
    fn text(&self) -> String {
        match self {
            Pointer::Tokens(tokens) => {
                tokens.iter().map(|token| format!("/{}", token.text())).collect()
            }
            Pointer::Text(text) => (*text).into(),
        }
    }
}

fuzz_target!(|sets: Vec<Set>| {
    let mut payload = Payload::new();
    let mut model = Value::Map(Vec::new());
    for set in sets.iter().take(16) {
        let pointer = set.pointer.text();
        let Some(value) = expected_value(&set.what) else { continue };
        let before = payload.as_msgpack().to_vec();
        let result = apply(&mut payload, &pointer, &set.what);
        match model_set(&mut model, &pointer, value) {
            Model::Done => {
                result.unwrap_or_else(|error| panic!("{pointer}: {error}"));
                let now = dotsock_fuzz::value(payload.as_msgpack()).expect("MessagePack");
                assert_eq!(format!("{now:?}"), format!("{model:?}"));
            }
            Model::Refused => {
                assert!(result.is_err(), "{pointer} was to be refused");
                assert_eq!(payload.as_msgpack(), before, "it failed and changed something");
            }
            Model::Unknown => return,
        }
    }
    let message = Message::from_payload("event", MessageType::Data, &payload).expect("a payload");
    for set in sets.iter().take(16) {
        let pointer = set.pointer.text();
        let got = message.get(&pointer);
        let expected = match tokens(&pointer) {
            Some(tokens) => walk(&mut model, &tokens).ok(),
            None => Some(None),
        };
        let Some(expected) = expected else { return };
        let got_tree = got.map(|value| dotsock_fuzz::value(value.msgpack()).expect("one value"));
        assert_eq!(format!("{got_tree:?}"), format!("{expected:?}"), "{pointer}");
        if let Some(value) = got {
            let tree = got_tree.expect("a value");
            let keys = tree.as_map().into_iter().flatten().map(|(key, _)| nested_keys(key));
            let has_text: Vec<bool> = keys.map(|nested| nested <= DEEPEST_KEY).collect();
            for (index, &expected) in has_text.iter().chain(&[false]).enumerate() {
                assert_eq!(value.key(index).is_some(), expected, "key {index} of {pointer}");
            }
            let as_text = value.as_text().map(|text| text.len());
            assert!(value.as_str().is_none_or(|text| Some(text.len()) == as_text));
        }
    }
});

/// How deep keys of maps may be maps whose keys are no strings, and so on, to have a text.
const DEEPEST_KEY: usize = 4;

/// How deep those of `value` are.
fn nested_keys(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(nested_keys).max().unwrap_or(0),
        Value::Map(pairs) => {
            let of_pair = |(key, value): &(Value, Value)| {
                let is_text = matches!(key, Value::String(_));
                let own = if is_text { 0 } else { 1 + nested_keys(key) };
                own.max(nested_keys(value))
            };
            pairs.iter().map(of_pair).max().unwrap_or(0)
        }
        _ => 0,
    }
}

fn apply(payload: &mut Payload, pointer: &str, what: &What) -> dotsock::Result<()> {
    match what {
        What::Int(value) => payload.set_int(pointer, *value),
        What::Uint(value) => payload.set_uint(pointer, *value),
        What::Double(value) => payload.set_double(pointer, *value),
        What::Bool(value) => payload.set_bool(pointer, *value),
        What::String(value) => payload.set_string(pointer, value),
        What::Bytes(value) => payload.set_bytes(pointer, value),
        What::Null => payload.set_null(pointer),
        What::EmptyMap => payload.set_json(pointer, "{}"),
        What::EmptyArray => payload.set_json(pointer, "[]"),
        What::Json(value) => payload.set_json(pointer, value),
        What::Msgpack(value) => payload.set_msgpack(pointer, value),
    }
}

/// The same as a tree; `None` for what is no value, or one that rmpv reads in another way.
fn expected_value(what: &What) -> Option<Value> {
    Some(match what {
        What::Int(value) => (*value).into(),
        What::Uint(value) => (*value).into(),
        What::Double(value) => (*value).into(),
        What::Bool(value) => (*value).into(),
        What::String(value) => (*value).into(),
        What::Bytes(value) => (*value).into(),
        What::Null => Value::Nil,
        What::EmptyMap => Value::Map(Vec::new()),
        What::EmptyArray => Value::Array(Vec::new()),
        What::Json(json) => {
            let mut payload = Payload::new();
            payload.set_json("/x", json).ok()?;
            let Value::Map(mut pairs) = dotsock_fuzz::value(payload.as_msgpack())? else {
                return None;
            };
            pairs.pop()?.1
        }
        What::Msgpack(bytes) if bytes.contains(&0xc1) => return None,
        What::Msgpack(bytes) => dotsock_fuzz::value(bytes)?,
    })
}

enum Model {
    Done,
    Refused,
    /// A key on the way is no simple value: its text is not this model's business.
    Unknown,
}

fn tokens(pointer: &str) -> Option<Vec<String>> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    let mut tokens = Vec::new();
    for token in pointer.split('/').skip(1) {
        let mut text = String::new();
        let mut characters = token.chars();
        while let Some(character) = characters.next() {
            text.push(match character {
                '~' => match characters.next()? {
                    '0' => '~',
                    '1' => '/',
                    _ => return None,
                },
                other => other,
            });
        }
        tokens.push(text);
    }
    Some(tokens)
}

/// The value that `token` names in `container`, or an error where the text of a key is unknown.
fn inside<'a>(container: &'a mut Value, token: &str) -> Result<Option<&'a mut Value>, ()> {
    match container {
        Value::Map(pairs) => {
            let mut found = None;
            for (at, (key, _)) in pairs.iter().enumerate() {
                let is_it = match key {
                    Value::String(text) => text.as_bytes() == token.as_bytes(),
                    Value::Nil => token == "null",
                    Value::Boolean(value) => value.to_string() == token,
                    Value::Integer(number) => number.to_string() == token,
                    _ => return Err(()),
                };
                found = if is_it { Some(at) } else { found };
            }
            Ok(found.map(|at| &mut pairs[at].1))
        }
        Value::Array(items) => {
            let index: Option<usize> = token.parse().ok();
            let index = index.filter(|index| index.to_string() == token);
            Ok(index.and_then(|index| items.get_mut(index)))
        }
        _ => Ok(None),
    }
}

fn walk<'a>(mut value: &'a mut Value, tokens: &[String]) -> Result<Option<&'a mut Value>, ()> {
    for token in tokens {
        match inside(value, token)? {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn model_set(root: &mut Value, pointer: &str, value: Value) -> Model {
    let Some(tokens) = tokens(pointer) else { return Model::Refused };
    if tokens.is_empty() && !dotsock_fuzz::is_payload(&value)
        || tokens.len() + dotsock_fuzz::depth(&value) > dotsock_fuzz::MAX_DEPTH
    {
        return Model::Refused;
    }
    for known in (0..=tokens.len()).rev() {
        let Ok(found) = walk(root, &tokens[..known]) else { return Model::Unknown };
        let Some(place) = found else { continue };
        let Some((next, rest)) = tokens[known..].split_first() else {
            *place = value;
            return Model::Done;
        };
        let value = rest.iter().rev().fold(value, |value, token| match token.as_str() {
            "-" => Value::Array(vec![value]),
            _ => Value::Map(vec![(token.as_str().into(), value)]),
        });
        match place {
            Value::Map(pairs) => pairs.push((next.as_str().into(), value)),
            Value::Array(items) if next == "-" => items.push(value),
            _ => return Model::Refused,
        }
        return Model::Done;
    }
    Model::Refused
}
