//! What is logged.

use std::sync::Mutex;

use dotsock::{Server, Transport};

use crate::common::{Setup, wait_until};
use crate::support::{Raw, TOKEN, started, with_token};

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }
    fn log(&self, record: &log::Record) {
        let line = format!("{} {}", record.level(), record.args());
        LOGGED.lock().unwrap().push(line);
    }
    fn flush(&self) {}
}

#[test]
fn denials_are_logged_with_the_address_and_an_open_door_is_warned_of() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let has = |parts: &[&str]| {
        let logged = LOGGED.lock().unwrap();
        logged.iter().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    let setup = with_token(&[("host", "0.0.0.0")]);
    let server = started(&setup);
    let mut raw = Raw::connect(&server);
    let address = raw.0.local_addr().unwrap().to_string();
    raw.say(&[0xff; 4]);
    raw.nonce();
    raw.expect_denial("nonsense");
    wait_until("it is logged", || has(&["WARN", &address, "auth_denied"]));
    let port = format!(":{} ", server.port());
    assert!(!has(&["without a token", &port]));

    let open = Server::new(
        Transport::Tcp,
        "open",
        &Setup::new(&[("host", "0.0.0.0"), ("port", "0")]).options,
    );
    let open = open.unwrap();
    open.start().unwrap();
    assert!(has(&["WARN", "'open'", "without a token", "token_file"]));
    let local =
        Server::new(Transport::Tcp, "local", &Setup::new(&[("port", "0")]).options).unwrap();
    local.start().unwrap();
    assert!(!has(&["'local'", "without a token"]));
    let logged = LOGGED.lock().unwrap();
    assert!(
        logged.iter().all(|line| !line.contains(TOKEN) && !line.contains("guess")),
        "{logged:?}"
    );
}
