//! Unix sockets: who is live, what is stale, and what is left alone.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn a_unix_server_is_found_and_leaves_nothing() {
    let (_root, settings) = place();
    let mut listener = bind(Transport::Unix, &settings).unwrap();
    let path = settings.socket_dir.join("e.sock");
    assert_eq!(listener.address(), path.to_str().unwrap());
    assert_eq!(listener.port(), 0);
    assert_eq!(mode(&settings.socket_dir), 0o700);
    assert_eq!(mode(&path), 0o600);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert!(listener.accept().unwrap().is_none());

    let connected = connect(Transport::Unix, "e", &settings).unwrap();
    assert_eq!(connected.address, listener.address());
    let own = Credentials { uid: sys::effective_uid(), pid: std::process::id() as i32 };
    assert_eq!(connected.peer, Peer::Unix(Some(own)));
    let (_socket, peer) = listener.accept().unwrap().unwrap();
    assert_eq!(peer, Peer::Unix(Some(own)));

    listener.withdraw();
    assert_eq!(names(&settings.socket_dir), ["e.lock"]);
    assert_eq!(bind(Transport::Unix, &settings).unwrap_err().status(), Status::InUse);
    listener.release();
    assert!(names(&settings.socket_dir).is_empty());
}

#[test]
fn the_socket_has_its_mode() {
    let (_root, mut settings) = place();
    for mode_wanted in [0o600, 0o660, 0o666, 0o777, 0o000] {
        settings.socket_permissions = mode_wanted;
        let listener = bind(Transport::Unix, &settings).unwrap();
        assert_eq!(mode(&settings.socket_dir.join("e.sock")), mode_wanted);
        assert_eq!(mode(&settings.socket_dir.join("e.lock")), 0o600);
        stop(listener);
    }
}

#[test]
fn of_many_that_start_at_once_one_wins() {
    let (_root, mut settings) = place();
    for round in 0..30 {
        // Every other round finds the file of a server that has gone.
        settings.auto_remove_socket = round % 2 == 0;
        let barrier = Barrier::new(16);
        let results: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                bind(Transport::Unix, &settings)
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for result in lost {
            assert_fails(result, Status::InUse, &["e.lock", "'e'"]);
        }
        connect(Transport::Unix, "e", &settings).unwrap();
        won.into_iter().flatten().for_each(stop);
    }
}

#[test]
fn never_are_two_live_while_servers_come_and_go() {
    let (_root, settings) = place();
    let (live, starts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while starts.load(Ordering::SeqCst) < 300 {
                    let mut listener = match bind(Transport::Unix, &settings) {
                        Ok(listener) => listener,
                        Err(error) => {
                            assert_eq!(error.status(), Status::InUse, "{error}");
                            continue;
                        }
                    };
                    assert_eq!(live.fetch_add(1, Ordering::SeqCst), 0);
                    connect(Transport::Unix, "e", &settings).unwrap();
                    starts.fetch_add(1, Ordering::SeqCst);
                    listener.withdraw();
                    live.fetch_sub(1, Ordering::SeqCst);
                    listener.release();
                }
            });
        }
    });
    assert!(names(&settings.socket_dir).is_empty());
}

#[test]
fn a_stale_socket_is_replaced() {
    let (_root, settings) = place();
    // As after a crash: descriptors are closed, files stay.
    drop(bind(Transport::Unix, &settings).unwrap());
    assert_eq!(names(&settings.socket_dir), ["e.lock", "e.sock"]);
    assert_eq!(
        failure(connect(Transport::Unix, "e", &settings)),
        (Status::Closed, Some(libc::ECONNREFUSED))
    );
    let listener = bind(Transport::Unix, &settings).unwrap();
    connect(Transport::Unix, "e", &settings).unwrap();
    stop(listener);
}

#[test]
fn a_live_server_of_another_make_is_respected() {
    let (_root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    let path = settings.socket_dir.join("e.sock");

    let other = UnixListener::bind(&path).unwrap();
    assert_fails(bind(Transport::Unix, &settings), Status::InUse, &[path.to_str().unwrap()]);
    let mut waiting = Vec::new();
    let full = loop {
        match sys::connect_unix(&path) {
            Ok(socket) => waiting.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!(full.raw_os_error(), Some(libc::EAGAIN));
    assert_fails(bind(Transport::Unix, &settings), Status::InUse, &[path.to_str().unwrap()]);
    let busy = Target::new(Transport::Unix, "e", &settings).attempt(0);
    assert!(matches!(busy, Ok(Attempt::Busy)));
    assert_eq!(names(&settings.socket_dir), ["e.sock"]);
    drop((other, waiting));

    stop(bind(Transport::Unix, &settings).unwrap());
    let _datagram = UnixDatagram::bind(&path).unwrap();
    assert_fails(bind(Transport::Unix, &settings), Status::InUse, &[path.to_str().unwrap()]);
    assert_eq!(names(&settings.socket_dir), ["e.sock"]);
}

#[test]
fn what_is_no_socket_stays() {
    let (root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    let elsewhere = root.path().join("elsewhere");
    let _live = UnixListener::bind(&elsewhere).unwrap();
    type Maker<'a> = (&'a str, &'a dyn Fn(&Path));
    let makers: [Maker; 5] = [
        ("regular file", &|path| fs::write(path, "precious").unwrap()),
        ("directory", &|path| fs::create_dir(path).unwrap()),
        ("symbolic link", &|path| symlink(root.path().join("nothing"), path).unwrap()),
        ("symbolic link", &|path| symlink(&elsewhere, path).unwrap()),
        ("FIFO", &|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
    ];
    for (what, make) in makers {
        for name in ["e.sock", "e.lock"] {
            // A regular file is what a lock is.
            if (what, name) == ("regular file", "e.lock") {
                continue;
            }
            let path = settings.socket_dir.join(name);
            make(&path);
            let before = fs::symlink_metadata(&path).unwrap();
            let named = [what, path.to_str().unwrap()];
            assert_fails(bind(Transport::Unix, &settings), Status::Io, &named);
            assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), before.ino());
            assert_eq!(names(&settings.socket_dir), [name], "nothing else is left");
            if before.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) }.unwrap();
        }
    }
}

#[test]
fn a_lock_file_that_is_left_over_does_no_harm() {
    let (_root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    let path = settings.socket_dir.join("e.lock");
    fs::write(&path, "").unwrap();
    // Left so by a server that was killed while it ran under a umask of 0777.
    set_mode(&path, 0);
    stop(bind(Transport::Unix, &settings).unwrap());
    assert!(names(&settings.socket_dir).is_empty());
}

#[test]
fn only_own_files_are_removed() {
    let (_root, settings) = place();
    let (socket, lock) = (settings.socket_dir.join("e.sock"), settings.socket_dir.join("e.lock"));
    let first = bind(Transport::Unix, &settings).unwrap();
    fs::remove_file(&socket).unwrap();
    fs::remove_file(&lock).unwrap();
    let second = bind(Transport::Unix, &settings).unwrap();
    stop(first);
    assert_eq!(names(&settings.socket_dir), ["e.lock", "e.sock"]);
    connect(Transport::Unix, "e", &settings).unwrap();
    assert_fails(bind(Transport::Unix, &settings), Status::InUse, &[]);
    stop(second);
    assert!(names(&settings.socket_dir).is_empty());
}

#[test]
fn the_socket_file_stays_when_asked() {
    let (_root, mut settings) = place();
    settings.auto_remove_socket = false;
    for _ in 0..2 {
        stop(bind(Transport::Unix, &settings).unwrap());
        assert_eq!(names(&settings.socket_dir), ["e.sock"]);
        assert_eq!(
            failure(connect(Transport::Unix, "e", &settings)),
            (Status::Closed, Some(libc::ECONNREFUSED))
        );
    }
}

#[test]
fn listening_ends_also_where_a_forked_child_holds_the_socket() {
    let (_root, mut settings) = place();
    settings.auto_remove_socket = false;
    let mut listener = bind(Transport::Unix, &settings).unwrap();
    let childs = listener.socket().try_clone_to_owned().unwrap();
    let waiting = connect(Transport::Unix, "e", &settings).unwrap();
    assert!(!sys::peer_has_left(waiting.socket.as_fd()));
    listener.withdraw();
    assert!(sys::peer_has_left(waiting.socket.as_fd()));
    listener.release();
    stop(bind(Transport::Unix, &settings).unwrap());
    drop(childs);
}

#[test]
fn no_server_is_closed_and_makes_nothing() {
    let (root, settings) = place();
    let closed = (Status::Closed, Some(libc::ENOENT));
    assert_eq!(failure(connect(Transport::Unix, "e", &settings)), closed);
    assert!(names(root.path()).is_empty());
    fs::create_dir(&settings.socket_dir).unwrap();
    assert_eq!(failure(connect(Transport::Unix, "e", &settings)), closed);
    let path = settings.socket_dir.join("e.sock");
    let named = ["'e'", path.to_str().unwrap()];
    assert_fails(connect(Transport::Unix, "e", &settings), Status::Closed, &named);
    assert!(names(&settings.socket_dir).is_empty());
}

#[test]
fn paths_end_where_the_system_ends_them() {
    let (root, mut settings) = place();
    let room = sys::MAX_UNIX_PATH - root.path().as_os_str().len() - "/".len() - "/e.sock".len();
    settings.socket_dir = root.path().join("d".repeat(room));
    let listener = bind(Transport::Unix, &settings).unwrap();
    assert_eq!(listener.address().len(), sys::MAX_UNIX_PATH);
    connect(Transport::Unix, "e", &settings).unwrap();
    stop(listener);

    settings.socket_dir = root.path().join("x".repeat(room + 1));
    let path = settings.socket_dir.join("e.sock");
    let named = ["108", "107", path.to_str().unwrap()];
    assert_fails(bind(Transport::Unix, &settings), Status::Invalid, &named);
    assert_fails(connect(Transport::Unix, "e", &settings), Status::Invalid, &named);
    assert_fails(Target::new(Transport::Unix, "e", &settings).check(), Status::Invalid, &named);
    assert!(!settings.socket_dir.exists());
}
