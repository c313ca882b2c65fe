//! What a server says arrives, however its bytes come; what is no message ends or is dropped.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use dotsock::{Message, MessageType, Status};
use serde_json::json;

use crate::common::{framed, wait_until};
use crate::support::{
    NOW, Place, SOON, accept, data, data_of, failure, malformed, number, recv, send,
};

#[test]
fn messages_arrive_in_order_however_their_bytes_are_split() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    server.write_all(&data_of(0..100)).unwrap();
    for expected in 0..100 {
        assert_eq!(recv(&client), expected);
    }
    for byte in data_of(100..103) {
        server.write_all(&[byte]).unwrap();
        let _ = client.recv(NOW).map(|message| assert!(number(&message) >= 100));
    }
    let frames = data_of(200..202);
    for cut in 1..frames.len() {
        server.write_all(&frames[..cut]).unwrap();
        if cut < frames.len() / 2 {
            assert_eq!(failure(&client, NOW), Status::Timeout);
        }
        server.write_all(&frames[cut..]).unwrap();
        assert_eq!((recv(&client), recv(&client)), (200, 201));
    }
    let stats = client.stats();
    assert_eq!(stats.malformed, 0);
    assert_eq!(stats.messages_received, 103 + 2 * (frames.len() as u64 - 1));
}

#[test]
fn what_was_read_and_not_taken_is_known_without_a_look_at_the_socket() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    assert!(!client.has_next());
    // One write, so that one read has all of it; the last frame is not whole.
    let last = data(3);
    let (begun, rest) = last.split_at(20);
    server.write_all(&[&data_of(0..3), begun].concat()).unwrap();
    for expected in 0..3 {
        assert_eq!(recv(&client), expected);
        assert_eq!(client.has_next(), expected < 2);
    }
    server.write_all(rest).unwrap();
    assert!(!client.has_next(), "it has looked");
    assert_eq!(recv(&client), 3);
    // What another call has read counts, too.
    server.write_all(&data(4)).unwrap();
    wait_until("it has been read", || client.buffer_size() == 1);
    assert!(client.has_next());
    client.clear_buffer().unwrap();
    assert!(!client.has_next());
}

#[test]
fn a_timeout_passes_and_nothing_is_lost() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let start = Instant::now();
    assert_eq!(failure(&client, Some(Duration::from_millis(80))), Status::Timeout);
    assert!(start.elapsed() >= Duration::from_millis(80));
    server.write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
}

#[test]
fn large_messages_arrive_whole() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let bytes = vec![7u8; 3 << 20];
    let payload = [&[0x81, 0xa1, b'b', 0xc6][..], &(3u32 << 20).to_be_bytes(), &bytes].concat();
    let message = Message::from_msgpack("event", MessageType::Data, &payload).unwrap();
    let frame = framed(&message);
    let writer = thread::spawn(move || {
        server.write_all(&frame).unwrap();
        server.write_all(&data(2)).unwrap();
        server
    });
    assert_eq!(client.recv(SOON).unwrap().data(), payload);
    assert_eq!(recv(&client), 2);
    writer.join().unwrap();
}

#[test]
fn malformed_messages_are_dropped_and_counted_and_the_rest_arrives() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("max_depth", "3")]);
    let deep = json!({"a": {"b": {"c": {}}}});
    let deep = framed(&Message::new("event", MessageType::Data, &deep).unwrap());
    server.write_all(&[malformed(), data(1), deep, malformed(), data(2)].concat()).unwrap();
    assert_eq!((recv(&client), recv(&client)), (1, 2));
    assert_eq!(client.stats().malformed, 3);
    assert!(client.is_connected());
}

#[test]
fn without_auto_reconnect_what_had_arrived_comes_before_closed() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("auto_reconnect", "false")]);
    server.write_all(&data_of(0..3)).unwrap();
    server.write_all(&data(9)[..7]).unwrap();
    drop(server);
    wait_until("the end to be noticed", || !client.is_connected());
    assert_eq!((recv(&client), recv(&client), recv(&client)), (0, 1, 2));
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(failure(&client, NOW), Status::Closed);
    assert_eq!(send(&client, 1), Err(Status::Closed));
    assert_eq!(client.stats().malformed, 1, "the frame that was cut off");
    assert_eq!(client.address(), "");
    assert_eq!((client.server_uid(), client.server_pid()), (None, None));
}

#[test]
fn a_length_that_is_too_large_ends_the_connection_after_what_came_before() {
    let place = Place::new();
    let options = [("auto_reconnect", "false"), ("max_message_size", "1000")];
    let (client, mut server, _listener) = place.connected(&options);
    server.write_all(&[data(1), b"GET / HTTP/1.1\r\n\r\n".to_vec(), data(2)].concat()).unwrap();
    assert_eq!(recv(&client), 1);
    let error = client.recv(SOON).unwrap_err();
    assert_eq!(error.status(), Status::Message);
    assert!(error.to_string().contains("max_message_size"), "{error}");
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(client.stats().malformed, 1);
}

#[test]
fn after_garbage_an_auto_reconnecting_client_goes_on() {
    let place = Place::new();
    let (client, mut server, listener) = place.connected(&[]);
    server.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(failure(&client, SOON), Status::Message);
    let writer = thread::spawn(move || {
        let mut server = accept(&listener);
        server.write_all(&data(5)).unwrap();
        (server, listener)
    });
    assert_eq!(recv(&client), 5);
    writer.join().unwrap();
}

#[test]
fn a_frame_that_stays_incomplete_ends_the_connection() {
    let place = Place::new();
    let options = [("auto_reconnect", "false"), ("frame_timeout", "0.1")];
    let (client, mut server, _listener) = place.connected(&options);
    let start = Instant::now();
    server.write_all(&[data(1), data(2)[..9].to_vec()].concat()).unwrap();
    assert_eq!(recv(&client), 1);
    let error = client.recv(SOON).unwrap_err();
    assert_eq!(error.status(), Status::Closed);
    assert!(error.to_string().contains("frame_timeout"), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(client.stats().malformed, 1);
    assert_eq!(server.read(&mut [0]).unwrap(), 0, "the socket is closed");
}

#[test]
fn a_late_reader_judges_a_frame_only_after_reading_what_has_arrived() {
    let place = Place::new();
    let options = [("auto_reconnect", "false"), ("frame_timeout", "0.05")];
    let (client, mut server, _listener) = place.connected(&options);
    let frame = data(1);
    server.write_all(&frame[..9]).unwrap();
    assert_eq!(failure(&client, NOW), Status::Timeout);
    thread::sleep(Duration::from_millis(60));
    server.write_all(&frame[9..]).unwrap();
    assert_eq!(recv(&client), 1);
    // More than a second late, more of the frame starts the time anew.
    server.write_all(&frame[..9]).unwrap();
    assert_eq!(failure(&client, NOW), Status::Timeout);
    thread::sleep(Duration::from_millis(1100));
    server.write_all(&frame[9..12]).unwrap();
    assert_eq!(failure(&client, NOW), Status::Timeout);
    server.write_all(&frame[12..]).unwrap();
    assert_eq!(recv(&client), 1);
}

#[test]
fn the_iterator_yields_messages_until_closed() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[("auto_reconnect", "false")]);
    server.write_all(&data_of(0..5)).unwrap();
    drop(server);
    let numbers: Vec<_> = client.messages().map(|message| number(&message.unwrap())).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}
