//! Between MessagePack and JSON with the additions that the README of tests/conformance lists.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rmpv::Value as Packed;
use serde_json::{Value, json};

pub fn to_msgpack(value: &Value) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &meant(value)?).map_err(|error| error.to_string())?;
    Ok(bytes)
}

pub fn from_msgpack(mut bytes: &[u8]) -> Result<Value, String> {
    let value = rmpv::decode::read_value(&mut bytes).map_err(|error| error.to_string())?;
    Ok(described(value))
}

/// The value that JSON describes.
fn meant(value: &Value) -> Result<Packed, String> {
    Ok(match value {
        Value::Null => Packed::Nil,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => {
            if let Some(value) = number.as_u64() {
                value.into()
            } else if let Some(value) = number.as_i64() {
                value.into()
            } else {
                number.as_f64().ok_or_else(|| format!("{number} is out of range"))?.into()
            }
        }
        Value::String(text) => text.as_str().into(),
        Value::Array(elements) => {
            Packed::Array(elements.iter().map(meant).collect::<Result<_, _>>()?)
        }
        Value::Object(object) => {
            if let (1, Some((key, content))) = (object.len(), object.iter().next())
                && let Some(special) = special(key, content)?
            {
                return Ok(special);
            }
            let pair = |(key, value): (&String, &Value)| Ok((key.as_str().into(), meant(value)?));
            Packed::Map(object.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

/// What `{key: content}` stands for, `None` when it is just a map.
fn special(key: &str, content: &Value) -> Result<Option<Packed>, String> {
    let wrong = || format!("{content} is no {key}");
    Ok(Some(match key {
        "$float" => match content.as_str() {
            Some("nan") => f64::NAN.into(),
            Some("inf") => f64::INFINITY.into(),
            Some("-inf") => f64::NEG_INFINITY.into(),
            _ => return Err(wrong()),
        },
        "$bin" => Packed::Binary(base64_of(content).ok_or_else(wrong)?),
        "$ext" => {
            let kind = content.get(0).and_then(Value::as_i64).and_then(|n| i8::try_from(n).ok());
            let bytes = content.get(1).and_then(base64_of);
            let (kind, bytes) = kind.zip(bytes).ok_or_else(wrong)?;
            Packed::Ext(kind, bytes)
        }
        "$map" => {
            let pairs = content.as_array().ok_or_else(wrong)?;
            let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
                Some([key, value]) => Ok((meant(key)?, meant(value)?)),
                _ => Err(wrong()),
            };
            Packed::Map(pairs.iter().map(pair).collect::<Result<_, _>>()?)
        }
        _ => return Ok(None),
    }))
}

fn base64_of(text: &Value) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text.as_str()?).ok()
}

/// JSON that says what a value is.
fn described(value: Packed) -> Value {
    match value {
        Packed::Nil => Value::Null,
        Packed::Boolean(value) => value.into(),
        Packed::Integer(value) => match value.as_u64() {
            Some(value) => value.into(),
            None => value.as_i64().into(),
        },
        Packed::F32(value) => described_float(value.into()),
        Packed::F64(value) => described_float(value),
        Packed::String(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        Packed::Binary(bytes) => json!({"$bin": BASE64_STANDARD.encode(bytes)}),
        Packed::Array(elements) => elements.into_iter().map(described).collect(),
        Packed::Map(pairs) if pairs.iter().all(|(key, _)| key.is_str()) => {
            let text = |key: Packed| key.as_str().unwrap_or_default().to_owned();
            Value::Object(pairs.into_iter().map(|(k, v)| (text(k), described(v))).collect())
        }
        Packed::Map(pairs) => {
            let pair = |(key, value)| json!([described(key), described(value)]);
            json!({"$map": pairs.into_iter().map(pair).collect::<Vec<_>>()})
        }
        Packed::Ext(kind, bytes) => json!({"$ext": [kind, BASE64_STANDARD.encode(bytes)]}),
    }
}

fn described_float(value: f64) -> Value {
    if value.is_finite() {
        value.into()
    } else if value.is_nan() {
        json!({"$float": "nan"})
    } else if value > 0.0 {
        json!({"$float": "inf"})
    } else {
        json!({"$float": "-inf"})
    }
}
