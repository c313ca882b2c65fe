//! A server's cancel: it ends the loop or the sends that wait, and its descriptor is quiet after.

use dotsock_models::cancels::Cancels;
use dotsock_models::kernel::{AsFd, BorrowedFd, EventFd, OnceCell, WaitFor, poll};
use loom::sync::{Arc, Mutex};
use loom::thread;

#[derive(Default)]
struct Server {
    cancels: Cancels,
    /// What stands in `Io` and is made when the server first listens.
    cancel: OnceCell<EventFd>,
    wake: EventFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopping: bool,
    /// The senders in line for room; a wake-up each.
    waiting: Vec<Arc<EventFd>>,
}

impl Server {
    fn listen(&self) -> &EventFd {
        let event = self.cancel.get_or_try_init(EventFd::new).unwrap();
        self.cancels.event_is_made();
        event
    }

    fn cancel(&self) {
        self.cancels.ask(|| self.cancel.get());
    }

    /// As `Shared::take_cancel`.
    fn take_cancel(&self, state: &State) -> bool {
        let taken = self.cancels.take(self.cancel.get());
        if taken {
            state.waiting.iter().for_each(|waiter| waiter.signal());
        }
        taken
    }

    /// As `run`, in whose calling thread the loop ends with a cancel.
    fn run(&self) {
        let event = self.listen();
        let mut woken = false;
        loop {
            if self.take_cancel(&self.state.lock().unwrap()) {
                return;
            }
            if woken {
                self.cancels.quiet(event);
            }
            poll(&readable(&[&self.wake, event]), None).unwrap();
            woken = true;
        }
    }

    /// As the library's own thread, which goes on.
    fn live(&self) {
        let event = self.listen();
        while !self.state.lock().unwrap().stopping {
            poll(&readable(&[&self.wake, event]), None).unwrap();
            event.clear();
            self.take_cancel(&self.state.lock().unwrap());
        }
    }

    /// As a send with `slow_client = block`, in line already, whose client never has room.
    fn block(&self, waiter: &EventFd, event: &EventFd, cancels: u64) {
        loop {
            {
                let _state = self.state.lock().unwrap();
                if self.cancels.asked() != cancels {
                    return;
                }
            }
            poll(&readable(&[event, waiter]), None).unwrap();
            waiter.clear();
            self.cancels.quiet(event);
        }
    }

    fn stop(&self) {
        self.state.lock().unwrap().stopping = true;
        self.wake.signal();
    }
}

fn readable<'a>(events: &[&'a EventFd]) -> Vec<(BorrowedFd<'a>, WaitFor)> {
    events.iter().map(|event| (event.as_fd(), WaitFor::Read)).collect()
}

fn spawn(server: &Arc<Server>, run: impl FnOnce(&Server) + 'static) -> thread::JoinHandle<()> {
    let server = server.clone();
    thread::spawn(move || run(&server))
}

#[test]
fn a_cancel_ends_the_loop_whenever_it_comes() {
    dotsock_models::check(|| {
        let server = Arc::new(Server::default());
        let runner = spawn(&server, Server::run);
        server.cancel();
        runner.join().unwrap();
        assert!(!server.cancels.is_pending());
    });
}

#[test]
fn a_cancel_ends_a_send_although_the_librarys_thread_takes_it() {
    dotsock_models::check(|| {
        let server = Arc::new(Server::default());
        server.listen();
        let waiter = Arc::new(EventFd::default());
        server.state.lock().unwrap().waiting.push(waiter.clone());
        let cancels = server.cancels.asked();
        let thread = spawn(&server, Server::live);
        let sender = spawn(&server, move |server| server.block(&waiter, server.listen(), cancels));
        server.cancel();
        sender.join().unwrap();
        server.stop();
        thread.join().unwrap();
    });
}
