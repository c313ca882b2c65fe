//! What `docs/security.md` says and no other test shows, and that the tests it names exist.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use common::{Setup, wait_until};
use dotsock::{Client, Options, Server, Transport};

#[test]
fn every_test_that_the_notes_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let notes = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let named: Vec<_> = notes.split('`').filter_map(|text| text.split_once("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for (file, name) in named {
        let source = fs::read_to_string(root.join(file)).expect(file);
        let is_there = [format!("fn {name}()"), format!("TEST({name})")]
            .iter()
            .any(|definition| source.contains(definition));
        assert!(is_there, "{file} has no test {name}");
    }
}

#[test]
fn no_socket_is_abstract() {
    let setup = Setup::new(&[]);
    let _server = setup.started();
    let client = Client::new(Transport::Unix, "event", &setup.options).unwrap();
    client.connect().unwrap();
    let path = setup.directory.path().join("event.sock");
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let names: Vec<&str> =
        sockets.lines().filter_map(|line| line.split_whitespace().nth(7)).collect();
    assert!(names.contains(&path.to_str().unwrap()));
    let is_ours = |name: &&&str| name.starts_with('@') && name.contains(path.to_str().unwrap());
    assert!(!names.iter().any(|name| is_ours(&name)), "{names:?}");
}

#[test]
fn what_browsers_say_is_no_message() {
    let setup = Setup::new(&[("port", "0")]);
    let server = Server::new(Transport::Tcp, "event", &setup.options).unwrap();
    server.start().unwrap();
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    let mut greetings: Vec<Vec<u8>> = methods
        .iter()
        .map(|method| format!("{method} / HTTP/1.1\r\nHost: rebound.example\r\n\r\n").into_bytes())
        .collect();
    greetings.push(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
    // A TLS client hello, of TLS 1.0 to 1.3.
    greetings.extend((0..=4).map(|version| vec![0x16, 3, version, 2, 0, 1, 0, 1, 0xfc, 3, 3]));
    for (count, greeting) in greetings.iter().enumerate() {
        let stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        (&stream).write_all(greeting).unwrap();
        let closed = std::io::Read::read(&mut (&stream), &mut [0; 64]);
        assert!(matches!(closed, Ok(0)), "{greeting:?}: {closed:?}");
        wait_until("it is counted", || server.stats().malformed == count as u64 + 1);
    }
    assert_eq!(server.stats().messages_received, 0);
}

/// Not a test by itself: prints options for the one below.
#[test]
fn child() {
    if std::env::var_os("SECURITY_TEST_CHILD").is_none() {
        return;
    }
    let mut options = Options::new().unwrap();
    println!("linger={}", options.get("linger").unwrap());
    println!("token={}", options.get("token").unwrap());
    println!("token_file={}", options.set("token_file", Some("~/token")).unwrap_err());
}

#[test]
fn a_program_with_raised_privileges_ignores_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    if chown(&program, Some(12345), None).is_err() {
        eprintln!("not root: a program with raised privileges could not be made");
        return;
    }
    let run = |mode| {
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let output = Command::new(&program)
            .args(["--exact", "child", "--nocapture"])
            .env_clear()
            .envs([("SECURITY_TEST_CHILD", "1"), ("DOTSOCK_LINGER", "7"), ("DOTSOCK_TOKEN", "x")])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let ordinary = run(0o755);
    assert!(ordinary.contains("linger=7\n") && ordinary.contains("token=(set)\n"), "{ordinary}");
    let raised = run(0o4755);
    assert!(raised.contains("linger=1\n") && raised.contains("token=\n"), "{raised}");
    assert!(raised.contains("raised privileges"), "{raised}");
}
