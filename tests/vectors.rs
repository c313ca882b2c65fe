//! The wire vectors of `tests/vectors/`: frames that another encoder made.

use dotsock::{Message, MessageType, Status};
use serde_json::Value;

fn vectors(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let vectors: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(vectors.len() > 10);
    vectors
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn valid_envelopes_are_read_and_kept_byte_for_byte() {
    for vector in vectors("valid.jsonl") {
        let name = text(&vector, "name");
        let frame = bytes(text(&vector, "frame"));
        let message = Message::from_envelope(&frame[4..]).unwrap();
        assert_eq!(message.envelope(), &frame[4..], "{name}");

        let Some(envelope) = vector.get("envelope") else {
            assert_eq!(message.data(), bytes(text(&vector, "data_hex")), "{name}");
            continue;
        };
        let json: Value = serde_json::from_str(message.json().unwrap()).unwrap();
        assert_eq!(&json, envelope, "{name}");
        let data_json: Value = serde_json::from_str(message.data_json().unwrap()).unwrap();
        assert_eq!(data_json, envelope["data"], "{name}");
        assert_eq!(message.event_name(), text(envelope, "event_name"), "{name}");
        assert_eq!(message.timestamp_iso(), text(envelope, "timestamp_iso"), "{name}");
        assert_eq!(Some(message.timestamp_ms()), envelope["timestamp_ms"].as_i64(), "{name}");
        let message_type = match text(envelope, "message_type") {
            "data" => MessageType::Data,
            "error" => MessageType::Error,
            _ => MessageType::Control,
        };
        assert_eq!(message.message_type(), message_type, "{name}");
    }
}

#[test]
fn payloads_are_passed_through_byte_for_byte() {
    for vector in vectors("valid.jsonl") {
        let frame = bytes(text(&vector, "frame"));
        let original = Message::from_envelope(&frame[4..]).unwrap();
        let ours =
            Message::from_msgpack("event", original.message_type(), original.data()).unwrap();
        assert_eq!(ours.data(), original.data());
        let again = Message::from_envelope(ours.envelope()).unwrap();
        assert_eq!(again.data(), original.data());
        assert_eq!(again.event_name(), "event");
    }
}

#[test]
fn malformed_envelopes_are_refused() {
    for vector in vectors("malformed.jsonl") {
        let name = text(&vector, "name");
        let frame = bytes(text(&vector, "frame"));
        let announced = u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize;
        // What closes the connection is refused for its length, not for what is in it.
        let stays_open = text(&vector, "connection") == "stays open";
        assert_eq!(announced == frame.len() - 4, stays_open, "{name}");
        assert_eq!(announced > 16 << 20, !stays_open, "{name}");
        if stays_open {
            let error = Message::from_envelope(&frame[4..]).unwrap_err();
            assert_eq!(error.status(), Status::Message, "{name}");
            assert!(error.to_string().starts_with("The envelope is malformed: "), "{error}");
        }
    }
}
