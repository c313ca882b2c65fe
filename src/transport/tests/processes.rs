//! What only another process can show: umasks, users, crashes.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::*;

const ROLE: &str = "DOTSOCK_TEST_ROLE";
const DIRECTORY: &str = "DOTSOCK_TEST_DIRECTORY";

/// This test program again, as one that only runs [`child`].
fn child_command(umask: &str, role: &str, directory: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask $0 && exec \"$@\"", umask]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "transport::tests::processes::child", "--nocapture"]);
    command.env(ROLE, role).env(DIRECTORY, directory).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The users that a test can run as: whoever runs it, and from root an unprivileged one, provided
/// that this program lies where others may execute it.
fn users() -> Vec<u32> {
    let other_can_run = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--list").stdout(Stdio::null()).uid(OTHER_USER).gid(OTHER_USER);
        command.status().is_ok_and(|status| status.success())
    };
    let mut users = vec![sys::effective_uid()];
    users.extend((is_root() && other_can_run()).then_some(OTHER_USER));
    users
}

fn as_user(mut command: Command, uid: u32) -> Command {
    if uid != sys::effective_uid() {
        command.uid(uid).gid(uid);
    }
    command
}

/// A directory that every user can make one of their own in.
fn shared_place() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    set_mode(root.path(), 0o1777);
    root
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Waits until the child says that it serves.
fn wait_until_serving(child: &mut Child) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.map_while(io::Result::ok).any(|line| line.ends_with("serving")));
}

/// Does nothing, except in the processes that the tests below start.
#[test]
fn child() {
    let (Ok(role), Some(directory)) = (std::env::var(ROLE), std::env::var_os(DIRECTORY)) else {
        return;
    };
    let mut settings = settings(Path::new(&directory));
    settings.port = Some(0);
    match &*role {
        "modes" => check_modes(settings),
        "race" => race(&settings),
        "no_access" => check_no_access(&settings),
        "serve" => {
            settings.socket_permissions = 0o666;
            let _unix = bind(Transport::Unix, &settings).unwrap();
            let _tcp = bind(Transport::Tcp, &settings).unwrap();
            println!("serving");
            // Until it is killed, or the test that started it has failed and is gone.
            let _ = io::stdin().read_line(&mut String::new());
        }
        role => panic!("no role {role}"),
    }
}

fn check_modes(mut settings: Settings) {
    let root = settings.socket_dir.clone();
    settings.socket_dir = root.join("a/b");
    settings.socket_permissions = 0o640;
    let unix = bind(Transport::Unix, &settings).unwrap();
    let tcp = bind(Transport::Tcp, &settings).unwrap();
    for (name, expected) in [
        ("a", 0o700),
        ("a/b", 0o700),
        ("a/b/e.sock", 0o640),
        ("a/b/e.lock", 0o600),
        ("a/b/e.tcp", 0o640),
    ] {
        assert_eq!(mode(&root.join(name)), expected, "{name}");
    }
    connect(Transport::Unix, "e", &settings).unwrap();
    connect(Transport::Tcp, "e", &settings).unwrap();
    stop(unix);
    stop(tcp);
    fs::remove_dir_all(root.join("a")).unwrap();
}

#[test]
fn modes_are_right_whatever_the_umask() {
    for uid in users() {
        for umask in ["0", "022", "077", "0177", "0777"] {
            let root = shared_place();
            let directory = root.path().join("own");
            let command = child_command(umask, "modes", &directory);
            finish(as_user(command, uid).spawn().unwrap());
        }
    }
}

fn race(settings: &Settings) {
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..16).map(|_| scope.spawn(|| bind(Transport::Unix, settings))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    lost.into_iter().for_each(|result| assert_fails(result, Status::InUse, &["e.lock"]));
}

#[test]
fn one_wins_under_the_strictest_umask() {
    for uid in users() {
        for _ in 0..5 {
            let root = shared_place();
            let own = root.path().join("own");
            fs::create_dir(&own).unwrap();
            std::os::unix::fs::chown(&own, Some(uid), None).unwrap();
            finish(as_user(child_command("0777", "race", &own), uid).spawn().unwrap());
        }
    }
}

fn check_no_access(settings: &Settings) {
    let denied = (Status::Permission, Some(libc::EACCES));
    assert_eq!(failure(bind(Transport::Unix, settings)), denied);
    let mut missing = settings.clone();
    missing.socket_dir = settings.socket_dir.join("inner/most");
    assert_eq!(failure(bind(Transport::Unix, &missing)), denied);
    stop(bind(Transport::Tcp, settings).unwrap());
}

#[test]
fn a_directory_that_one_may_not_write_is_an_error() {
    for uid in users().into_iter().filter(|uid| *uid != 0) {
        let root = tempfile::tempdir().unwrap();
        set_mode(root.path(), 0o555);
        finish(as_user(child_command("022", "no_access", root.path()), uid).spawn().unwrap());
        set_mode(root.path(), 0o755);
    }
}

#[test]
fn what_a_killed_server_leaves_is_replaced() {
    let (_root, mut settings) = place();
    settings.port = Some(0);
    let mut child = child_command("022", "serve", &settings.socket_dir).spawn().unwrap();
    wait_until_serving(&mut child);
    assert_fails(bind(Transport::Unix, &settings), Status::InUse, &[]);
    let found = connect(Transport::Unix, "e", &settings).unwrap();
    let expected = Credentials { uid: sys::effective_uid(), pid: child.id() as i32 };
    assert_eq!(found.peer, Peer::Unix(Some(expected)));
    connect(Transport::Tcp, "e", &settings).unwrap();

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(names(&settings.socket_dir), ["e.lock", "e.sock", "e.tcp"]);
    assert_fails(connect(Transport::Unix, "e", &settings), Status::Closed, &[]);
    assert_fails(connect(Transport::Tcp, "e", &settings), Status::Closed, &["stale"]);
    stop(bind(Transport::Unix, &settings).unwrap());
    stop(bind(Transport::Tcp, &settings).unwrap());
    assert!(names(&settings.socket_dir).is_empty());
}

#[test]
fn a_server_of_another_user_is_known_as_such() {
    let Some(uid) = users().into_iter().find(|uid| *uid != sys::effective_uid()) else {
        return;
    };
    let root = shared_place();
    let settings = settings(root.path());
    let mut child = as_user(child_command("0", "serve", root.path()), uid).spawn().unwrap();
    wait_until_serving(&mut child);
    let found = connect(Transport::Unix, "e", &settings).unwrap();
    let expected = Credentials { uid, pid: child.id() as i32 };
    assert_eq!(found.peer, Peer::Unix(Some(expected)));
    assert_fails(check_server(&found.peer, &settings), Status::Permission, &[&uid.to_string()]);
    assert_fails(connect(Transport::Tcp, "e", &settings), Status::Permission, &["e.tcp"]);
    child.kill().unwrap();
    child.wait().unwrap();
}
