//! Disconnecting takes nothing away, and does not take for ever.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dotsock::{Client, MessageType, Status};
use serde_json::json;

use crate::common::{Call, read_frame, wait_until};
use crate::support::{Place, SOON, data, data_of, failure, fill, number, recv, tcp_pair};

#[test]
fn disconnect_ends_a_blocked_recv_and_keeps_what_had_been_read() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    server.write_all(&data_of(0..3)).unwrap();
    assert_eq!(recv(&client), 0);
    client.disconnect().unwrap();
    client.disconnect().unwrap();
    assert!(!client.is_connected());
    assert_eq!((recv(&client), recv(&client)), (1, 2));
    assert_eq!(failure(&client, SOON), Status::Closed);
    assert_eq!(server.read(&mut [0]).unwrap(), 0, "no reset");

    client.connect().unwrap();
    thread::scope(|scope| {
        let receivers = [(); 2].map(|()| Call::asleep(scope, || failure(&client, None)));
        client.disconnect().unwrap();
        for receiver in receivers {
            assert_eq!(receiver.join(), Status::Closed);
        }
    });
}

#[test]
fn disconnect_delivers_what_the_kernel_took_although_the_server_goes_on_sending() {
    let (client, mut server, _listener) = tcp_pair(&[("linger", "10")]);
    server.write_all(&data_of(0..200)).unwrap();
    let text = "x".repeat(1 << 20);
    let message = json!({"n": 1, "t": text});
    client.send_data(MessageType::Data, &message).unwrap();
    let mut writing = server.try_clone().unwrap();
    let flooded = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&flooded);
    let flood = thread::spawn(move || {
        while writing.write_all(&data(0)).is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
        }
    });
    thread::scope(|scope| {
        let disconnecting = Call::asleep(scope, || client.disconnect());
        // What comes after a client has closed its socket would take away what it sent.
        let before = flooded.load(Ordering::Relaxed);
        wait_until("the flood goes on, or cannot", || {
            flood.is_finished() || flooded.load(Ordering::Relaxed) >= before + 10
        });
        assert_eq!(number(&read_frame(&mut server).unwrap()), 1);
        disconnecting.join().unwrap();
    });
    assert_eq!(client.stats().messages_sent, 1);
    flood.join().unwrap();
}

#[test]
fn disconnect_lingers_only_so_long() {
    for tcp in [false, true] {
        let place = Place::new();
        let options = [("linger", "0.2"), ("send_timeout", "0.05")];
        let (client, _keep): (Client, Box<dyn Send>) = if tcp {
            let (client, server, listener) = tcp_pair(&options);
            (client, Box::new((server, listener)))
        } else {
            let (client, server, listener) = place.connected(&options);
            (client, Box::new((server, listener)))
        };
        fill(&client);
        let start = Instant::now();
        client.disconnect().unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}
