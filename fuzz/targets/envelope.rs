//! An envelope is accepted if and only if rmpv and the rules of the wire protocol accept it, and
//! says the same.
#![no_main]

use dotsock::{Message, MessageType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let expected = dotsock_fuzz::envelope(input);
    let message = match Message::from_envelope(input) {
        Ok(message) => message,
        Err(error) => {
            let unused = error.to_string().contains("0xc1");
            assert!(expected.is_none() || unused, "refused ({error}), but it is {expected:?}");
            return;
        }
    };
    let expected = expected.expect("an envelope that rmpv knows too");
    assert_eq!(message.envelope(), input);
    assert_eq!(message.event_name(), expected.event_name);
    assert_eq!(message.timestamp_ms(), expected.timestamp_ms);
    assert_eq!(message.timestamp_iso(), expected.timestamp_iso);
    let message_type = match message.message_type() {
        MessageType::Data => "data",
        MessageType::Error => "error",
        MessageType::Control => "control",
    };
    assert_eq!(message_type, expected.message_type);
    let data = dotsock_fuzz::value(message.data()).expect("a payload that rmpv knows too");
    assert_eq!(format!("{data:?}"), format!("{:?}", expected.data), "NaN equals itself here");

    // What was received can be sent on, whole or its payload alone.
    let again = Message::from_msgpack("event", message.message_type(), message.data());
    assert_eq!(again.expect("a payload that was checked").data(), message.data());
    message.decode::<serde::de::IgnoredAny>().expect("a payload that serde can read");
});
