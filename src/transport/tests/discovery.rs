//! Discovery files: when one is believed, replaced, left alone.

use std::fs::File;
use std::os::unix::fs::{chown, symlink};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use super::listener::Files;
use super::*;

fn place() -> (tempfile::TempDir, Settings) {
    let (root, mut settings) = super::place();
    settings.port = Some(0);
    (root, settings)
}

fn is_published(listener: &Listener) -> bool {
    matches!(listener.files, Files::Tcp { published: Some(_) })
}

/// A file with this content, held as a server would hold it.
fn held(path: &Path, content: &[u8]) -> File {
    fs::write(path, content).unwrap();
    let file = File::open(path).unwrap();
    assert!(sys::try_lock(file.as_fd(), sys::LockKind::Exclusive).unwrap());
    file
}

#[test]
fn the_file_says_where_the_server_is() {
    let (_root, mut settings) = place();
    let path = settings.socket_dir.join("e.tcp");
    for (host, shown, permissions) in
        [("127.0.0.1", "127.0.0.1", 0o600), ("0.0.0.0", "127.0.0.1", 0o644), ("::", "[::1]", 0o400)]
    {
        settings.host = host.to_owned();
        settings.socket_permissions = permissions;
        let Ok(listener) = bind(Transport::Tcp, &settings) else {
            assert_eq!(host, "::", "only IPv6 may be missing");
            continue;
        };
        let line = format!("{shown}:{}\n", listener.port());
        assert_eq!(fs::read_to_string(&path).unwrap(), line);
        assert_eq!(mode(&path), permissions);
        assert_eq!(names(&settings.socket_dir), ["e.tcp"]);
        connect(Transport::Tcp, "e", &settings).unwrap();
        stop(listener);
        assert!(names(&settings.socket_dir).is_empty());
    }
}

#[test]
fn a_stale_file_counts_as_missing_and_is_replaced() {
    let (_root, settings) = place();
    let missing = (Status::Closed, Some(libc::ENOENT));
    assert_eq!(failure(connect(Transport::Tcp, "e", &settings)), missing);
    // As after a crash: descriptors are closed, files stay.
    drop(bind(Transport::Tcp, &settings).unwrap());
    assert_eq!(names(&settings.socket_dir), ["e.tcp"]);
    assert_eq!(failure(connect(Transport::Tcp, "e", &settings)), missing);
    assert_fails(connect(Transport::Tcp, "e", &settings), Status::Closed, &["stale", "e.tcp"]);

    let listener = bind(Transport::Tcp, &settings).unwrap();
    assert!(is_published(&listener));
    connect(Transport::Tcp, "e", &settings).unwrap();
    stop(listener);
}

#[test]
fn what_a_crash_left_under_the_first_name_is_used_again() {
    let (_root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    let left = settings.socket_dir.join(".e.tcp.new");
    fs::write(&left, "longer than any address that could be written over it").unwrap();
    set_mode(&left, 0o400);
    let listener = bind(Transport::Tcp, &settings).unwrap();
    assert_eq!(names(&settings.socket_dir), ["e.tcp"]);
    connect(Transport::Tcp, "e", &settings).unwrap();
    stop(listener);
}

#[test]
fn nothing_is_written_through_a_name_that_somebody_laid_out() {
    let (root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    let (precious, trap) = (root.path().join("precious"), settings.socket_dir.join(".e.tcp.new"));
    fs::write(&precious, "precious").unwrap();
    fs::hard_link(&precious, &trap).unwrap();
    let listener = bind(Transport::Tcp, &settings).unwrap();
    assert!(!is_published(&listener));
    stop(listener);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(names(&settings.socket_dir), [".e.tcp.new"]);
}

#[test]
fn the_file_of_a_live_server_is_left_alone() {
    let (_root, settings) = place();
    let first = bind(Transport::Tcp, &settings).unwrap();
    let second = bind(Transport::Tcp, &settings).unwrap();
    assert!(!is_published(&second));
    stop(second);
    let connected = connect(Transport::Tcp, "e", &settings).unwrap();
    assert_eq!(connected.address, first.address());
    stop(first);
}

#[test]
fn only_the_own_file_is_removed() {
    let (_root, settings) = place();
    let path = settings.socket_dir.join("e.tcp");
    let first = bind(Transport::Tcp, &settings).unwrap();
    fs::remove_file(&path).unwrap();
    let second = bind(Transport::Tcp, &settings).unwrap();
    stop(first);
    connect(Transport::Tcp, "e", &settings).unwrap();
    stop(second);
}

#[test]
fn of_many_that_publish_at_once_one_is_found_whoever_looks_on() {
    let (_root, settings) = place();
    for round in 0..30 {
        if round % 2 == 1 {
            drop(bind(Transport::Tcp, &settings).unwrap());
        }
        let (barrier, done) = (Barrier::new(16), AtomicBool::new(false));
        let listeners: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                bind(Transport::Tcp, &settings).unwrap()
            };
            // Those who look hold shared locks, which must keep nobody from publishing.
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let _ = Target::new(Transport::Tcp, "e", &settings).attempt(0);
                    }
                });
            }
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(start)).collect();
            let listeners = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            done.store(true, Ordering::SeqCst);
            listeners
        });
        let (found, others): (Vec<_>, Vec<_>) = listeners.into_iter().partition(is_published);
        assert_eq!(found.len(), 1);
        others.into_iter().for_each(stop);
        let connected = connect(Transport::Tcp, "e", &settings).unwrap();
        assert_eq!(connected.address, found[0].address());
        found.into_iter().for_each(stop);
        assert!(names(&settings.socket_dir).is_empty());
    }
}

#[test]
fn a_server_runs_where_it_cannot_publish() {
    let (_root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    set_mode(&settings.socket_dir, 0o777);
    let listener = bind(Transport::Tcp, &settings).unwrap();
    assert!(names(&settings.socket_dir).is_empty());
    stop(listener);
    set_mode(&settings.socket_dir, 0o700);

    let path = settings.socket_dir.join("e.tcp");
    symlink("/dev/null", &path).unwrap();
    let listener = bind(Transport::Tcp, &settings).unwrap();
    let mut by_port = settings.clone();
    by_port.port = Some(listener.port());
    connect(Transport::Tcp, "e", &by_port).unwrap();
    stop(listener);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(names(&settings.socket_dir), ["e.tcp"]);
}

#[test]
fn only_files_that_can_be_trusted_are_read() {
    let (root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    let path = settings.socket_dir.join("e.tcp");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("{}\n", server.local_addr().unwrap());

    let elsewhere = root.path().join("elsewhere");
    let _held = held(&elsewhere, line.as_bytes());
    symlink(&elsewhere, &path).unwrap();
    let named = [path.to_str().unwrap(), "remove it"];
    assert_fails(connect(Transport::Tcp, "e", &settings), Status::Permission, &named);
    fs::remove_file(&path).unwrap();

    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_fails(connect(Transport::Tcp, "e", &settings), Status::Permission, &named);
    fs::remove_file(&path).unwrap();

    let _held = held(&path, line.as_bytes());
    connect(Transport::Tcp, "e", &settings).unwrap();
    if is_root() {
        chown(&path, Some(OTHER_USER), None).unwrap();
        assert_fails(connect(Transport::Tcp, "e", &settings), Status::Permission, &named);
    }
}

#[test]
fn nonsense_is_an_error_that_names_the_file() {
    let (_root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    let path = settings.socket_dir.join("e.tcp");
    let long = [b"127.0.0.1:9000\n".as_slice(), &[b'\n'; 400]].concat();
    let nonsense: [&[u8]; 9] = [
        b"",
        b"\n",
        b"localhost:9000\n",
        b"127.0.0.1\n",
        b"127.0.0.1:0\n",
        b"127.0.0.1:65536\n",
        b"127.0.0.1:9000\n127.0.0.1:9001\n",
        b"\xff\xfe",
        &long,
    ];
    for content in nonsense {
        let _held = held(&path, content);
        let named = [path.to_str().unwrap(), "host:port"];
        assert_fails(connect(Transport::Tcp, "e", &settings), Status::Io, &named);
    }
}
