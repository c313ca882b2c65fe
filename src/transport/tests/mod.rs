//! Listening and connecting, files included, as servers and clients see it.

mod directory;
mod discovery;
mod processes;
mod tcp;
mod unix;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::Result;
use crate::settings::SlowClient;

fn settings(directory: &Path) -> Settings {
    Settings {
        socket_dir: directory.to_owned(),
        default_timeout: Duration::from_secs(5),
        send_timeout: None,
        buffer_size: 65536,
        timezone: crate::zone::Zone::UTC,
        message_queue_size: 100,
        blocking_mode: false,
        allow_client_send: true,
        max_connections: 1024,
        socket_permissions: 0o600,
        auto_remove_socket: true,
        allow_foreign_server: false,
        host: "127.0.0.1".to_owned(),
        port: None,
        port_range_start: 9000,
        port_range_end: 9100,
        token: None,
        token_file: None,
        max_message_size: 1 << 24,
        max_depth: 128,
        frame_timeout: Duration::from_secs(30),
        client_queue_size: 1 << 23,
        slow_client: SlowClient::DropOldest,
        spin: Duration::ZERO,
        linger: Duration::from_secs(1),
        retain_last: false,
        auto_reconnect: true,
        report_loss: false,
        reconnect_delay: Duration::from_millis(100),
        reconnect_max_delay: Duration::from_secs(5),
        reconnect_max_attempts: 0,
    }
}

/// Any user that this test does not run as.
const OTHER_USER: u32 = 12345;

/// Only root can give files to somebody else; such tests are silent for others.
fn is_root() -> bool {
    sys::effective_uid() == 0
}

/// A private directory, and in it the one that is made by the server.
fn place() -> (tempfile::TempDir, Settings) {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(&root.path().join("sockets"));
    (root, settings)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn connect(transport: Transport, event_name: &str, settings: &Settings) -> Result<Connected> {
    let mut target = Target::new(transport, event_name, settings);
    target.look_up()?;
    match target.attempt(0)? {
        Attempt::Connected(connected) => Ok(connected),
        Attempt::Pending { socket, address } => {
            let ready =
                sys::poll(&[(socket.as_fd(), sys::WaitFor::Write)], Some(Duration::from_secs(5)));
            assert_eq!(ready.unwrap(), sys::Readiness::Ready);
            target.finish(socket, address)
        }
        Attempt::Busy => panic!("the queue is full"),
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn bind(transport: Transport, settings: &Settings) -> Result<Listener> {
    Listener::bind(transport, "e", settings)
}

fn stop(mut listener: Listener) {
    listener.withdraw();
    listener.release();
}

/// Status and OS error of what must fail.
#[track_caller]
fn failure<T: std::fmt::Debug>(result: Result<T>) -> (Status, Option<i32>) {
    let error = result.unwrap_err();
    (error.status(), error.os_error())
}

/// That a call fails, and that its error names what a person needs to know.
#[track_caller]
fn assert_fails<T: std::fmt::Debug>(result: Result<T>, status: Status, named: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    for name in named {
        assert!(error.to_string().contains(name), "{name:?} is missing: {error}");
    }
}

#[test]
fn peers_are_named_for_logs() {
    let credentials = Credentials { uid: 1000, pid: 4242 };
    assert_eq!(Peer::Unix(Some(credentials)).to_string(), "uid 1000, pid 4242");
    assert_eq!(Peer::Unix(None).to_string(), "unknown peer");
    assert_eq!(Peer::Tcp("[::1]:9000".parse().unwrap()).to_string(), "[::1]:9000");
}

#[test]
fn a_server_of_another_unprivileged_user_is_refused() {
    let mut settings = settings(Path::new("/nowhere"));
    let server = |uid| Peer::Unix(Some(Credentials { uid, pid: 1 }));
    let own = sys::effective_uid();
    assert!(check_server(&server(own), &settings).is_ok());
    assert!(check_server(&server(0), &settings).is_ok());
    assert!(check_server(&Peer::Tcp("127.0.0.1:1".parse().unwrap()), &settings).is_ok());
    let (shown, own) = (format!("uid {OTHER_USER}"), format!("uid {own}"));
    assert_fails(
        check_server(&server(OTHER_USER), &settings),
        Status::Permission,
        &[&shown, &own, "allow_foreign_server"],
    );
    assert_fails(check_server(&Peer::Unix(None), &settings), Status::Permission, &["unknown user"]);
    settings.allow_foreign_server = true;
    assert!(check_server(&server(OTHER_USER), &settings).is_ok());
    assert!(check_server(&Peer::Unix(None), &settings).is_ok());
}
