//! A logger of the program's that panics, as `println!` does when nobody reads what it prints.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use dotsock::{Options, Server, Transport};

const PATIENCE: Duration = Duration::from_secs(20);

struct Panics;

static PANICKED: AtomicBool = AtomicBool::new(false);

impl log::Log for Panics {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        if record.args().to_string().contains("is dropped") {
            PANICKED.store(true, Ordering::SeqCst);
            panic!("nobody reads what is logged");
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_server_goes_on_and_can_be_stopped() {
    log::set_logger(&Panics).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::new().unwrap();
    options.set("socket_dir", directory.path().to_str()).unwrap();
    // Kept for ever: where its thread has ended, dropping it would wait without end.
    let server: &Server =
        Box::leak(Box::new(Server::new(Transport::Unix, "event", &options).unwrap()));
    let (heard, news) = mpsc::channel();
    server.on_client_disconnected(move |_, _| heard.send(()).unwrap()).unwrap();
    server.start().unwrap();
    let mut peer = UnixStream::connect(directory.path().join("event.sock")).unwrap();
    // A frame of no bytes: malformed, and worth a warning.
    peer.write_all(&[0; 4]).unwrap();
    drop(peer);
    news.recv_timeout(PATIENCE).expect("the server's thread has ended");
    assert!(PANICKED.load(Ordering::SeqCst));
    let (stopped, has_stopped) = mpsc::channel();
    std::thread::spawn(move || {
        server.stop().unwrap();
        stopped.send(()).unwrap();
    });
    has_stopped.recv_timeout(PATIENCE).expect("the stop did not end");
}
