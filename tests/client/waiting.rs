//! Waiting in several threads, cancelling, signals.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use dotsock::{MessageType, Status};
use serde_json::json;

use crate::common::{Call, framed, read_frame, wait_until};
use crate::support::{
    HANDLED, NOW, Place, SOON, data, data_of, failure, fill, interrupt, number, recv, send,
};

#[test]
fn one_thread_receives_while_another_sends() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let echo = thread::spawn(move || {
        while let Ok(message) = read_frame(&mut server) {
            server.write_all(&framed(&message)).unwrap();
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..5000 {
                send(&client, n).unwrap();
            }
        });
        for n in 0..5000 {
            assert_eq!(recv(&client), n);
        }
    });
    client.disconnect().unwrap();
    echo.join().unwrap();
}

#[test]
fn several_receivers_share_what_arrives() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let sum: i64 = thread::scope(|scope| {
        let receivers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut sum = 0;
                loop {
                    match client.recv(None) {
                        Ok(message) => sum += number(&message),
                        Err(error) => {
                            assert_eq!(error.status(), Status::Closed);
                            return sum;
                        }
                    }
                }
            })
        });
        for n in 0..300 {
            server.write_all(&data_of(n * 10..n * 10 + 10)).unwrap();
        }
        wait_until("all to be taken", || client.stats().messages_received == 3000);
        client.disconnect().unwrap();
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum()
    });
    assert_eq!(sum, (0..3000i64).sum::<i64>());
}

#[test]
fn cancel_ends_one_recv_and_every_send_that_waits() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    // Pending, whatever is ready, until a call that may wait takes it; once.
    server.write_all(&data(1)).unwrap();
    client.cancel().unwrap();
    client.cancel().unwrap();
    assert_eq!(number(&client.recv(NOW).unwrap()), 1);
    server.write_all(&data(2)).unwrap();
    assert_eq!(failure(&client, SOON), Status::Cancelled);
    assert_eq!(recv(&client), 2);

    for _ in 0..20 {
        thread::scope(|scope| {
            let sender = Call::asleep(scope, || {
                let text = "x".repeat(8000);
                loop {
                    if let Err(error) = client.send_data(MessageType::Data, &json!({"t": text})) {
                        return error.status();
                    }
                }
            });
            let receiver = Call::asleep(scope, || failure(&client, None));
            client.cancel().unwrap();
            assert_eq!(receiver.join(), Status::Cancelled);
            // It may have waited for the rest of a message, which counts as sent, and have gone on
            // to the next one; with a cancel pending that must not wait.
            client.cancel().unwrap();
            assert_eq!(sender.join(), Status::Cancelled);
            assert_eq!(client.connect().unwrap_err().status(), Status::Cancelled);
        });
    }
    assert_eq!(failure(&client, Some(Duration::from_millis(1))), Status::Timeout);
}

#[test]
fn a_cancel_that_is_pending_ends_a_send_that_comes_to_wait_and_stays() {
    let place = Place::new();
    let (client, _server, _listener) = place.connected(&[("send_timeout", "0.1")]);
    fill(&client);
    client.cancel().unwrap();
    assert_eq!(send(&client, 1), Err(Status::Cancelled));
    assert_eq!(send(&client, 1), Err(Status::Cancelled));
    assert_eq!(failure(&client, SOON), Status::Cancelled);
    assert_eq!(send(&client, 1), Err(Status::Timeout));
}

#[test]
fn cancel_ends_a_recv_that_waits_for_a_server() {
    let place = Place::new();
    let client = place.client(&[]);
    client.cancel().unwrap();
    assert_eq!(client.connect().unwrap_err().status(), Status::Cancelled);
    assert!(client.fd().is_some(), "it was told to connect");
    thread::scope(|scope| {
        let receiver = Call::asleep(scope, || failure(&client, None));
        client.cancel().unwrap();
        assert_eq!(receiver.join(), Status::Cancelled);
    });
}

/// How long this thread has run.
fn thread_time() -> Duration {
    // SAFETY: a timespec is plain integers; the call writes it.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn calls_that_wait_sleep() {
    let place = Place::new();
    let time = Some(Duration::from_millis(400));
    let sleeps = |what: &str, status, call: &dyn Fn() -> Status| {
        let before = thread_time();
        assert_eq!(call(), status, "{what}");
        let took = thread_time() - before;
        assert!(took < Duration::from_millis(100), "{what}: {took:?}");
    };
    let options = [("client_queue_size", "50000"), ("send_timeout", "0.4")];
    let (client, mut server, _listener) = place.connected(&options);
    client.fd().unwrap();
    let cancel = || {
        client.cancel().unwrap();
        assert_eq!(failure(&client, time), Status::Cancelled);
    };
    assert_eq!(failure(&client, Some(Duration::from_millis(1))), Status::Timeout);
    cancel();
    sleeps("recv after a cancel", Status::Timeout, &|| failure(&client, time));
    server.write_all(&data(1)[..20]).unwrap();
    sleeps("recv within a frame", Status::Timeout, &|| failure(&client, time));
    fill(&client);
    sleeps("recv with no room to write", Status::Timeout, &|| failure(&client, time));
    cancel();
    sleeps("send after a cancel", Status::Timeout, &|| send(&client, 1).unwrap_err());
    server.write_all(&data(1)[20..]).unwrap();
    server.write_all(&data_of(0..1000)).unwrap();
    sleeps("send with a full inbox", Status::Timeout, &|| send(&client, 1).unwrap_err());
    drop((server, _listener));
    client.clear_buffer().unwrap();
    sleeps("send with nobody there", Status::Timeout, &|| send(&client, 1).unwrap_err());
    client.clear_buffer().unwrap();
    sleeps("recv with nobody there", Status::Timeout, &|| failure(&client, time));
}

#[test]
fn a_signal_handler_interrupts_the_calls_that_wait() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    assert_eq!(interrupt(|| failure(&client, None)), Status::Interrupted);
    assert!(HANDLED.load(Ordering::SeqCst));
    let waiting = || {
        (0..).find_map(|_| {
            client.send_data(MessageType::Data, &json!({"t": "x".repeat(9000)})).err()
        })
    };
    assert_eq!(interrupt(waiting).unwrap().status(), Status::Interrupted);
    server.write_all(&data(1)).unwrap();
    assert_eq!(recv(&client), 1);
}
