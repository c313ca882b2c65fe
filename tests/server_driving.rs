//! Starting, driving, stopping: by several threads at once, and with the descriptor in view.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use common::{PATIENCE, Setup, wait_for_clients, wait_until};
use dotsock::{Event, MessageType, Server, Status};
use serde_json::json;

/// Whether a descriptor is readable now, or becomes so within the time.
fn readable(server: &Server, milliseconds: i32) -> bool {
    let mut entry = libc::pollfd { fd: server.fd().unwrap(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut entry, 1, milliseconds) > 0 }
}

fn becomes_readable(server: &Server) -> bool {
    readable(server, PATIENCE.as_millis() as i32)
}

#[test]
fn a_running_server_cannot_be_started_in_any_way() {
    let setup = Setup::new(&[]);
    let server = setup.started();
    for again in [Server::start, Server::run, Server::open] {
        assert_eq!(again(&server).unwrap_err().status(), Status::State);
    }
    server.stop().unwrap();
    server.open().unwrap();
    for again in [Server::start, Server::run, Server::open] {
        assert_eq!(again(&server).unwrap_err().status(), Status::State);
    }
}

#[test]
fn a_stop_in_the_first_moment_of_run_ends_it_once() {
    for _ in 0..300 {
        let setup = Setup::new(&[]);
        let server = setup.server();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                wait_until("it runs", || server.is_running());
                server.stop().unwrap();
                assert!(!server.is_running());
                assert_eq!(std::fs::read_dir(setup.directory.path()).unwrap().count(), 0);
            });
            server.run().unwrap();
        });
        // That stop was told of: this is a new run.
        server.cancel().unwrap();
        assert_eq!(server.run().unwrap_err().status(), Status::Cancelled);
    }
}

#[test]
fn a_run_that_goes_on_while_another_thread_stops_is_told_of_it() {
    for _ in 0..100 {
        let setup = Setup::new(&[]);
        let server = setup.server();
        server.cancel().unwrap();
        assert_eq!(server.run().unwrap_err().status(), Status::Cancelled);
        let together = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                together.wait();
                server.stop().unwrap();
            });
            together.wait();
            server.run().unwrap();
            assert!(!server.is_running());
        });
    }
}

#[test]
fn every_thread_in_next_is_told_of_a_stop() {
    for _ in 0..100 {
        let setup = Setup::new(&[]);
        let server = setup.server();
        server.open().unwrap();
        let _peers = [setup.peer(), setup.peer()];
        let (told, hears) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (told, server) = (told.clone(), &server);
                scope.spawn(move || {
                    let error = loop {
                        match server.next(None) {
                            Ok(event) => told.send(Some(event)).unwrap(),
                            Err(error) => break error,
                        }
                    };
                    assert_eq!(error.status(), Status::NotRunning);
                    told.send(None).unwrap();
                });
            }
            for _ in 0..2 {
                let event = hears.recv_timeout(PATIENCE).expect("a client");
                assert!(matches!(event, Some(Event::Connected { .. })));
            }
            server.stop().unwrap();
            let left: Vec<_> =
                (0..6).map(|_| hears.recv_timeout(PATIENCE).expect("everybody is told")).collect();
            assert_eq!(left.iter().filter(|event| event.is_none()).count(), 4);
        });
        assert!(!readable(&server, 0));
    }
}

#[test]
fn the_descriptor_is_readable_exactly_while_there_is_something_to_do() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    let next = || server.next(Some(Duration::ZERO));
    server.open().unwrap();
    assert!(!readable(&server, 0));
    let mut peer = setup.peer();
    assert!(becomes_readable(&server));
    assert!(matches!(next().unwrap(), Event::Connected { .. }));
    assert!(!readable(&server, 0));
    for number in 0..3 {
        peer.say(&json!({"n": number}));
    }
    for _ in 0..3 {
        assert!(becomes_readable(&server));
        assert!(matches!(next().unwrap(), Event::Message { .. }));
    }
    assert!(!readable(&server, 0));
    assert_eq!(next().unwrap_err().status(), Status::Timeout);
    server.disconnect_client("client-1").unwrap();
    assert!(becomes_readable(&server));
    assert!(matches!(next().unwrap(), Event::Disconnected { .. }));
    assert!(!readable(&server, 0));
    let _second = setup.peer();
    assert!(becomes_readable(&server));
    assert!(matches!(next().unwrap(), Event::Connected { .. }));
    server.stop().unwrap();
    assert!(readable(&server, 0));
    assert!(matches!(next().unwrap(), Event::Disconnected { .. }));
    assert!(readable(&server, 0));
    assert_eq!(next().unwrap_err().status(), Status::NotRunning);
    assert!(!readable(&server, 0));
    for start in [Server::open, Server::start] {
        start(&server).unwrap();
        assert!(!readable(&server, 0));
        server.stop().unwrap();
    }
}

#[test]
fn a_cancel_comes_ahead_of_events_and_is_left_by_polls() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    server.open().unwrap();
    let _peer = setup.peer();
    assert!(becomes_readable(&server));
    server.cancel().unwrap();
    assert!(matches!(server.next(Some(Duration::ZERO)).unwrap(), Event::Connected { .. }));
    server.stop().unwrap();
    assert_eq!(server.next(None).unwrap_err().status(), Status::Cancelled);
    assert!(matches!(server.next(None).unwrap(), Event::Disconnected { .. }));
    assert_eq!(server.next(None).unwrap_err().status(), Status::NotRunning);
}

#[test]
fn a_poll_does_not_wait_for_a_stop() {
    let setup = Setup::new(&[("linger", "60"), ("client_queue_size", "100000000")]);
    let server = setup.server();
    server.open().unwrap();
    let peer = setup.peer();
    server.next(Some(PATIENCE)).unwrap();
    let text = "x".repeat(1 << 22);
    server.broadcast(MessageType::Data, &json!({"text": text})).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| server.stop().unwrap());
        wait_until("it stops", || !server.is_running());
        for limit in [0, 1] {
            let error = server.next(Some(Duration::from_millis(limit))).unwrap_err();
            assert_eq!(error.status(), Status::Timeout);
        }
        drop(peer);
    });
}

#[test]
fn many_cancels_leave_nobody_awake_and_nobody_asleep() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    server.open().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loops = [(); 2].map(|()| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let error = server.next(Some(PATIENCE)).unwrap_err();
                    assert_eq!(error.status(), Status::Cancelled);
                }
            })
        });
        for _ in 0..20_000 {
            server.cancel().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        wait_until("both have ended", || {
            server.cancel().unwrap();
            loops.iter().all(|each| each.is_finished())
        });
    });
}

#[test]
fn a_port_is_not_shown_once_listening_has_ended() {
    let setup = Setup::new(&[("port", "0")]);
    let server = dotsock::Server::new(dotsock::Transport::Tcp, "event", &setup.options).unwrap();
    let (told, hears) = mpsc::channel();
    server
        .on_client_disconnected(move |server, _| {
            told.send((server.port(), server.address())).unwrap();
        })
        .unwrap();
    server.start().unwrap();
    let _peer = std::net::TcpStream::connect(server.address()).unwrap();
    wait_for_clients(&server, 1);
    server.stop().unwrap();
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), (0, String::new()));
}

#[test]
fn a_server_may_be_stopped_and_started_by_many_threads_at_once() {
    let setup = Setup::new(&[]);
    let server = Arc::new(setup.server());
    let threads = [(); 3].map(|()| {
        let server = server.clone();
        std::thread::spawn(move || {
            for _ in 0..200 {
                match server.start() {
                    Ok(()) => {}
                    Err(error) => assert_eq!(error.status(), Status::State),
                }
                server.stop().unwrap();
            }
        })
    });
    wait_until("they have ended", || threads.iter().all(|thread| thread.is_finished()));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
