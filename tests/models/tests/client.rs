//! Threads that sleep in calls of one client: news and cancels reach whom they concern.

use dotsock_models::kernel::{AsFd, WaitFor, poll};
use dotsock_models::waking::{Sleepers, Wake};
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;

#[derive(Default)]
struct Client {
    wake: Wake,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sleepers: Sleepers,
    messages: u32,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Message,
    Cancelled,
}

impl Client {
    /// As `Guard::wait` does it.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        receives: bool,
    ) -> MutexGuard<'a, State> {
        let event = self.wake.event().unwrap();
        if state.sleepers.is_cancel_pending(&self.wake) {
            return state;
        }
        let bed = state.sleepers.lie_down(receives);
        drop(state);
        poll(&[(event.as_fd(), WaitFor::Read)], None).unwrap();
        let mut state = self.state.lock().unwrap();
        state.sleepers.get_up(bed, &self.wake);
        state
    }

    /// As `Client::recv`.
    fn receive(&self) -> Outcome {
        let mut state = self.state.lock().unwrap();
        let mut woken = false;
        loop {
            if state.sleepers.take_cancel(&self.wake) {
                return Outcome::Cancelled;
            }
            if state.messages > 0 {
                state.messages -= 1;
                return Outcome::Message;
            }
            if woken {
                state.sleepers.found_nothing(&self.wake);
            }
            state = self.wait(state, true);
            woken = true;
        }
    }

    /// As a send that finds no room until it is cancelled.
    fn send(&self) -> Outcome {
        let mut state = self.state.lock().unwrap();
        let cancels = self.wake.cancels();
        if state.sleepers.is_cancel_pending(&self.wake) {
            return Outcome::Cancelled;
        }
        loop {
            state = self.wait(state, false);
            if self.wake.cancels() != cancels {
                return Outcome::Cancelled;
            }
            state.sleepers.found_nothing(&self.wake);
        }
    }

    /// As a call that has read a message while others sleep.
    fn arrive(&self) {
        let mut state = self.state.lock().unwrap();
        state.messages += 1;
        state.sleepers.tell(&self.wake);
    }
}

fn spawn<R: 'static>(client: &Arc<Client>, run: fn(&Client) -> R) -> thread::JoinHandle<R> {
    let client = client.clone();
    thread::spawn(move || run(&client))
}

#[test]
fn a_cancel_ends_a_receive_whenever_it_comes() {
    dotsock_models::check(|| {
        let client = Arc::new(Client::default());
        let receiver = spawn(&client, Client::receive);
        client.wake.cancel();
        assert_eq!(receiver.join().unwrap(), Outcome::Cancelled);
    });
}

#[test]
fn a_message_wakes_a_receiver() {
    dotsock_models::check(|| {
        let client = Arc::new(Client::default());
        let receiver = spawn(&client, Client::receive);
        client.arrive();
        assert_eq!(receiver.join().unwrap(), Outcome::Message);
    });
}

#[test]
fn two_messages_wake_two_receivers() {
    dotsock_models::check(|| {
        let client = Arc::new(Client::default());
        let receivers = [spawn(&client, Client::receive), spawn(&client, Client::receive)];
        client.arrive();
        client.arrive();
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), Outcome::Message);
        }
    });
}

#[test]
fn a_cancel_ends_one_receive_and_takes_no_message_from_the_other() {
    dotsock_models::check(|| {
        let client = Arc::new(Client::default());
        let receivers = [spawn(&client, Client::receive), spawn(&client, Client::receive)];
        client.wake.cancel();
        client.arrive();
        let outcomes = receivers.map(|receiver| receiver.join().unwrap());
        assert!(outcomes.contains(&Outcome::Message) && outcomes.contains(&Outcome::Cancelled));
    });
}

#[test]
fn a_cancel_ends_the_send_and_the_receive_that_wait() {
    dotsock_models::check(|| {
        let client = Arc::new(Client::default());
        let receiver = spawn(&client, Client::receive);
        let sender = spawn(&client, Client::send);
        // Both were about to wait: who begins afterwards may find the cancel taken.
        client.wake.cancel();
        assert_eq!(receiver.join().unwrap(), Outcome::Cancelled);
        client.wake.cancel();
        assert_eq!(sender.join().unwrap(), Outcome::Cancelled);
    });
}
