//! Who carries a stop out: the thread in `run`, one of those that call `stop`, or, after a cancel,
//! whoever comes next. Nobody waits for ever, and it is done once. The phases are those of
//! `src/server/lifecycle.rs`, copied; the cancels are the library's own.

use dotsock_models::cancels::Cancels;
use dotsock_models::kernel::{AsFd, EventFd, WaitFor, poll};
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
use loom::thread;

#[derive(Default, Clone, Copy, PartialEq, Debug)]
enum Phase {
    Idle,
    #[default]
    Running,
    Stopping,
}

/// Threads are numbered.
type Mark = u32;

#[derive(Default)]
struct Server {
    cancels: Cancels,
    cancel: EventFd,
    wake: EventFd,
    state: Mutex<State>,
    changed: Condvar,
}

/// A server that `run` has begun to drive and left with a cancel.
#[derive(Default)]
struct State {
    phase: Phase,
    driver: Option<Mark>,
    stop_untold: bool,
    runner: Option<Mark>,
    finished: u32,
}

#[derive(Debug, PartialEq)]
enum Ran {
    Stopped,
    Cancelled,
    NotRunning,
}

impl Server {
    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap()
    }

    fn run(&self, me: Mark) -> Ran {
        let mut state = self.state.lock().unwrap();
        while state.stop_untold && state.phase == Phase::Stopping && state.driver != Some(me) {
            state = self.wait(state);
        }
        if state.phase == Phase::Idle && std::mem::take(&mut state.stop_untold) {
            return Ran::Stopped;
        }
        if state.phase != Phase::Running || state.driver.is_some() {
            // It would listen anew, which is no part of this model.
            return Ran::NotRunning;
        }
        state.driver = Some(me);
        state.runner = Some(me);
        drop(state);
        let mut woken = false;
        loop {
            let mut state = self.state.lock().unwrap();
            if state.phase != Phase::Running {
                state.stop_untold = false;
                drop(state);
                self.finish();
                return Ran::Stopped;
            }
            if self.cancels.take(Some(&self.cancel)) {
                state.driver = None;
                self.changed.notify_all();
                return Ran::Cancelled;
            }
            drop(state);
            if woken {
                self.cancels.quiet(&self.cancel);
            }
            let watched =
                [(self.wake.as_fd(), WaitFor::Read), (self.cancel.as_fd(), WaitFor::Read)];
            poll(&watched, None).unwrap();
            woken = true;
        }
    }

    fn stop(&self, me: Mark) {
        let mut state = self.state.lock().unwrap();
        match state.phase {
            Phase::Running => {
                state.phase = Phase::Stopping;
                state.stop_untold = state.runner != Some(me);
                self.wake.signal();
                if state.driver.is_none() {
                    state.driver = Some(me);
                    drop(state);
                    return self.finish();
                }
            }
            Phase::Stopping => {}
            Phase::Idle => return,
        }
        if state.driver == Some(me) {
            return;
        }
        while state.phase == Phase::Stopping {
            if state.driver.is_none() {
                state.driver = Some(me);
                drop(state);
                return self.finish();
            }
            state = self.wait(state);
        }
    }

    fn finish(&self) {
        self.wake.clear();
        let mut state = self.state.lock().unwrap();
        assert_eq!(state.phase, Phase::Stopping);
        state.driver = None;
        state.phase = Phase::Idle;
        state.finished += 1;
        self.changed.notify_all();
    }

    fn assert_stopped_once(&self) {
        let state = self.state.lock().unwrap();
        assert_eq!((state.phase, state.driver, state.finished), (Phase::Idle, None, 1));
    }
}

fn spawn<R: 'static>(
    server: &Arc<Server>,
    run: impl FnOnce(&Server) -> R + 'static,
) -> thread::JoinHandle<R> {
    let server = server.clone();
    thread::spawn(move || run(&server))
}

#[test]
fn a_stop_and_a_run_end_each_other() {
    dotsock_models::check(|| {
        let server = Arc::new(Server::default());
        let runner = spawn(&server, |server| server.run(1));
        server.stop(2);
        assert_eq!(runner.join().unwrap(), Ran::Stopped);
        server.assert_stopped_once();
    });
}

#[test]
fn two_stops_wait_for_one_end() {
    dotsock_models::check(|| {
        let server = Arc::new(Server::default());
        let runner = spawn(&server, |server| server.run(1));
        let other = spawn(&server, |server| server.stop(2));
        server.stop(3);
        server.assert_stopped_once();
        other.join().unwrap();
        assert_ne!(runner.join().unwrap(), Ran::Cancelled);
        server.assert_stopped_once();
    });
}

#[test]
fn a_stop_is_carried_out_although_a_cancel_ends_the_run() {
    dotsock_models::check(|| {
        let server = Arc::new(Server::default());
        let runner = spawn(&server, |server| server.run(1));
        let stopper = spawn(&server, |server| server.stop(2));
        server.cancels.ask(|| Some(&server.cancel));
        stopper.join().unwrap();
        server.assert_stopped_once();
        assert_ne!(runner.join().unwrap(), Ran::NotRunning);
    });
}
