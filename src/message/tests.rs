use std::borrow::Cow;

use super::*;

fn message(data: &[u8]) -> Message {
    Message::from_msgpack("event", MessageType::Data, data).unwrap()
}

fn from_json(json: &str) -> Message {
    Message::from_json("event", MessageType::Data, json).unwrap()
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Progress<'a> {
    status: &'a str,
    progress: u8,
    parts: Vec<Option<f64>>,
}

#[test]
fn a_payload_of_a_rust_type_comes_back_without_a_copy() {
    let sent = Progress { status: "processing", progress: 50, parts: vec![Some(0.5), None] };
    let message = Message::new("event", MessageType::Error, &sent).unwrap();
    assert_eq!(message.decode::<Progress>().unwrap(), sent);
    assert_eq!(
        message.data_json().unwrap(),
        r#"{"status":"processing","progress":50,"parts":[0.5,null]}"#
    );
    let inside = message.data().as_ptr_range();
    assert!(inside.contains(&message.decode::<Progress>().unwrap().status.as_ptr()));
    let error = message.decode::<Vec<u8>>().unwrap_err();
    assert_eq!(error.status(), Status::Message);
}

#[test]
fn what_is_no_map_is_no_payload() {
    let results = [
        Message::new("event", MessageType::Data, &[1, 2]),
        Message::new("event", MessageType::Data, &std::collections::BTreeMap::from([(1, 2)])),
        Message::from_msgpack("event", MessageType::Data, b"\x93\x01\x02\x03"),
        Message::from_msgpack("event", MessageType::Data, b"\x80\x80"),
        Message::from_json("event", MessageType::Data, "[]"),
    ];
    for result in results {
        assert_eq!(result.unwrap_err().status(), Status::Message);
    }
    for name in ["", "no spaces"] {
        let error = Message::from_msgpack(name, MessageType::Data, b"").unwrap_err();
        assert_eq!(error.status(), Status::Invalid);
    }
}

#[test]
fn nothing_stands_for_the_empty_map() {
    assert_eq!(message(b"").data(), b"\x80");
    assert_eq!(message(b"").data_json().unwrap(), "{}");
}

#[test]
fn both_timestamps_are_one_reading_of_the_clock() {
    let before = crate::timestamp_ms();
    let message = message(b"");
    assert!((before..=crate::timestamp_ms()).contains(&message.timestamp_ms()));
    let iso = chrono::DateTime::parse_from_rfc3339(message.timestamp_iso()).unwrap();
    assert_eq!(iso.timestamp_millis(), message.timestamp_ms());
}

#[test]
fn a_message_is_the_same_through_its_envelope() {
    let mut payload = Payload::new();
    payload.set_int("/a", 1).unwrap();
    let message = Message::from_payload("event", MessageType::Control, &payload).unwrap();
    payload.set_int("/a", 2).unwrap();
    let again = Message::from_envelope(message.envelope()).unwrap();
    assert_eq!(again.frame(), message.frame());
    assert_eq!(again.json().unwrap(), message.json().unwrap());
    assert_eq!(again.get("/a").unwrap().as_i64(), Some(1));
    assert_eq!(again.event_name(), "event");
    assert_eq!(again.message_type(), MessageType::Control);
}

#[test]
fn the_envelope_as_json_has_the_keys_that_are_known() {
    let envelope = b"\x86\xa4data\x81\xa1k\xc0\xa1x\x01\xaaevent_name\xa0\xactimestamp_ms\xff\
                     \xadtimestamp_iso\xa1t\xacmessage_type\xa5error";
    let message = Message::from_envelope(envelope).unwrap();
    assert_eq!(
        message.json().unwrap(),
        r#"{"data":{"k":null},"event_name":"","timestamp_ms":-1,"timestamp_iso":"t","message_type":"error"}"#
    );
}

#[test]
fn values_are_found_by_pointer() {
    let message =
        from_json(r#"{"":0,"a/b":{"~":1},"list":[10,[20]],"nested":{"x":{"y":"z"}},"last":true}"#);
    for (pointer, expected) in [("/", 0), ("/a~1b/~0", 1), ("/list/0", 10), ("/list/1/0", 20)] {
        assert_eq!(message.get(pointer).unwrap().as_i64(), Some(expected), "{pointer}");
    }
    assert_eq!(message.get("").unwrap().msgpack(), message.data());
    assert_eq!(message.get("/nested/x").unwrap().msgpack(), b"\x81\xa1y\xa1z");
    assert_eq!(message.get("/last").unwrap().as_bool(), Some(true));
    for pointer in
        ["/none", "/list/2", "/list/-", "/list/00", "/list/+0", "/list/", "/last/x", "/a~1b"]
    {
        assert_eq!(message.get(pointer).is_none(), pointer != "/a~1b", "{pointer}");
    }
    let invalid = message.0.payload().find("list").unwrap_err();
    assert!(invalid.to_string().contains("Not a JSON Pointer: 'list'"), "{invalid}");
}

#[test]
fn of_equal_keys_the_last_is_found_and_other_keys_by_their_text() {
    let message = message(b"\x83\xa1a\x01\xa1a\x02\xa1m\x83\x07\xa1x\xc0\xa1y\xa17\xa1z");
    assert_eq!(message.get("/a").unwrap().as_i64(), Some(2));
    assert_eq!(message.get("/m/7").unwrap().as_str(), Some("z"));
    assert_eq!(message.get("/m/null").unwrap().as_str(), Some("y"));
}

#[test]
fn a_key_without_json_text_hides_none_behind_it() {
    let key_of_keys = [&[0x81; 6][..], &[0x01; 7]].concat();
    let message = message(&[b"\x81\xa1m\x82", &key_of_keys[..], b"\x02\xa1z\x03"].concat());
    let map = message.get("/m").unwrap();
    assert_eq!((map.size(), map.key(0)), (Some(2), None));
    assert_eq!(map.key(1), Some(Cow::Borrowed(&b"z"[..])));
    assert_eq!(message.0.lend_key("/m", 0).unwrap_err().status(), Status::Message);
    assert_eq!(message.0.lend_key("/m", 1).unwrap(), b"z\0");
}

#[test]
fn values_are_read_as_what_they_are() {
    let message = message(
        b"\x88\xa1u\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1p\xd3\0\0\0\0\0\0\0\x05\xa1n\xff\
          \xa1f\xca\x40\0\0\0\xa1s\xa2\xff\xfe\xa1b\xc4\x01\x09\xa1e\xd5\x05ab\xa1m\x81\x01\x02",
    );
    let value = |pointer| message.get(pointer).unwrap();
    assert_eq!((value("/u").as_i64(), value("/u").as_u64()), (None, Some(u64::MAX)));
    assert_eq!((value("/p").as_i64(), value("/p").as_u64()), (Some(5), Some(5)));
    assert_eq!((value("/n").as_u64(), value("/n").as_f64()), (None, Some(-1.0)));
    assert_eq!((value("/f").as_i64(), value("/f").as_f64()), (None, Some(2.0)));
    assert_eq!((value("/s").as_str(), value("/s").as_text()), (None, Some(&b"\xff\xfe"[..])));
    assert_eq!((value("/b").as_bytes(), value("/b").as_text()), (Some(&[9][..]), None));
    let kinds = ["/u", "/f", "/s", "/b", "/e", "/m"].map(|pointer| value(pointer).kind());
    assert_eq!(kinds, [Kind::Int, Kind::Double, Kind::String, Kind::Bytes, Kind::Ext, Kind::Map]);
    let sizes = ["/u", "/s", "/b", "/e", "/m"].map(|pointer| value(pointer).size());
    assert_eq!(sizes, [None, Some(2), Some(1), Some(2), Some(1)]);
    assert_eq!(value("/m").key(0), Some(Cow::Borrowed(&b"1"[..])));
    assert_eq!((value("/m").key(1), value("/s").key(0)), (None, None));

    let error = message.0.payload().read_at("/f", "an integer", |value| value.as_i64());
    assert_eq!(error.unwrap_err().to_string(), "The value at '/f' is a double, not an integer");
    let error = message.0.payload().at("/none").unwrap_err();
    assert_eq!(error.to_string(), "There is no value at '/none'");
}

#[test]
fn text_is_lent_with_a_nul_and_copied_once() {
    let message = from_json(r#"{"a":"text","b":"a\u0000b","n":1}"#);
    let lent = message.0.lend_text("/a").unwrap();
    assert_eq!(lent, b"text\0");
    assert_eq!(message.0.lend_text("/b").unwrap(), b"a\0b\0");
    assert_eq!(message.0.lend_text("/a").unwrap().as_ptr(), lent.as_ptr());
    assert_eq!(message.0.lend_text("/n").unwrap_err().status(), Status::Invalid);
    assert_eq!(message.0.event_name_c().unwrap(), "event\0");
    assert_eq!(
        message.0.timestamp_iso_c().unwrap().trim_end_matches('\0'),
        message.timestamp_iso()
    );
    let json = message.0.json_c().unwrap();
    assert!(json.ends_with("}\0"));
    assert_eq!(message.0.json_c().unwrap().as_ptr(), json.as_ptr());
}

#[test]
fn keys_are_lent_in_any_order() {
    let message = message(b"\x82\xa1a\x83\x01\xc0\xa1k\x92\x01\x02\xc3\xc0\xa1b\x81\xa1z\x01");
    let keys = [
        ("/a", 0, "1\0"),
        ("/a", 1, "k\0"),
        ("/a", 2, "true\0"),
        ("/b", 0, "z\0"),
        ("", 1, "b\0"),
        ("/a", 2, "true\0"),
        ("/a", 1, "k\0"),
        ("", 0, "a\0"),
    ];
    for (pointer, index, key) in keys {
        assert_eq!(message.0.lend_key(pointer, index).unwrap(), key.as_bytes());
    }
    let error = message.0.lend_key("/b", 1).unwrap_err();
    assert_eq!(error.to_string(), "The map at '/b' has no key number 1: it has 1, counted from 0");
    assert_eq!(message.0.lend_key("/a/1", 0).unwrap_err().status(), Status::Invalid);
}

#[test]
fn an_empty_text_is_lent_apart_from_the_key_behind_it() {
    let message = from_json(r#"{"a":"","b":""}"#);
    assert_eq!(message.0.lend_text("/a").unwrap(), b"\0");
    assert_eq!(message.0.lend_key("", 1).unwrap(), b"b\0");
    assert_eq!(message.0.lend_text("/b").unwrap(), b"\0");
    assert_eq!(message.0.lend_key("", 0).unwrap(), b"a\0");
}

#[test]
fn the_keys_of_a_large_map_are_walked_in_linear_time() {
    let json: Vec<String> = (0..100_000).map(|number| format!("\"{number}\":{number}")).collect();
    let message = from_json(&format!("{{{}}}", json.join(",")));
    for number in 0..100_000 {
        assert_eq!(message.0.lend_key("", number).unwrap(), format!("{number}\0").as_bytes());
    }
}

/// What `received` makes of a message's frame is what arrives from a peer.
fn received(data: &str) -> Message {
    let sent = Message::from_json("e", MessageType::Data, data).unwrap();
    let fields = envelope::check(sent.frame(), MAX_DEPTH).unwrap();
    Message::copy_frame(sent.frame(), fields).unwrap()
}

#[test]
fn a_message_in_the_memory_of_one_that_is_gone_knows_nothing_of_it() {
    let first = received(r#"{"a": "first", "key": 1}"#);
    assert_eq!(first.data_json().unwrap(), r#"{"a":"first","key":1}"#);
    assert_eq!(first.0.lend_text("/a").unwrap(), b"first\0");
    let memory = first.0.as_ptr();
    drop(first);
    let second = received(r#"{"a": "other", "key": 2}"#);
    assert_eq!(second.0.as_ptr(), memory);
    assert_eq!(second.data_json().unwrap(), r#"{"a":"other","key":2}"#);
    assert_eq!(second.0.lend_text("/a").unwrap(), b"other\0");
}

#[test]
fn memory_that_a_clone_still_has_is_nobody_elses() {
    let first = received(r#"{"a": 1}"#);
    let clone = first.clone();
    drop(first);
    let second = received(r#"{"a": 2}"#);
    assert_eq!(clone.get("/a").unwrap().as_u64(), Some(1));
    assert_eq!(second.get("/a").unwrap().as_u64(), Some(2));
}

#[test]
fn a_small_message_does_not_keep_the_memory_of_a_large_one() {
    drop(received(&format!(r#"{{"a": "{}"}}"#, "x".repeat(3000))));
    let small = received(r#"{"a": 1}"#);
    assert!(small.0.frame.capacity() <= 4 * small.frame().len());
}

#[test]
fn a_thread_keeps_no_large_memory() {
    let large = received(&format!(r#"{{"a": "{}"}}"#, "x".repeat(8000)));
    let size = large.frame().len();
    drop(large);
    let next = received(&format!(r#"{{"a": "{}"}}"#, "x".repeat(7000)));
    assert!(next.0.frame.capacity() < size);
}
