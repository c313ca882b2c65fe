//! Options and settings files: a bad value changes nothing, and what `get` shows can be set again.
#![no_main]

use std::io::{Seek, Write};
use std::os::fd::AsRawFd;

use dotsock::{Client, Options, Server, Transport};
use libfuzzer_sys::fuzz_target;

const KEYS: &str = include_str!("../../config/settings.toml");

fn keys() -> impl Iterator<Item = &'static str> {
    let lines = KEYS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = ")).map(|(key, _)| key)
}

fn same(one: &Options, other: &Options) -> bool {
    keys().all(|key| one.get(key).expect("a known key") == other.get(key).expect("a known key"))
}

// A text that begins with '=' is a list of `key=value` lines, any other a settings file.
fuzz_target!(|input: &[u8]| {
    let mut options = Options::new().expect("the built-in options");
    match input.split_first() {
        Some((b'=', lines)) => {
            for line in String::from_utf8_lossy(lines).lines().take(20) {
                let before = options.clone();
                let (key, value) = line.split_once('=').map_or((line, None), |(k, v)| (k, Some(v)));
                if options.set(key, value).is_err() {
                    assert!(same(&options, &before), "{line} failed and changed something");
                } else {
                    assert!(keys().any(|known| known == key), "no such key: {key}");
                }
            }
        }
        _ => {
            let before = options.clone();
            if load(&mut options, input).is_err() {
                assert!(same(&options, &before), "the file was refused and changed something");
            }
        }
    }
    for key in keys() {
        let value = options.get(key).expect("a known key");
        // All but the token, which is not told.
        let is_told = value != "(set)" || key != "token";
        assert_eq!(options.set(key, Some(&value)).is_ok(), is_told, "what get has shown: {key}");
        assert_eq!(options.get(key).expect("a known key"), value);
    }
    for transport in [Transport::Unix, Transport::Tcp] {
        let server = Server::new(transport, "event", &options).is_ok();
        assert_eq!(server, Client::new(transport, "event", &options).is_ok());
    }
});

/// Loads a file that has no name.
fn load(options: &mut Options, text: &[u8]) -> dotsock::Result<()> {
    let mut file = tempfile::tempfile_in("/dev/shm").expect("a temporary file");
    file.write_all(text).and_then(|()| file.rewind()).expect("room in it");
    options.load(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
