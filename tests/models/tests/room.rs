//! Who writes to a client: senders that wait for room, each in its turn, and the engine when none
//! does. Whatever hands the writing on loses no wake-up and keeps the order.

use std::time::Duration;

use dotsock_models::cancels::Cancels;
use dotsock_models::kernel::{EventFd, StreamSocket};
use dotsock_models::line::delivery::Delivery;
use dotsock_models::line::recipient::Recipient;
use dotsock_models::line::segment::Segment;
use dotsock_models::line::waiting::Wait;
use loom::sync::{Arc, Mutex};
use loom::thread;

const CLIENT: u64 = 1;

#[derive(Default)]
struct Server {
    state: Mutex<State>,
    cancels: Cancels,
    cancel: EventFd,
    wake: EventFd,
}

#[derive(Default)]
struct State {
    delivery: Delivery,
    stopped: bool,
}

impl Server {
    /// One client that has frames 1 and 2 before it: one in its socket, one in its outbox.
    fn new() -> (Arc<Server>, std::sync::Arc<StreamSocket>) {
        let server = Server::default();
        let mut client = Recipient::default();
        let socket = client.socket.clone();
        {
            let mut state = server.state.lock().unwrap();
            for frame in [1, 2] {
                client.queue(CLIENT, &Segment([frame]), &mut state.delivery.common);
                client.write(CLIENT, &mut state.delivery.common);
            }
            state.delivery.clients.insert(CLIENT, client);
        }
        (Arc::new(server), socket)
    }

    /// As a broadcast with `slow_client = block`; whether it was queued.
    fn send(&self, frame: u8) -> bool {
        let frame = std::sync::Arc::new(Segment([frame]));
        let cancels = self.cancels.asked();
        let mut wait = Wait::new(frame.clone());
        {
            let mut state = self.state.lock().unwrap();
            if state.stopped {
                return false;
            }
            let Delivery { clients, common } = &mut state.delivery;
            let client = clients.get_mut(&CLIENT).unwrap();
            client.write(CLIENT, common);
            if client.waiting.is_empty() && client.has_room(1, common) {
                client.queue(CLIENT, &frame, common);
                client.write(CLIENT, common);
                return true;
            }
            assert!(wait.join(CLIENT, client, common));
        }
        self.wait_for_room(wait, cancels)
    }

    /// As `Shared::wait_for_room`.
    fn wait_for_room(&self, mut wait: Wait, cancels: u64) -> bool {
        loop {
            let mut state = self.state.lock().unwrap();
            if !state.stopped {
                wait.advance(&mut state.delivery);
            }
            if wait.is_over() {
                return true;
            }
            let cancelled = self.cancels.is_pending() || self.cancels.asked() != cancels;
            if state.stopped || cancelled {
                wait.give_up(&mut state.delivery, true);
                return false;
            }
            let sockets = wait.sockets(&state.delivery);
            drop(state);
            wait.sleep(&sockets, &self.cancel, Duration::MAX).unwrap();
            self.cancels.quiet(&self.cancel);
        }
    }

    /// As the engine: when the server stops, the client is its alone until nothing is left.
    fn drive(&self, socket: &StreamSocket) {
        let mut leaving = None;
        while !leaving.as_ref().is_some_and(|client: &Recipient| !client.is_behind()) {
            socket.epoll(&self.wake);
            let mut state = self.state.lock().unwrap();
            self.wake.clear();
            if state.stopped && leaving.is_none() {
                let mut client = state.delivery.clients.remove(&CLIENT).unwrap();
                client.wake_all();
                client.waiting.clear();
                leaving = Some(client);
            }
            let Delivery { clients, common } = &mut state.delivery;
            let client = leaving.as_mut().or(clients.get_mut(&CLIENT));
            client.unwrap().write(CLIENT, common);
        }
    }

    fn stop(&self) {
        let mut state = self.state.lock().unwrap();
        state.stopped = true;
        state.delivery.clients.values().for_each(|client| client.wake_all());
        self.wake.signal();
    }
}

#[test]
fn senders_that_wait_are_served_in_order_without_an_engine() {
    dotsock_models::check(|| {
        let (server, socket) = Server::new();
        let senders = [3, 4].map(|frame| {
            let server = server.clone();
            thread::spawn(move || assert!(server.send(frame)))
        });
        assert_eq!([socket.receive(), socket.receive()], [1, 2]);
        // The last one of a sender that has gone is the engine's to write.
        for sender in senders {
            drop(sender);
        }
        let engine = {
            let (server, socket) = (server.clone(), socket.clone());
            thread::spawn(move || server.drive(&socket))
        };
        let mut rest = [socket.receive(), socket.receive()];
        rest.sort();
        assert_eq!(rest, [3, 4]);
        server.stop();
        engine.join().unwrap();
    });
}

#[test]
fn a_cancelled_sender_hands_the_writing_on() {
    dotsock_models::check(|| {
        let (server, socket) = Server::new();
        let sender = {
            let server = server.clone();
            thread::spawn(move || server.send(3))
        };
        let engine = {
            let (server, socket) = (server.clone(), socket.clone());
            thread::spawn(move || server.drive(&socket))
        };
        server.cancels.ask(|| Some(&server.cancel));
        // Whatever became of the third, the two before it arrive.
        assert_eq!([socket.receive(), socket.receive()], [1, 2]);
        let queued = sender.join().unwrap() || {
            let state = server.state.lock().unwrap();
            assert_eq!(state.delivery.common.dropped, 1);
            false
        };
        if queued {
            assert_eq!(socket.receive(), 3);
        }
        server.stop();
        engine.join().unwrap();
    });
}

#[test]
fn a_stop_ends_a_sender_and_what_is_queued_still_leaves() {
    dotsock_models::check(|| {
        let (server, socket) = Server::new();
        let sender = {
            let server = server.clone();
            thread::spawn(move || server.send(3))
        };
        let engine = {
            let (server, socket) = (server.clone(), socket.clone());
            thread::spawn(move || server.drive(&socket))
        };
        server.stop();
        assert_eq!([socket.receive(), socket.receive()], [1, 2]);
        if sender.join().unwrap() {
            assert_eq!(socket.receive(), 3);
        }
        engine.join().unwrap();
    });
}
