//! Telling a client to leave while its messages are on their way: none of them is handed over any
//! more, whoever says so and whatever drives the server.

mod common;

use std::io::Write;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{PATIENCE, Peer, Setup, wait_until};
use dotsock::{Event, Message, Server, Status};
use serde_json::{Value, json};

/// Calls, once, what a test has put there when a server says that it drops a frame.
struct Logger(Mutex<Option<Box<dyn FnOnce() + Send>>>);

static LOGGER: Logger = Logger(Mutex::new(None));

/// There is one logger for all: tests that set what it calls run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target() == "dotsock::server"
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) && record.args().to_string().contains("is dropped") {
            let call = self.0.lock().unwrap().take();
            if let Some(call) = call {
                call();
            }
        }
    }

    fn flush(&self) {}
}

fn logger_calls(call: impl FnOnce() + Send + 'static) {
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(log::LevelFilter::Warn);
    *LOGGER.0.lock().unwrap() = Some(Box::new(call));
}

/// A whole frame that holds no message: the server says that it drops it.
const NO_MESSAGE: &[u8] = &[0, 0, 0, 1, 0xc0];

/// To be written at once, so that one read brings all of them.
fn three_messages() -> Vec<u8> {
    (0..3).flat_map(|n| Peer::frame(&json!({"n": n}))).collect()
}

/// What a program hears of its clients; `Null` stands for the end of one.
struct Heard(Receiver<Value>);

impl Heard {
    /// Has the hooks of a server tell, the message's after it has run `hook`.
    fn by_hooks(server: &Server, hook: impl Fn(&Server, &str) + Send + Sync + 'static) -> Heard {
        let (tell, heard) = mpsc::channel();
        let [connected, message, disconnected] = [tell.clone(), tell.clone(), tell];
        server.on_client_connected(move |_, id| connected.send(json!(id)).unwrap()).unwrap();
        server
            .on_message_received(move |server, id, data: &Message| {
                message.send(data.decode().unwrap()).unwrap();
                hook(server, id);
            })
            .unwrap();
        server.on_client_disconnected(move |_, _| disconnected.send(Value::Null).unwrap()).unwrap();
        Heard(heard)
    }

    fn next(&self) -> Value {
        self.0.recv_timeout(PATIENCE).expect("something happens")
    }

    /// Nothing but the end of the client comes, and comes once.
    fn ends(&self, server: &Server) {
        assert_eq!(self.next(), Value::Null);
        server.stop().unwrap();
        assert_eq!(self.0.try_iter().collect::<Vec<_>>(), Vec::<Value>::new());
    }
}

/// Stops a server, also when a test has failed: its `run` shall end.
struct Stops<'a>(&'a Server);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.stop().unwrap();
    }
}

/// Starts a server in both ways that call hooks, and has a test speak to its only client.
fn in_both_ways(
    hook: impl Fn(&Server, &str) + Send + Sync + Clone + 'static,
    test: impl Fn(&Arc<Server>, &Heard, Peer),
) {
    for start in [Server::start, Server::run] {
        let setup = Setup::new(&[]);
        let server = Arc::new(setup.server());
        let heard = Heard::by_hooks(&server, hook.clone());
        std::thread::scope(|scope| {
            let _stops = Stops(&server);
            scope.spawn(|| start(&server).unwrap());
            wait_until("it runs", || server.is_running());
            let peer = setup.peer();
            assert_eq!(heard.next(), json!("client-1"));
            test(&server, &heard, peer);
        });
    }
}

#[test]
fn a_hook_ends_the_batch_of_its_client() {
    let hook = |server: &Server, id: &str| server.disconnect_client(id).unwrap();
    in_both_ways(hook, |server, heard, mut peer| {
        peer.stream.write_all(&three_messages()).unwrap();
        assert_eq!(heard.next(), json!({"n": 0}));
        heard.ends(server);
        assert!(peer.hear().is_none());
    });
}

#[test]
fn another_thread_ends_the_batch_of_a_client_while_its_hook_runs() {
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let hook = move |_: &Server, _: &str| {
        let _ = released.lock().unwrap().recv_timeout(PATIENCE);
    };
    in_both_ways(hook, |server, heard, mut peer| {
        peer.stream.write_all(&three_messages()).unwrap();
        assert_eq!(heard.next(), json!({"n": 0}));
        server.disconnect_client("client-1").unwrap();
        release.send(()).unwrap();
        heard.ends(server);
        assert!(peer.hear().is_none());
    });
}

#[test]
fn a_logger_ends_a_client_whose_message_was_taken() {
    let _alone = ALONE.lock();
    in_both_ways(
        |_, _| {},
        |server, heard, mut peer| {
            let leaving = server.clone();
            logger_calls(move || leaving.disconnect_client("client-1").unwrap());
            peer.stream.write_all(&[NO_MESSAGE, &three_messages()].concat()).unwrap();
            heard.ends(server);
            assert!(peer.hear().is_none());
        },
    );
}

fn opened(setup: &Setup) -> (Arc<Server>, Peer) {
    let server = Arc::new(setup.server());
    server.open().unwrap();
    let peer = setup.peer();
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Connected { .. })));
    (server, peer)
}

#[test]
fn next_yields_no_message_of_a_batch_whose_client_was_told_to_leave() {
    let setup = Setup::new(&[]);
    let (server, mut peer) = opened(&setup);
    peer.stream.write_all(&three_messages()).unwrap();
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Message { .. })));
    std::thread::scope(|scope| {
        scope.spawn(|| server.disconnect_client("client-1").unwrap());
    });
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Disconnected { .. })));
    assert_eq!(server.next(Some(Duration::ZERO)).unwrap_err().status(), Status::Timeout);
    assert!(peer.hear().is_none());
}

#[test]
fn next_yields_no_message_of_a_client_that_a_logger_has_told_to_leave() {
    let _alone = ALONE.lock();
    let setup = Setup::new(&[]);
    let (server, mut peer) = opened(&setup);
    let leaving = server.clone();
    logger_calls(move || leaving.disconnect_client("client-1").unwrap());
    peer.stream.write_all(&[NO_MESSAGE, &three_messages()].concat()).unwrap();
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Disconnected { .. })));
    assert_eq!(server.next(Some(Duration::ZERO)).unwrap_err().status(), Status::Timeout);
}

#[test]
fn next_yields_no_message_although_another_call_has_told_of_its_clients_end() {
    let _alone = ALONE.lock();
    let setup = Setup::new(&[]);
    let (server, mut peer) = opened(&setup);
    let (tell, told) = mpsc::channel();
    let leaving = server.clone();
    logger_calls(move || {
        leaving.disconnect_client("client-1").unwrap();
        tell.send(leaving.next(Some(PATIENCE))).unwrap();
    });
    peer.stream.write_all(&[NO_MESSAGE, &three_messages()].concat()).unwrap();
    let outer = server.next(Some(Duration::from_millis(1)));
    assert!(matches!(told.recv_timeout(PATIENCE), Ok(Ok(Event::Disconnected { .. }))));
    assert_eq!(outer.unwrap_err().status(), Status::Timeout);
}

#[test]
fn a_stop_leaves_no_message_of_a_client_that_was_told_to_leave() {
    let setup = Setup::new(&[]);
    let (server, mut peer) = opened(&setup);
    peer.stream.write_all(&three_messages()).unwrap();
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Message { .. })));
    server.disconnect_client("client-1").unwrap();
    server.stop().unwrap();
    assert!(matches!(server.next(None), Ok(Event::Disconnected { .. })));
    assert_eq!(server.next(None).unwrap_err().status(), Status::NotRunning);
}
