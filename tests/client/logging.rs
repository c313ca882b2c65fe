//! A logger may call back.

use std::os::unix::net::UnixListener;
use std::sync::Arc;

use dotsock::{Client, Status, Transport};

use crate::support::{A_WHILE, Place, failure};

/// Calls back into the library, as a program's logger may.
struct Logger;

static LOGGED: std::sync::Mutex<Option<(Arc<Client>, Vec<String>)>> = std::sync::Mutex::new(None);

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let mut logged = LOGGED.lock().unwrap();
        if let Some((client, records)) = &mut *logged
            && record.args().to_string().contains("logged-event")
        {
            client.is_connected();
            records.push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_logger_may_call_back() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let place = Place::new();
    let listener = UnixListener::bind(place.directory.path().join("logged-event.sock")).unwrap();
    let options = place.options(&[]);
    let client = Arc::new(Client::new(Transport::Unix, "logged-event", &options).unwrap());
    client.connect().unwrap();
    drop(listener.accept().unwrap());
    *LOGGED.lock().unwrap() = Some((client.clone(), Vec::new()));
    assert_eq!(failure(&client, Some(A_WHILE)), Status::Timeout);
    let (_, records) = LOGGED.lock().unwrap().take().unwrap();
    assert!(records.iter().any(|text| text.contains("is over")), "{records:?}");
}
