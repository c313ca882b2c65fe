//! Hooks and loggers: no lock is held while they run, and they may fork.

mod common;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use common::{PATIENCE, Setup, wait_until};
use dotsock::{Event, MessageType, Server, Status};
use serde_json::json;

/// Calls the server back with every record.
struct Caller {
    server: OnceLock<Arc<Server>>,
    heard: Mutex<Vec<String>>,
}

static CALLER: Caller = Caller { server: OnceLock::new(), heard: Mutex::new(Vec::new()) };

impl log::Log for Caller {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("dotsock::server")
    }

    fn log(&self, record: &log::Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        self.heard.lock().unwrap().push(record.args().to_string());
        // Other records may be another server's: `next` would take an event from the wrong test.
        let Some(server) = self.server.get().filter(|_| is_of_broken_client(record)) else {
            return;
        };
        // From another thread, so that a lock of this one would hold it up, too.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                server.fd();
                server.stats();
                let _ = server.next(Some(Duration::ZERO));
            });
        });
    }

    fn flush(&self) {}
}

fn is_of_broken_client(record: &log::Record) -> bool {
    record.args().to_string().starts_with("Cannot write to uid ")
}

#[test]
fn no_lock_is_held_while_a_logger_runs() {
    log::set_logger(&CALLER).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let setup = Setup::new(&[]);
    let server = Arc::new(setup.server());
    CALLER.server.set(server.clone()).ok().unwrap();
    server.open().unwrap();
    let peer = setup.peer();
    assert!(matches!(server.next(Some(PATIENCE)).unwrap(), Event::Connected { .. }));
    // More than its socket takes: then it is gone, and the engine finds out by writing.
    server.broadcast(MessageType::Data, &json!({"text": "x".repeat(1 << 20)})).unwrap();
    drop(peer);
    wait_until("it has left", || {
        let _ = server.next(Some(Duration::ZERO));
        server.clients().is_empty()
    });
    let heard = CALLER.heard.lock().unwrap();
    assert!(heard.iter().any(|text| text.starts_with("Cannot write to uid ")), "{heard:?}");
    log::set_max_level(log::LevelFilter::Off);
}

/// Stops a server, also when a test has failed: its `run` shall end.
struct Stops<'a>(&'a Server);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.stop().unwrap();
    }
}

#[test]
fn a_child_that_a_hook_has_forked_writes_nothing() {
    let setup = Setup::new(&[]);
    let server = setup.server();
    server
        .on_client_connected(|server, _| {
            server.cork().unwrap();
            server.broadcast(MessageType::Data, &json!({"n": 1})).unwrap();
            // SAFETY: the child takes no lock that another thread could hold, and ends soon.
            let child = unsafe { libc::fork() };
            assert!(child >= 0);
            if child > 0 {
                let mut status = 0;
                // SAFETY: `status` is valid; the child is ours.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!(libc::WEXITSTATUS(status), 7);
            }
        })
        .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stops = Stops(&server);
            wait_until("it runs", || server.is_running());
            let mut peer = setup.peer();
            assert_eq!(peer.hear_data(), json!({"n": 1}));
            server.broadcast(MessageType::Data, &json!({"n": 2})).unwrap();
            server.uncork().unwrap();
            assert_eq!(peer.hear_data(), json!({"n": 2}));
        });
        let parent = std::process::id();
        let result = server.run();
        if std::process::id() != parent {
            let forked = result.is_err_and(|error| error.status() == Status::Forked);
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(if forked { 7 } else { 1 }) };
        }
        result.unwrap();
    });
}
