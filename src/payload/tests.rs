use super::*;

fn json(payload: &Payload) -> String {
    json::to_json(payload.as_msgpack()).unwrap()
}

/// A payload made of a JSON object.
fn payload(json: &str) -> Payload {
    let mut payload = Payload::new();
    payload.set_json("", json).unwrap();
    payload
}

#[test]
fn every_kind_of_value_is_kept_as_it_is() {
    let mut payload = Payload::new();
    payload.set_int("/int", -5).unwrap();
    payload.set_uint("/uint", u64::MAX).unwrap();
    payload.set_double("/double", 1.5).unwrap();
    payload.set_bool("/yes", true).unwrap();
    payload.set_bool("/no", false).unwrap();
    payload.set_string("/text", "\"quoted\"\0").unwrap();
    payload.set_bytes("/bytes", &[0, 255]).unwrap();
    payload.set_null("/null").unwrap();
    payload.set_json("/json", "[1, {\"a\": 2}]").unwrap();
    payload.set_msgpack("/ext", b"\xd4\x05\x07").unwrap();
    assert_eq!(
        json(&payload),
        r#"{"int":-5,"uint":18446744073709551615,"double":1.5,"yes":true,"no":false,"text":"\"quoted\"\u0000","bytes":"AP8=","null":null,"json":[1,{"a":2}],"ext":{"type":5,"data":"Bw=="}}"#
    );
    let root = Value::new(payload.as_msgpack());
    assert_eq!(root.find("/bytes").unwrap().unwrap().as_bytes(), Some(&[0, 255][..]));
    assert_eq!(root.find("/double").unwrap().unwrap().msgpack(), b"\xcb\x3f\xf8\0\0\0\0\0\0");
}

#[test]
fn missing_parents_are_made() {
    let mut payload = Payload::new();
    payload.set_string("/steps/-/name", "one").unwrap();
    payload.set_bool("/steps/0/done", true).unwrap();
    payload.set_string("/steps/-/name", "two").unwrap();
    payload.set_int("/a/b/c", 1).unwrap();
    payload.set_int("/m/-/-/x", 2).unwrap();
    payload.set_int("/numbers/0", 3).unwrap();
    assert_eq!(
        json(&payload),
        r#"{"steps":[{"name":"one","done":true},{"name":"two"}],"a":{"b":{"c":1}},"m":[[{"x":2}]],"numbers":{"0":3}}"#
    );
}

#[test]
fn setting_replaces_what_was_there() {
    let mut payload = payload(r#"{"a":{"x":1},"list":[1,2,3],"b":2}"#);
    payload.set_int("/a", 7).unwrap();
    payload.set_string("/list/1", "two").unwrap();
    payload.set_json("/b", "{\"deep\":[]}").unwrap();
    payload.set_int("/b/deep/-", 9).unwrap();
    assert_eq!(json(&payload), r#"{"a":7,"list":[1,"two",3],"b":{"deep":[9]}}"#);
    payload.set_msgpack("", b"\x80").unwrap();
    assert_eq!(json(&payload), "{}");
}

#[test]
fn a_hyphen_is_an_ordinary_key_of_a_map_and_tokens_are_unescaped() {
    let mut payload = payload(r#"{"m":{}}"#);
    payload.set_int("/m/-", 1).unwrap();
    payload.set_int("/m/-", 2).unwrap();
    payload.set_int("/m/a~1b~0c~01", 3).unwrap();
    payload.set_int("/m/", 4).unwrap();
    assert_eq!(json(&payload), r#"{"m":{"-":2,"a/b~c~1":3,"":4}}"#);
}

#[test]
fn maps_and_arrays_grow_over_every_size_of_head() {
    let mut payload = Payload::new();
    for number in 0..70_000_u64 {
        if number < 300 {
            payload.set_uint(&format!("/map/{number}"), number).unwrap();
        }
        payload.set_uint("/list/-", number).unwrap();
    }
    check_payload(payload.as_msgpack(), 2).unwrap();
    let root = Value::new(payload.as_msgpack());
    for (pointer, number) in [("/map/299", 299), ("/list/69999", 69_999), ("/list/0", 0)] {
        assert_eq!(root.at(pointer).unwrap().as_u64(), Some(number), "{pointer}");
    }
    assert_eq!(root.at("/map").unwrap().size(), Some(300));
    assert_eq!(root.at("/list").unwrap().size(), Some(70_000));
}

#[test]
fn a_call_that_fails_changes_nothing() {
    let mut payload = payload(r#"{"n":null,"i":1,"s":"text","list":[1]}"#);
    let before = payload.clone();
    for (pointer, part) in [
        ("a", "begin with '/'"),
        ("/a~", "\"~0\""),
        ("/a~2b", "\"~0\""),
        ("/n/x", "nil, neither a map nor an array"),
        ("/i/x/y", "an integer, neither"),
        ("/s/-", "a string, neither"),
        ("/list/1", "no element '1' (1 elements"),
        ("/list/01", "no element '01'"),
        ("/list/x/y", "no element 'x'"),
        ("", "takes a map only"),
    ] {
        let error = payload.set_int(pointer, 1).unwrap_err();
        assert_eq!(error.status(), Status::Invalid, "{pointer}");
        assert!(error.to_string().contains(part), "{error}");
    }
    for (pointer, value) in [
        ("/a", &b""[..]),
        ("/a", b"\xc1"),
        ("/a", b"\x01\x02"),
        ("/a", b"\x91"),
        ("", b"\x81\x01\x02"),
    ] {
        let error = payload.set_msgpack(pointer, value).unwrap_err();
        assert_eq!(error.status(), Status::Message, "{pointer} {value:?}");
    }
    assert_eq!(payload.set_json("/a", "{").unwrap_err().status(), Status::Message);
    assert_eq!(payload.set_json("", "[1]").unwrap_err().status(), Status::Invalid);
    assert_eq!(payload.as_msgpack(), before.as_msgpack());
}

#[test]
fn values_stay_within_128_levels() {
    let mut payload = Payload::new();
    payload.set_int(&"/d".repeat(128), 1).unwrap();
    check_payload(payload.as_msgpack(), 128).unwrap();
    let too_deep = [
        payload.set_int(&"/x".repeat(129), 1),
        payload.set_json(&"/x".repeat(128), "[]"),
        payload.set_json("/x", &format!("{}{}", "[".repeat(128), "]".repeat(128))),
    ];
    for result in too_deep {
        assert_eq!(result.unwrap_err().status(), Status::Message);
    }
    payload.set_json("/x", &format!("{}{}", "[".repeat(127), "]".repeat(127))).unwrap();
    check_payload(payload.as_msgpack(), 128).unwrap();
}

#[test]
fn keys_of_other_kinds_are_found_by_their_json_text() {
    let mut payload = Payload::new();
    payload.set_msgpack("/m", b"\x82\x07\xa1a\xc3\xa1b").unwrap();
    payload.set_int("/m/7", 1).unwrap();
    payload.set_int("/m/true", 2).unwrap();
    assert_eq!(payload.as_msgpack(), b"\x81\xa1m\x82\x07\x01\xc3\x02");
}
