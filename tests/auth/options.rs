//! Where a token comes from, and that it shows itself nowhere.

use std::os::unix::fs::PermissionsExt;

use dotsock::Status;

use crate::common::Setup;
use crate::support::{TOKEN, client, started, tcp_server, with_token};

fn token_file(setup: &Setup, token: &str, mode: u32) -> String {
    let path = setup.directory.path().join("token");
    std::fs::write(&path, token).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_token_file_is_read_when_a_server_starts_and_a_client_connects() {
    let mut setup = Setup::new(&[("port", "0"), ("auto_reconnect", "false")]);
    let path = token_file(&setup, "first\n", 0o600);
    setup.options.set("token_file", Some(&path)).unwrap();
    let server = tcp_server(&setup);
    token_file(&setup, "second\n", 0o600);
    server.start().unwrap();
    client(&setup, &[("token_file", None), ("token", Some("second"))]).connect().unwrap();
    let other = client(&setup, &[]);
    other.connect().unwrap();
    other.disconnect().unwrap();
    token_file(&setup, "third\n", 0o600);
    assert_eq!(other.connect().unwrap_err().status(), Status::Permission);
}

#[test]
fn a_token_file_that_others_may_read_stops_both_sides() {
    let mut setup = Setup::new(&[("port", "0")]);
    let path = token_file(&setup, "secret\n", 0o600);
    setup.options.set("token_file", Some(&path)).unwrap();
    let server = started(&setup);
    token_file(&setup, "secret\n", 0o640);
    let errors = [tcp_server(&setup).start(), client(&setup, &[]).connect()];
    for error in errors.map(Result::unwrap_err) {
        assert_eq!(error.status(), Status::Permission);
        let text = error.to_string();
        assert!(text.contains("0640") && text.contains(&path), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = client(&setup, &[]).connect().unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Io, Some(libc::ENOENT)));
    assert!(server.is_running());
}

#[test]
fn tokens_that_contradict_each_other_are_refused() {
    let setup = with_token(&[("token_file", "/some/file")]);
    let error = tcp_server(&setup).start().unwrap_err();
    assert_eq!(error.status(), Status::Invalid);
    let text = error.to_string();
    assert!(text.contains("/some/file") && !text.contains(TOKEN), "{text}");
    let setup = with_token(&[("default_timeout", "0")]);
    let error = tcp_server(&setup).start().unwrap_err();
    assert!(error.to_string().contains("default_timeout"), "{error}");
}

#[test]
fn a_token_shows_itself_nowhere() {
    let setup = with_token(&[]);
    let mut options = setup.options.clone();
    assert_eq!(options.get("token").unwrap(), "(set)");
    assert!(!format!("{options:?}").contains(TOKEN));
    for value in ["(set)", "a\0b", &"long secret ".repeat(400)] {
        let error = options.set("token", Some(value)).unwrap_err().to_string();
        assert!(error.starts_with("token = (not shown)") && !error.contains("secret"), "{error}");
    }
    let path = setup.directory.path().join("settings.toml");
    std::fs::write(&path, "token = 271828\n").unwrap();
    let error = options.load(&path).unwrap_err().to_string();
    assert!(error.contains("line 1, column 9") && !error.contains("271828"), "{error}");
    options.set("token", Some("")).unwrap();
    assert_eq!(options.get("token").unwrap(), "");
}
