//! Listening and connecting, files included, as servers and clients see it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::settings::SlowClient;

fn settings(directory: &Path) -> Settings {
    Settings {
        socket_dir: directory.to_owned(),
        default_timeout: Duration::from_secs(5),
        send_timeout: None,
        buffer_size: 65536,
        timezone: chrono_tz::UTC,
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
        max_message_size: 1 << 24,
        max_depth: 128,
        frame_timeout: Duration::from_secs(30),
        client_queue_size: 1 << 23,
        slow_client: SlowClient::DropOldest,
        linger: Duration::from_secs(1),
        retain_last: false,
        auto_reconnect: true,
        report_loss: false,
        reconnect_delay: Duration::from_millis(100),
        reconnect_max_delay: Duration::from_secs(5),
        reconnect_max_attempts: 0,
    }
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
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn connect(
    transport: Transport,
    event_name: &str,
    settings: &Settings,
) -> crate::Result<Connected> {
    let mut target = Target::new(transport, event_name, settings);
    target.look_up()?;
    match target.attempt(0)? {
        Attempt::Connected(connected) => Ok(connected),
        Attempt::Pending { socket, address } => {
            use std::os::fd::AsFd;
            let ready = sys::poll(
                &[(socket.as_fd(), sys::WaitFor::Write)],
                Some(Duration::from_secs(5)),
            );
            assert_eq!(ready.unwrap(), sys::Readiness::Ready);
            target.finish(socket, address)
        }
        Attempt::Busy => panic!("the queue is full"),
    }
}

#[test]
fn a_unix_server_is_found_and_leaves_nothing() {
    let (_root, settings) = place();
    let mut listener = Listener::bind(Transport::Unix, "e", &settings).unwrap();
    let path = settings.socket_dir.join("e.sock");
    assert_eq!(listener.address(), path.to_str().unwrap());
    assert_eq!(listener.port(), 0);
    assert_eq!(mode(&settings.socket_dir), 0o700);
    assert_eq!(mode(&path), 0o600);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert!(listener.accept().unwrap().is_none());

    let connected = connect(Transport::Unix, "e", &settings).unwrap();
    assert_eq!(connected.address, listener.address());
    let own = Credentials {
        uid: sys::effective_uid(),
        pid: std::process::id() as i32,
    };
    assert_eq!(connected.peer, Peer::Unix(Some(own)));
    let (_socket, peer) = listener.accept().unwrap().unwrap();
    assert_eq!(peer, Peer::Unix(Some(own)));

    listener.withdraw();
    assert_eq!(names(&settings.socket_dir), ["e.lock"]);
    assert_eq!(
        Listener::bind(Transport::Unix, "e", &settings)
            .unwrap_err()
            .status(),
        Status::InUse
    );
    listener.release();
    assert!(names(&settings.socket_dir).is_empty());
}
