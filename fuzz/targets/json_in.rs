//! JSON is read as serde_json reads it, but for what is documented: integers beyond 64 bits are
//! refused, and -0 is an integer.
#![no_main]

use dotsock::{Message, MessageType};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::{Map, Number, Value};

fuzz_target!(|input: &str| {
    let mut deserializer = serde_json::Deserializer::from_str(input);
    deserializer.disable_recursion_limit();
    let expected = Value::deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .ok()
        .filter(|value| value.is_object());
    let message = match Message::from_json("event", MessageType::Data, input) {
        Ok(message) => message,
        Err(error) => {
            let text = error.to_string();
            let documented = ["an integer must be within", "nested deeper than 128 levels"];
            let documented = documented.iter().any(|reason| text.contains(reason));
            assert!(expected.is_none() || documented, "refused: {error}");
            return;
        }
    };
    let expected = expected.expect("an object that serde_json knows too");
    let read = dotsock_fuzz::value(message.data()).expect("well-formed MessagePack");
    // As texts: the order of keys counts.
    assert_eq!(of_msgpack(&read).to_string(), unsigned_zeros(expected).to_string());

    let json = message.data_json().expect("JSON again");
    let again = Message::from_json("event", MessageType::Data, json).expect("JSON of our own");
    assert_eq!(again.data(), message.data());
});

/// serde_json reads -0 as -0.0: no zero has a sign here.
fn unsigned_zeros(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_f64() == Some(0.0) => 0.into(),
        Value::Array(items) => items.into_iter().map(unsigned_zeros).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, unsigned_zeros(value))).collect()
        }
        other => other,
    }
}

fn of_msgpack(value: &rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(value) => (*value).into(),
        rmpv::Value::Integer(number) => match number.as_u64() {
            Some(number) => number.into(),
            None => number.as_i64().into(),
        },
        rmpv::Value::F64(number) if *number == 0.0 => 0.into(),
        rmpv::Value::F64(number) => {
            Value::Number(Number::from_f64(*number).expect("a finite number"))
        }
        rmpv::Value::String(text) => text.as_str().expect("UTF-8").into(),
        rmpv::Value::Array(items) => items.iter().map(of_msgpack).collect(),
        rmpv::Value::Map(pairs) => {
            let mut map = Map::new();
            for (key, value) in pairs {
                let key = key.as_str().expect("a key that is text").to_owned();
                assert!(map.insert(key, of_msgpack(value)).is_none(), "a key is there twice");
            }
            map.into()
        }
        other => panic!("nothing that JSON has: {other}"),
    }
}
