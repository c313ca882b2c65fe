//! What the targets compare the library with: a plain frame cutter, and `rmpv` by the rules of
//! docs/wire-protocol.md.

use rmpv::Value;

/// Levels of maps and arrays that a payload may have.
pub const MAX_DEPTH: usize = 128;

/// The whole frames of a stream, headers included, up to the first that is longer than `max_body`.
pub fn frames(mut stream: &[u8], max_body: usize) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some(header) = stream.first_chunk::<4>() {
        let body = u32::from_be_bytes(*header) as usize;
        if body > max_body || stream.len() - 4 < body {
            break;
        }
        let (frame, rest) = stream.split_at(4 + body);
        frames.push(frame);
        stream = rest;
    }
    frames
}

/// The one value that `bytes` are, if they are one, and nested in no absurd way. (rmpv reads a
/// byte 0xc1 as nil.)
pub fn value(mut bytes: &[u8]) -> Option<Value> {
    let value = rmpv::decode::read_value_with_max_depth(&mut bytes, 8 * MAX_DEPTH).ok()?;
    bytes.is_empty().then_some(value)
}

/// How many levels of maps and arrays a value has.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(pairs) => {
            1 + pairs.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Whether a value may be a payload.
pub fn is_payload(value: &Value) -> bool {
    let Value::Map(pairs) = value else { return false };
    pairs.iter().all(|(key, _)| key.is_str() || matches!(key, Value::String(_)))
        && depth(value) <= MAX_DEPTH
}

/// What an envelope says, if it is one.
#[derive(Debug, PartialEq)]
pub struct Envelope {
    pub event_name: String,
    pub timestamp_ms: i64,
    pub timestamp_iso: String,
    pub message_type: String,
    pub data: Value,
}

/// Reads an envelope by the rules of docs/wire-protocol.md.
pub fn envelope(bytes: &[u8]) -> Option<Envelope> {
    let Value::Map(pairs) = value(bytes)? else { return None };
    let mut known: [Option<Value>; 5] = Default::default();
    for (key, value) in pairs {
        let names: [&[u8]; 5] =
            [b"event_name", b"timestamp_ms", b"timestamp_iso", b"message_type", b"data"];
        let at = match &key {
            Value::String(key) => names.iter().position(|name| *name == key.as_bytes()),
            _ => None,
        };
        if depth(&key) > MAX_DEPTH || depth(&value) > MAX_DEPTH {
            return None;
        }
        if let Some(at) = at
            && known[at].replace(value).is_some()
        {
            return None;
        }
    }
    let [event_name, timestamp_ms, timestamp_iso, message_type, data] = known;
    let text = |value: Option<Value>| value?.as_str().map(str::to_owned);
    let read = Envelope {
        event_name: text(event_name)?,
        timestamp_ms: timestamp_ms?.as_i64()?,
        timestamp_iso: text(timestamp_iso)?,
        message_type: text(message_type)?,
        data: data.filter(is_payload)?,
    };
    ["data", "error", "control"].contains(&read.message_type.as_str()).then_some(read)
}
