//! The JSON of any payload is JSON to serde_json, and says what rmpv reads, by the rules that
//! `Message::data_json` documents.
#![no_main]

use std::fmt;

use base64::engine::{Engine, general_purpose::STANDARD};
use dotsock::{Message, MessageType};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};

fuzz_target!(|input: &[u8]| {
    let Ok(message) = Message::from_msgpack("event", MessageType::Data, input) else { return };
    let value = dotsock_fuzz::value(message.data()).expect("well-formed MessagePack");
    match message.data_json() {
        Ok(json) => assert_says(&parsed(json), &value),
        Err(error) => assert!(has_map_in_key(&value), "no JSON: {error}"),
    }
    if let Ok(json) = message.json() {
        parsed(json);
    }
});

fn parsed(json: &str) -> Json {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.disable_recursion_limit();
    let json = Json::deserialize(&mut deserializer).expect("JSON that serde_json reads");
    deserializer.end().expect("nothing behind it");
    json
}

/// JSON that keeps its pairs as they came, those with equal keys too.
#[derive(Debug)]
enum Json {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Unsigned(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Signed(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Double(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            object.push(pair);
        }
        Ok(Json::Object(object))
    }
}

fn assert_says(json: &Json, value: &rmpv::Value) {
    use rmpv::Value;
    let same = match (json, value) {
        (Json::Null, Value::Nil) => true,
        (Json::Null, Value::F32(number)) => !number.is_finite(),
        (Json::Null, Value::F64(number)) => !number.is_finite(),
        (Json::Bool(json), Value::Boolean(value)) => json == value,
        (Json::Unsigned(json), Value::Integer(value)) => value.as_u64() == Some(*json),
        (Json::Signed(json), Value::Integer(value)) => value.as_i64() == Some(*json),
        (Json::Double(json), Value::F32(value)) => (*json as f32).to_bits() == value.to_bits(),
        (Json::Double(json), Value::F64(value)) => json.to_bits() == value.to_bits(),
        (Json::Text(json), Value::String(text)) => {
            *json == String::from_utf8_lossy(text.as_bytes())
        }
        (Json::Text(json), Value::Binary(bytes)) => *json == STANDARD.encode(bytes),
        (Json::Text(json), Value::Ext(-1, bytes)) => is_timestamp(json, bytes),
        (Json::Object(json), Value::Ext(kind, bytes)) => is_ext(json, *kind, bytes),
        (Json::Array(json), Value::Array(items)) => {
            json.iter().zip(items).for_each(|(json, item)| assert_says(json, item));
            json.len() == items.len()
        }
        (Json::Object(json), Value::Map(pairs)) => {
            for ((json_key, json), (key, value)) in json.iter().zip(pairs) {
                match key {
                    Value::String(_) => assert_says(&Json::Text(json_key.clone()), key),
                    _ => assert_says(&parsed(json_key), key),
                }
                assert_says(json, value);
            }
            json.len() == pairs.len()
        }
        _ => false,
    };
    assert!(same, "{json:?} is not {value:?}");
}

/// Seconds and nanoseconds of MessagePack's timestamp.
fn time(bytes: &[u8]) -> Option<(i64, u32)> {
    let number = bytes.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    let (seconds, nanoseconds) = match bytes.len() {
        4 => (number as i64, 0),
        8 => ((number & ((1 << 34) - 1)) as i64, (number >> 34) as u32),
        12 => (number as u64 as i64, (number >> 64) as u32),
        _ => return None,
    };
    (nanoseconds < 1_000_000_000).then_some((seconds, nanoseconds))
}

fn is_timestamp(text: &str, bytes: &[u8]) -> bool {
    let Some((seconds, nanoseconds)) = time(bytes) else { return false };
    // chrono reads the years 0 to 9999; what lies beyond is any text.
    let Ok(read) = chrono::DateTime::parse_from_rfc3339(text) else {
        return !(-62_167_219_200..=253_402_300_799).contains(&seconds);
    };
    (read.timestamp(), read.timestamp_subsec_nanos()) == (seconds, nanoseconds)
}

fn is_ext(json: &[(String, Json)], kind: i8, bytes: &[u8]) -> bool {
    let [(first, json_kind), (second, Json::Text(data))] = json else { return false };
    assert_says(json_kind, &kind.into());
    (first.as_str(), second.as_str()) == ("type", "data") && *data == STANDARD.encode(bytes)
}

/// Whether somewhere a key is a map.
fn has_map_in_key(value: &rmpv::Value) -> bool {
    match value {
        rmpv::Value::Array(items) => items.iter().any(has_map_in_key),
        rmpv::Value::Map(pairs) => {
            pairs.iter().any(|(key, value)| key.is_map() || key.is_array() || has_map_in_key(value))
        }
        _ => false,
    }
}
