use super::*;
use crate::zone::Zone;

fn frame_of(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

fn compose(name: &str, kind: MessageType, ms: i64, zone: Zone, data: &[u8]) -> (Vec<u8>, Fields) {
    let mut frame = vec![0xaa; 3];
    let fields = Template::new(name, kind).write_head(&Stamp::at(zone, ms), data.len(), &mut frame);
    frame.extend_from_slice(data);
    (frame.split_off(3), fields)
}

fn ours(data: &[u8]) -> Vec<u8> {
    compose("event", MessageType::Data, 1_790_000_000_000, Zone::UTC, data).0
}

#[test]
fn what_is_written_is_read_again() {
    let data = b"\x81\xa1k\x01";
    let name = "N".repeat(64);
    let zone = |name| Zone::named(name).unwrap();
    for (name, zone) in
        [("a", Zone::UTC), (&*name, zone("Africa/Monrovia")), ("x_1", zone("Asia/Kolkata"))]
    {
        for kind in [MessageType::Data, MessageType::Error, MessageType::Control] {
            for ms in [
                1_790_000_000_000,
                u32::MAX.into(),
                i64::from(u32::MAX) + 1,
                70_000,
                0,
                -1,
                -2_000_000_000_000,
                253_402_300_800_000,
                i64::MAX,
                i64::MIN,
            ] {
                let (frame, fields) = compose(name, kind, ms, zone, data);
                assert_eq!(check(&frame, 1).unwrap(), fields);
                assert_eq!(check_any_order(&frame, 1).unwrap(), fields);
                assert_eq!((fields.timestamp_ms, fields.message_type), (ms, kind));
                let at = |range: &Range<u32>| &frame[range.start as usize..range.end as usize];
                assert_eq!(at(&fields.event_name), name.as_bytes());
                assert_eq!(at(&fields.timestamp_iso), Stamp::at(zone, ms).iso().as_bytes());
                assert_eq!(at(&fields.data), data);
                assert_eq!(frame[..HEADER], ((frame.len() - HEADER) as u32).to_be_bytes());
            }
        }
    }
}

#[test]
fn a_usual_head_has_the_length_that_was_told() {
    let (frame, _) = compose("event", MessageType::Error, 31_536_000_000, Zone::UTC, b"");
    assert_eq!(frame.len(), Template::new("event", MessageType::Error).head_len());
}

/// A payload of that many levels, itself the first.
fn nested(levels: usize) -> Vec<u8> {
    let mut data = b"\x81\xa1k".to_vec();
    data.extend(std::iter::repeat_n(0x91, levels - 1));
    data.push(0x01);
    data
}

#[test]
fn depth_is_counted_from_the_payload() {
    for depth in [1, 2, 15, 16, 17, 18, 19, 128, 100_000] {
        assert!(check(&ours(&nested(depth)), depth).is_ok(), "{depth}");
        assert_eq!(check(&ours(&nested(depth + 1)), depth), Err(TOO_DEEP), "{depth}");
        assert!(check_payload(&nested(depth), depth).is_ok());
        assert_eq!(check_payload(&nested(depth + 1), depth).unwrap_err().status(), Status::Message);
    }
    // Empty ones are levels too.
    assert_eq!(check(&ours(b"\x81\xa1k\x90"), 1), Err(TOO_DEEP));
}

#[test]
fn levels_that_go_on_behind_a_nested_one_are_counted_right() {
    // {"k": [[[1], 2], 3, {"m": [4]}], "l": 5}
    let data = b"\x82\xa1k\x93\x92\x91\x01\x02\x03\x81\xa1m\x91\x04\xa1l\x05";
    assert!(check(&ours(data), 4).is_ok());
    assert_eq!(check(&ours(data), 3), Err(TOO_DEEP));
    let mut wide = b"\x81\xa1k".to_vec();
    for _ in 0..40 {
        wide.extend_from_slice(b"\x92");
    }
    for _ in 0..41 {
        wide.extend_from_slice(b"\xc0");
    }
    assert!(check(&ours(&wide), 41).is_ok());
    assert_eq!(check(&ours(&wide), 40), Err(TOO_DEEP));
}

/// The five pairs of an envelope, in our order.
fn pairs() -> [Vec<u8>; 5] {
    [
        b"\xaaevent_name\xa1e".to_vec(),
        b"\xactimestamp_ms\x05".to_vec(),
        b"\xadtimestamp_iso\xa3now".to_vec(),
        b"\xacmessage_type\xa4data".to_vec(),
        b"\xa4data\x81\xa1k\x01".to_vec(),
    ]
}

fn envelope(pairs: &[Vec<u8>]) -> Vec<u8> {
    frame_of(&[&[0x80 | pairs.len() as u8][..], &pairs.concat()].concat())
}

#[test]
fn keys_that_are_not_known_are_ignored_whatever_they_are() {
    let strangers: [&[u8]; 7] = [
        b"\xa5trace\x81\xa1x\x92\x01\x02",
        b"\x07\xc0",
        b"\xc0\xa4data",
        b"\x92\x01\x91\x02\x80",
        b"\xd9\x04dat\xff\x01",
        b"\xd4\x05\x00\xc4\x01\x00",
        b"\xa0\xcb\0\0\0\0\0\0\0\0",
    ];
    for stranger in strangers {
        for place in 0..=5 {
            let mut pairs = pairs().to_vec();
            pairs.insert(place, stranger.to_vec());
            check(&envelope(&pairs), 4).unwrap();
        }
    }
}

#[test]
fn ignored_keys_and_values_are_bounded_in_depth_too() {
    for deep in [b"\x01\x91\x91\x91\x00".to_vec(), b"\x91\x91\x91\x00\x01".to_vec()] {
        let mut pairs = pairs().to_vec();
        pairs.push(deep);
        assert!(check(&envelope(&pairs), 3).is_ok());
        assert_eq!(check(&envelope(&pairs), 2), Err(TOO_DEEP));
    }
}

#[test]
fn a_known_key_twice_is_malformed() {
    for twice in pairs() {
        let mut pairs = pairs().to_vec();
        pairs.push(twice);
        assert_eq!(check(&envelope(&pairs), 9), Err("one of its keys is there twice"));
    }
}

#[test]
fn timestamps_are_64_signed_bits_in_any_encoding() {
    for (encoding, ms) in [
        (&b"\x00"[..], Some(0)),
        (b"\xff", Some(-1)),
        (b"\xcc\x05", Some(5)),
        (b"\xd3\x80\0\0\0\0\0\0\0", Some(i64::MIN)),
        (b"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
        (b"\xcf\x80\0\0\0\0\0\0\0", None),
        (b"\xcb\0\0\0\0\0\0\0\0", None),
    ] {
        let mut pairs = pairs();
        pairs[1] = [b"\xactimestamp_ms", encoding].concat();
        let found = check(&envelope(&pairs), 9).ok().map(|fields| fields.timestamp_ms);
        assert_eq!(found, ms, "{encoding:02x?}");
    }
}

#[test]
fn text_in_the_payload_may_be_any_bytes() {
    assert!(check(&ours(b"\x81\xa1\xff\xa2\xfe\xff"), 9).is_ok());
}

#[test]
fn every_shorter_frame_is_malformed() {
    let frame = ours(b"\x82\xa1k\xd9\x03abc\xa1l\x92\xcd\x01\x02\xc7\x01\x05\x00");
    check(&frame, 9).unwrap();
    for len in HEADER..frame.len() {
        check(&frame[..len], 9).unwrap_err();
    }
}

/// The same rules, written down a second time on top of an independent decoder.
fn slow_check(frame: &[u8], max_depth: usize) -> Option<Fields> {
    use rmpv::ValueRef;

    fn depth(value: &ValueRef) -> usize {
        match value {
            ValueRef::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
            ValueRef::Map(pairs) => {
                let deepest = pairs.iter().map(|(key, value)| depth(key).max(depth(value))).max();
                1 + deepest.unwrap_or(0)
            }
            _ => 0,
        }
    }
    fn place(frame: &[u8], text: &[u8]) -> Range<u32> {
        let start = (text.as_ptr().addr() - frame.as_ptr().addr()) as u32;
        start..start + text.len() as u32
    }

    let mut rest = &frame[HEADER..];
    let whole = rmpv::decode::read_value_ref(&mut rest).ok()?;
    let ValueRef::Map(pairs) = whole else { return None };
    if !rest.is_empty() || pairs.iter().any(|(k, v)| depth(k).max(depth(v)) > max_depth) {
        return None;
    }
    let get = |name: &str| {
        let mut found = pairs.iter().filter(|(key, _)| match key {
            ValueRef::String(key) => key.as_bytes() == name.as_bytes(),
            _ => false,
        });
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    };
    let text = |name: &str| match get(name)? {
        ValueRef::String(text) => text.as_str(),
        _ => None,
    };
    let ValueRef::Map(data) = get("data")? else { return None };
    if !data.iter().all(|(key, _)| matches!(key, ValueRef::String(_))) {
        return None;
    }
    Some(Fields {
        event_name: place(frame, text("event_name")?.as_bytes()),
        timestamp_iso: place(frame, text("timestamp_iso")?.as_bytes()),
        // Only its place is left to the code under test.
        data: check(frame, max_depth).ok()?.data,
        timestamp_ms: match get("timestamp_ms")? {
            ValueRef::Integer(ms) => ms.as_i64()?,
            _ => return None,
        },
        message_type: MessageType::from_wire(text("message_type")?.as_bytes())?,
    })
}

#[test]
fn damaged_frames_are_judged_as_an_independent_decoder_judges_them() {
    let mut reversed = pairs();
    reversed.reverse();
    let seeds = [
        ours(b"\x80"),
        ours(
            b"\x83\xa1k\xc3\xa1l\x93\x01\xcd\x01\x02\xd9\x02ab\xa1m\x82\x05\xc0\xa1x\xc7\x02\x05ab",
        ),
        ours(b"\x81\xa1a\x91\x91\x91\x81\xa1b\xca\x00\x00\x00\x00"),
        envelope(&pairs()),
        envelope(&reversed),
    ];
    // A small generator with a fixed start: every run is the same.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut good, mut bad) = (0, 0);
    for round in 0..60_000 {
        let mut frame = seeds[round % seeds.len()].clone();
        for _ in 0..=random(3) {
            let at = HEADER + random(frame.len() - HEADER);
            match random(5) {
                0 => frame[at] = random(256) as u8,
                1 => frame[at] ^= 1 << random(8),
                2 => frame.insert(at, [0x00, 0x91, 0x81, 0xc0, 0xa0, 0xc1][random(6)]),
                3 if frame.len() > HEADER + 1 => drop(frame.remove(at)),
                _ => {
                    let from = HEADER + random(frame.len() - HEADER);
                    let part = frame[from..(from + 8).min(frame.len())].to_vec();
                    frame.splice(at..at, part);
                }
            }
        }
        let max_depth = 1 + random(5);
        let verdict = check(&frame, max_depth);
        assert_eq!(verdict.clone().ok(), slow_check(&frame, max_depth), "{frame:02x?} {verdict:?}");
        assert_eq!(verdict, check_any_order(&frame, max_depth), "{frame:02x?}");
        if verdict.is_ok() { good += 1 } else { bad += 1 }
    }
    assert!(good > 1000 && bad > 1000, "{good} {bad}");
}

/// What another encoder made of the same envelope, for each vector that ours would write too.
#[test]
fn our_encoder_writes_the_bytes_of_the_vectors() {
    const NOT_WRITTEN: [&str; 5] =
        ["foreign_name", "empty_name", "keys_reversed", "extra_keys", "non_shortest"];
    let vectors = include_str!("../../../tests/vectors/valid.jsonl");
    let mut compared = 0;
    for line in vectors.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = vector["name"].as_str().unwrap();
        if NOT_WRITTEN.contains(&name) {
            continue;
        }
        let hex = vector["frame"].as_str().unwrap();
        let frame: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let fields = check(&frame, 128).unwrap();
        let at = |range: &Range<u32>| &frame[range.start as usize..range.end as usize];
        // Through JSON, where the payload has a JSON form that says it all.
        let data = match vector.get("envelope") {
            Some(envelope) if name != "float32" => {
                let json = envelope["data"].to_string();
                crate::wire::json::object_from_json(&json, 128).unwrap()
            }
            _ => at(&fields.data).to_vec(),
        };
        let event_name = str::from_utf8(at(&fields.event_name)).unwrap();
        let (kind, ms) = (fields.message_type, fields.timestamp_ms);
        assert_eq!(compose(event_name, kind, ms, Zone::UTC, &data).0, frame, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 16);
}
