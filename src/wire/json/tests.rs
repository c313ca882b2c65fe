use super::*;
use crate::Status;

fn printed(msgpack: &[u8]) -> String {
    to_json(msgpack).unwrap()
}

fn parsed(json: &str) -> Vec<u8> {
    value_from_json(json, 128).unwrap()
}

/// The error for a text that must be refused.
fn refused(json: &str) -> String {
    let error = value_from_json(json, 128).unwrap_err();
    assert_eq!(error.status(), Status::Message, "{json}");
    error.to_string()
}

#[test]
fn every_kind_has_its_text() {
    for (msgpack, json) in [
        (&b"\xc0"[..], "null"),
        (b"\xc2", "false"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808"),
        (b"\xcb\x3f\xf0\0\0\0\0\0\0", "1.0"),
        (b"\xca\x3d\xcc\xcc\xcd", "0.1"),
        (b"\xca\x3f\xc0\0\0", "1.5"),
        (b"\xcb\x7f\xf8\0\0\0\0\0\0", "null"),
        (b"\xcb\xff\xf0\0\0\0\0\0\0", "null"),
        (b"\xca\x7f\x80\0\0", "null"),
        (b"\xc4\x04\x00\xff\x10\x80", "\"AP8QgA==\""),
        (b"\xa5a\"\\\n\x01", r#""a\"\\\n\u0001""#),
        (b"\xa3a\xff\xc3", "\"a\u{fffd}\u{fffd}\""),
        (b"\x93\x01\x90\x80", "[1,[],{}]"),
        (b"\xc7\x03\x05\x01\x02\x03", r#"{"type":5,"data":"AQID"}"#),
        (b"\xd6\xff\x6a\xb1\x3b\x80", "\"2026-09-21T14:13:20.000000+00:00\""),
        (b"\xd6\xff\0\0\0\0", "\"1970-01-01T00:00:00.000000+00:00\""),
        (
            b"\xc7\x0c\xff\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff",
            "\"1969-12-31T23:59:59.000000001+00:00\"",
        ),
        (b"\xc7\x0c\xff\x3b\x9a\xca\0\0\0\0\0\0\0\0\0", r#"{"type":-1,"data":"O5rKAAAAAAAAAAAA"}"#),
        (b"\xd4\xff\0", r#"{"type":-1,"data":"AA=="}"#),
    ] {
        assert_eq!(printed(msgpack), json, "{msgpack:02x?}");
    }
}

#[test]
fn keys_that_are_no_strings_are_their_json_text() {
    assert_eq!(
        printed(b"\x85\x01\xc0\xc0\x01\x92\x01\xa1a\x02\x81\x03\xc3\x04\xc4\x01\x00\x05"),
        r#"{"1":null,"null":1,"[1,\"a\"]":2,"{\"3\":true}":4,"\"AA==\"":5}"#
    );
}

#[test]
fn equal_keys_of_messagepack_stay() {
    assert_eq!(printed(b"\x82\xa1a\x01\xa1a\x02"), r#"{"a":1,"a":2}"#);
}

#[test]
fn keys_in_keys_have_an_end() {
    let nested = |levels: usize| [vec![0x81; levels], vec![0x01; levels + 1]].concat();
    assert!(to_json(&nested(4)).is_ok());
    for levels in [6, 100, 1_000_000] {
        assert_eq!(to_json(&nested(levels)).unwrap_err().status(), Status::Message);
    }
}

#[test]
fn depth_costs_no_stack() {
    let levels = 1_000_000;
    let msgpack = [vec![0x91; levels], vec![0x07]].concat();
    let json = printed(&msgpack);
    assert_eq!(json, format!("{}7{}", "[".repeat(levels), "]".repeat(levels)));
    assert_eq!(value_from_json(&json, levels).unwrap(), msgpack);
    let error = value_from_json(&json, levels - 1).unwrap_err().to_string();
    assert_eq!(error, "JSON, line 1, column 1000000: nested deeper than 999999 levels (max_depth)");
}

#[test]
fn json_becomes_the_shortest_messagepack() {
    for (json, msgpack) in [
        (" null ", &b"\xc0"[..]),
        ("[true,false]", b"\x92\xc3\xc2"),
        ("0", b"\x00"),
        ("-0", b"\x00"),
        ("128", b"\xcc\x80"),
        ("-1", b"\xff"),
        ("-33", b"\xd0\xdf"),
        ("18446744073709551615", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("-9223372036854775808", b"\xd3\x80\0\0\0\0\0\0\0"),
        ("1.0", b"\xcb\x3f\xf0\0\0\0\0\0\0"),
        ("1e0", b"\xcb\x3f\xf0\0\0\0\0\0\0"),
        ("-0.0", b"\xcb\x80\0\0\0\0\0\0\0"),
        ("1e-999", b"\xcb\0\0\0\0\0\0\0\0"),
        (r#""a\/\u00e9\ud83c\udfa8\n""#, b"\xa9a/\xc3\xa9\xf0\x9f\x8e\xa8\n"),
        ("{\"b\":1,\"a\":[{}]}", b"\x82\xa1b\x01\xa1a\x91\x80"),
        ("\t{ \"\" :\r\n[ ] }", b"\x81\xa0\x90"),
    ] {
        assert_eq!(parsed(json), msgpack, "{json}");
    }
    let many: Vec<String> = (0..70_000).map(|number| format!("\"k{number}\":[{number}]")).collect();
    let text = format!("{{{}}}", many.join(","));
    assert_eq!(printed(&parsed(&text)), text);
}

#[test]
fn of_equal_keys_the_last_wins_in_the_place_of_the_first() {
    assert_eq!(
        printed(&parsed(r#"{"a":1,"b":2,"a":{"c":3,"c":4},"d":5}"#)),
        r#"{"a":{"c":4},"b":2,"d":5}"#
    );
    assert_eq!(printed(&parsed(r#"{"a":1,"\u0061":2}"#)), r#"{"a":2}"#);
    let many: Vec<String> =
        (0..40).map(|number| format!("\"k{}\":{number}", number % 10)).collect();
    let kept: Vec<String> =
        (0..10).map(|number| format!("\"k{number}\":{}", 30 + number)).collect();
    assert_eq!(
        printed(&parsed(&format!("{{{}}}", many.join(",")))),
        format!("{{{}}}", kept.join(","))
    );
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (json, error) in [
        ("", "line 1, column 1: the text ends too early"),
        ("{\"a\": 1,\n \"ж\": tru}", "line 2, column 7: expected a value"),
        ("{\"a\":1,}", "line 1, column 8: expected a key, which is a string in double quotes"),
        ("[1,]", "line 1, column 4: expected a value"),
        ("[1", "line 1, column 3: expected ',' or ']'"),
        ("[1}", "line 1, column 3: expected ',' or ']'"),
        ("{\"a\" 1}", "line 1, column 6: expected ':' behind the key"),
        ("1 2", "line 1, column 3: expected the end of the text"),
        ("18446744073709551616", "line 1, column 1: an integer must be within -2^63 and 2^64-1"),
        ("-9223372036854775809", "line 1, column 1: an integer must be within -2^63 and 2^64-1"),
        ("1e999", "line 1, column 1: the number is too large for a double"),
        ("01", "line 1, column 1: a number has no leading zeros"),
        ("1.", "line 1, column 3: expected a digit"),
        ("-", "line 1, column 2: expected a digit"),
        ("\"a\nb\"", "line 1, column 3: a control character in a string must be escaped"),
        ("\"a", "line 1, column 3: the text ends inside a string"),
        ("\"a\\", "line 1, column 3: no such escape in a string"),
        ("\"\\x\"", "line 1, column 2: no such escape in a string"),
        ("\"\\u12g4\"", "line 1, column 2: \\u needs four hexadecimal digits"),
        ("\"\\ud800x\"", "line 1, column 2: half of a surrogate pair stands alone"),
        ("\"\\ud800\\u0041\"", "line 1, column 2: half of a surrogate pair stands alone"),
        ("NaN", "line 1, column 1: expected a value"),
        ("\u{feff}{}", "line 1, column 1: expected a value"),
    ] {
        assert_eq!(refused(json), format!("JSON, {error}"), "{json}");
    }
    for json in ["[]", "1", "\"a\"", ""] {
        let error = object_from_json(json, 128).unwrap_err();
        assert_eq!(error.status(), Status::Message);
        assert!(error.to_string().contains("expected an object"), "{error}");
    }
}

#[test]
fn damaged_json_is_judged_as_serde_json_judges_it() {
    let seeds = [
        r#"{"a":[1,-2.5e3,"x\u00e9\ud83c\udfa8",null],"b":{"c":true,"a":"","":0}}"#,
        r#"[[],{},"\\\"",{"k":[false,1e5,0.1,12345678901234]}, "жё"]"#,
    ];
    let pieces = [
        "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", "e", ".", "u", " ", "\u{1}", "é",
        "\"a\":",
    ];
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut good = 0;
    for round in 0..60_000 {
        let mut characters: Vec<char> = seeds[round % seeds.len()].chars().collect();
        for _ in 0..=random(2) {
            let at = random(characters.len());
            match random(3) {
                0 => drop(characters.remove(at)),
                1 => drop(characters.splice(at..at, pieces[random(pieces.len())].chars())),
                _ => drop(characters.splice(at..at + 1, pieces[random(pieces.len())].chars())),
            }
        }
        let json: String = characters.into_iter().collect();
        match (value_from_json(&json, 128), serde_json::from_str::<serde_json::Value>(&json)) {
            (Ok(msgpack), Ok(expected)) => {
                good += 1;
                let expected = printed(&rmp_serde::to_vec_named(&expected).unwrap());
                // To serde_json the integer -0 is a double.
                assert!(printed(&msgpack) == expected || json.contains("-0"), "{json}");
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{json}: {ours:?}, {theirs:?}"),
        }
    }
    assert!(good > 1000, "{good}");
}
