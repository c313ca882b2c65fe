//! Options as a program sees them: through `dotsock::Options`, with real files and, in processes
//! of their own, a real environment.

use std::fs;
use std::process::{Command, Output};

use dotsock::{Options, Status};

const DEFAULTS: &[(&str, &str)] = &[
    ("socket_dir", "/tmp/sockets"),
    ("default_timeout", "5"),
    ("send_timeout", ""),
    ("buffer_size", "65536"),
    ("timezone", "UTC"),
    ("message_queue_size", "100"),
    ("blocking_mode", "false"),
    ("allow_client_send", "true"),
    ("max_connections", "1024"),
    ("socket_permissions", "0600"),
    ("auto_remove_socket", "true"),
    ("allow_foreign_server", "false"),
    ("host", "127.0.0.1"),
    ("port", ""),
    ("port_range_start", "9000"),
    ("port_range_end", "9100"),
    ("token", ""),
    ("token_file", ""),
    ("max_message_size", "16777216"),
    ("max_depth", "128"),
    ("frame_timeout", "30"),
    ("client_queue_size", "8388608"),
    ("slow_client", "drop_oldest"),
    ("linger", "1"),
    ("spin", "0"),
    ("retain_last", "false"),
    ("auto_reconnect", "true"),
    ("report_loss", "false"),
    ("reconnect_delay", "0.1"),
    ("reconnect_max_delay", "5"),
    ("reconnect_max_attempts", "0"),
];

/// Set in the processes that `with_environment` starts.
const CHILD: &str = "SETTINGS_TEST_CHILD";

struct ToStderr;

impl log::Log for ToStderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {}: {}", record.level(), record.target(), record.args());
    }
    fn flush(&self) {}
}

/// Not a test by itself: prints every option for the test that started it.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    log::set_logger(&ToStderr).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    match Options::new() {
        Ok(options) => {
            for (key, _) in DEFAULTS {
                println!("{key}={}", options.get(key).unwrap());
            }
        }
        Err(error) => println!("{:?} {error}", error.status()),
    }
}

/// What `child` prints and logs when these are all of its environment.
fn with_environment(variables: &[(&str, &str)]) -> (String, String) {
    let Output { stdout, stderr, .. } = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env_clear()
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn defaults_are_those_of_the_contract() {
    let (shown, logged) = with_environment(&[]);
    for (key, value) in DEFAULTS {
        assert!(shown.contains(&format!("{key}={value}\n")), "{key}: {shown}");
    }
    assert!(!logged.contains("WARN"), "{logged}");
}

#[test]
fn the_environment_and_the_users_file_count() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/dotsock/settings.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "linger = 0.25\nsocket_dir = \"~/s\"\nlingre = 3\n").unwrap();
    let home = home.path().to_str().unwrap();
    let (shown, logged) = with_environment(&[
        ("HOME", home),
        ("DOTSOCK_PORT", "9001"),
        ("DOTSOCK_PROT", "9001"),
        ("DOTSOCK_host", "::1"),
        ("DOTSOCK_LIBRARY", "/opt/libdotsock.so"),
        ("DOTSOCK_SETTINGS", ""),
    ]);
    assert!(shown.contains("linger=0.25\n"), "{shown}");
    assert!(shown.contains(&format!("socket_dir={home}/s\n")), "{shown}");
    assert!(shown.contains("port=9001\n"), "{shown}");

    let warnings: Vec<&str> = logged.lines().filter(|line| line.starts_with("WARN")).collect();
    assert_eq!(warnings.len(), 3, "{logged}");
    let named = |words: &[&str]| {
        warnings.iter().any(|warning| words.iter().all(|word| warning.contains(word)))
    };
    assert!(named(&["settings.toml, line 3, column 1", "'lingre'", "'linger'"]), "{logged}");
    assert!(named(&["DOTSOCK_PROT", "DOTSOCK_PORT"]), "{logged}");
    assert!(named(&["DOTSOCK_host", "DOTSOCK_HOST"]), "{logged}");
}

#[test]
fn what_is_bad_outside_is_an_error_of_new() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("named.toml");
    fs::write(&file, "linger = 1\n\n  lingre = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let (shown, _) = with_environment(&[("DOTSOCK_SETTINGS", file)]);
    assert!(shown.contains("Invalid"), "{shown}");
    assert!(shown.contains(&format!("{file}, line 3, column 3")), "{shown}");
    assert!(shown.contains("'linger'"), "{shown}");

    let (shown, _) = with_environment(&[("DOTSOCK_SETTINGS", "/nowhere.toml")]);
    assert!(shown.contains("Io ") && shown.contains("/nowhere.toml"), "{shown}");

    let (shown, _) = with_environment(&[("DOTSOCK_PORT", "http")]);
    assert!(shown.contains("DOTSOCK_PORT: port = 'http'"), "{shown}");
}

#[test]
fn values_have_one_form() {
    let mut options = Options::new().unwrap();
    for (key, value, shown) in [
        ("blocking_mode", "YES", "true"),
        ("blocking_mode", "Off", "false"),
        ("blocking_mode", "1", "true"),
        ("blocking_mode", "no", "false"),
        ("blocking_mode", "oN", "true"),
        ("blocking_mode", "0", "false"),
        ("blocking_mode", "True", "true"),
        ("blocking_mode", "FALSE", "false"),
        ("socket_permissions", "0600", "0600"),
        ("socket_permissions", "660", "0660"),
        ("socket_permissions", "0o777", "0777"),
        ("socket_permissions", "0", "0000"),
        ("linger", "0.50", "0.5"),
        ("linger", "5.000", "5"),
        ("linger", "100", "100"),
        ("linger", ".25", "0.25"),
        ("linger", "00", "0"),
        ("linger", "86400.0", "86400"),
        ("linger", "0.30000000000000004", "0.3"),
        ("linger", "0.000000001", "0.000000001"),
        ("reconnect_delay", "0.001", "0.001"),
        ("send_timeout", "2.0", "2"),
        ("send_timeout", "", ""),
        ("port", "0", "0"),
        ("port", "65535", "65535"),
        ("port", "", ""),
        ("max_depth", "0016", "16"),
        ("message_queue_size", "0", "0"),
        ("reconnect_max_attempts", "0", "0"),
        ("timezone", "America/New_York", "America/New_York"),
        ("slow_client", "block", "block"),
        ("host", "::1", "::1"),
    ] {
        options.set(key, Some(value)).unwrap();
        assert_eq!(options.get(key).unwrap(), shown, "{key} = {value}");
    }
}

#[test]
fn a_bad_value_names_key_value_and_what_is_allowed() {
    let mut options = Options::new().unwrap();
    let long = "x".repeat(256);
    for (key, value, allowed) in [
        ("blocking_mode", "maybe", "yes, no, on and off"),
        ("blocking_mode", "", "true"),
        ("blocking_mode", "2", "true"),
        ("socket_permissions", "0800", "0777"),
        ("socket_permissions", "1777", "0777"),
        ("socket_permissions", "rw-------", "0777"),
        ("socket_permissions", "+600", "0777"),
        ("linger", "-1", "86400"),
        ("linger", "86400.1", "86400"),
        ("linger", "1e3", "86400"),
        ("linger", "inf", "86400"),
        ("linger", "nan", "86400"),
        ("linger", "5s", "86400"),
        ("linger", "", "86400"),
        ("linger", ".", "86400"),
        ("reconnect_delay", "0", "0.001"),
        ("reconnect_delay", "0.0009", "0.001"),
        ("buffer_size", "0", "from 1"),
        ("buffer_size", "64k", "from 1"),
        ("buffer_size", "+1", "from 1"),
        ("buffer_size", " 1", "from 1"),
        ("buffer_size", "99999999999999999999", "from 1"),
        ("max_connections", "0", "from 1"),
        ("max_depth", "0", "from 1"),
        ("client_queue_size", "0", "from 1"),
        ("max_message_size", "4294967296", "4294967295"),
        ("port", "65536", "65535"),
        ("spin", "1000001", "from 0 to 1000000"),
        ("spin", "0.5", "whole numbers"),
        ("port_range_start", "0", "from 1"),
        ("port_range_end", "", "65535"),
        ("host", "", "255"),
        ("host", &long, "255"),
        ("host", "a b", "255"),
        ("timezone", "Europe/Berln", "Europe/Berlin"),
        ("slow_client", "DROP", "drop_oldest"),
        ("socket_dir", "", "path"),
        ("socket_dir", "/${NOT_A_VARIABLE_AT_ALL}", "NOT_A_VARIABLE_AT_ALL"),
    ] {
        let before = options.get(key).unwrap();
        let error = options.set(key, Some(value)).unwrap_err();
        assert_eq!(error.status(), Status::Invalid);
        let text = error.to_string();
        assert!(text.contains(&format!("{key} = '{value}'")), "{text}");
        assert!(text.contains(allowed), "{text}");
        assert_eq!(options.get(key).unwrap(), before);
    }
}

#[test]
fn texts_fit_the_buffer_that_is_always_enough() {
    let mut options = Options::new().unwrap();
    let longest = format!("/{}", "d".repeat(4094));
    options.set("socket_dir", Some(&longest)).unwrap();
    assert_eq!(options.get("socket_dir").unwrap(), longest);
    let error = options.set("socket_dir", Some(&format!("{longest}d"))).unwrap_err().to_string();
    assert!(error.contains("4095") && error.len() < 1000, "{error}");
    assert!(options.set("socket_dir", Some("/a\0b")).unwrap_err().to_string().contains("NUL"));
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let mut options = Options::new().unwrap();
    for (key, close) in [
        ("max_conections", "max_connections"),
        ("PORT", "port"),
        ("Linger", "linger"),
        ("retian_last", "retain_last"),
    ] {
        for error in
            [options.set(key, Some("1")), options.set(key, None), options.get(key).map(drop)]
        {
            let error = error.unwrap_err();
            assert_eq!(error.status(), Status::Invalid);
            assert!(error.to_string().contains(&format!("'{close}'")), "{error}");
        }
    }
    for far in ["server", "colour", "x"] {
        let error = options.get(far).unwrap_err().to_string();
        assert!(!error.contains("nearest") && error.contains("docs/configuration.md"), "{error}");
    }
    let error = options.set("timezone", Some("the office")).unwrap_err().to_string();
    assert!(!error.contains("nearest"), "{error}");
    let huge = "k".repeat(1 << 20);
    assert!(options.get(&huge).unwrap_err().to_string().len() < 1000);
}

/// Options after loading a file with this text, and its path.
fn load(text: impl AsRef<[u8]>) -> (Result<Options, dotsock::Error>, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.toml");
    fs::write(&path, text).unwrap();
    let mut options = Options::new().unwrap();
    (options.load(&path).map(|()| options), path.display().to_string())
}

#[test]
fn files_hold_values_as_toml_writes_them() {
    let text = "\u{feff}blocking_mode = \"on\"\nretain_last = true\nreport_loss = 1\n\
                linger = 2.50\nframe_timeout = 7\ndefault_timeout = \"0.5\"\n\
                buffer_size = 0x1_0000\nmax_depth = \"12\"\nport = \"\"\n\
                socket_permissions = 0o640\nhost = 'localhost'\r\n";
    let options = load(text).0.unwrap();
    for (key, shown) in [
        ("blocking_mode", "true"),
        ("retain_last", "true"),
        ("report_loss", "true"),
        ("linger", "2.5"),
        ("frame_timeout", "7"),
        ("default_timeout", "0.5"),
        ("buffer_size", "65536"),
        ("max_depth", "12"),
        ("port", ""),
        ("socket_permissions", "0640"),
        ("host", "localhost"),
    ] {
        assert_eq!(options.get(key).unwrap(), shown, "{key}");
    }
    for mode in ["\"0600\"", "\"600\"", "\"0o600\"", "0o600"] {
        let options = load(format!("socket_permissions = {mode}")).0.unwrap();
        assert_eq!(options.get("socket_permissions").unwrap(), "0600");
    }
}

#[test]
fn a_bad_file_names_itself_line_and_column() {
    for (text, line, column, reason) in [
        ("linger = 1\nport = = 2\n", 2, 8, ""),
        ("linger = \n", 1, 10, ""),
        ("socket_permissions = 0600\n", 1, 22, "leading zero"),
        ("linger = 1\nlinger = 2\n", 2, 1, "duplicate"),
        ("# ä\n  lingre = 1\n", 2, 3, "'linger'"),
        ("[server]\nlinger = 1\n", 1, 2, "'server' is a section: settings files have none"),
        ("port = 1\nhost = \"ö\"\nlinger = -1\n", 3, 10, "linger = -1"),
        ("socket_permissions = 600\n", 1, 22, "write \"0600\", or 0o600"),
        ("socket_permissions = 384\n", 1, 22, "write \"0600\", or 0o600"),
        ("socket_permissions = 0o1000\n", 1, 22, "0777"),
        ("host = 5\n", 1, 8, "host = 5"),
        ("host = [\"a\"]\n", 1, 8, "host = (array)"),
        ("linger = 1979-05-27\n", 1, 10, "linger = (datetime)"),
        ("linger = inf\n", 1, 10, "86400"),
        ("port = 'x'\nhost = ''\n", 1, 8, "port"),
        ("port.a = 1\n", 1, 1, "port = (table)"),
    ] {
        let (result, path) = load(text);
        let error = result.unwrap_err();
        assert_eq!(error.status(), Status::Invalid);
        let wanted = format!("{path}, line {line}, column {column}: ");
        let error = error.to_string();
        assert!(error.contains(&wanted) && error.contains(reason), "{text:?}: {error}");
    }
    let (result, path) = load(b"port = 1\nhost = \"\xff\"\n");
    let error = result.unwrap_err().to_string();
    assert!(error.contains(&format!("{path}, line 2, column 9")), "{error}");
}

#[test]
fn a_load_that_fails_changes_nothing() {
    let mut options = Options::new().unwrap();
    options.set("linger", Some("3")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("half.toml");
    fs::write(&path, "linger = 4\nbuffer_size = 0\n").unwrap();
    options.load(&path).unwrap_err();
    assert_eq!(options.get("linger").unwrap(), "3");

    let missing = directory.path().join("missing.toml");
    let error = options.load(&missing).unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Io, Some(libc::ENOENT)));
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
}

#[test]
fn none_puts_back_what_was_set_and_loaded() {
    let mut options = Options::new().unwrap();
    let outside = options.get("linger").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.toml");
    fs::write(&path, "linger = 77\nmax_depth = 78\n").unwrap();
    options.set("linger", Some("66")).unwrap();
    options.load(&path).unwrap();
    assert_eq!(options.get("linger").unwrap(), "77");
    options.set("linger", Some("66")).unwrap();
    options.set("linger", None).unwrap();
    assert_eq!(options.get("linger").unwrap(), outside);
    assert_eq!(options.get("max_depth").unwrap(), "78");
}
