use std::os::unix::fs::PermissionsExt;

use super::*;

fn secret(token: &[u8], event_name: &str) -> Secret {
    Secret::new(event_name, &Token::new(token.to_vec()).unwrap()).unwrap()
}

/// Ascending and descending bytes.
fn nonces() -> (Nonce, Nonce) {
    (std::array::from_fn(|i| i as u8), std::array::from_fn(|i| 255 - i as u8))
}

fn hex(mac: Mac) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The values are Python's: `hmac.new(token, b"client" + event + server + client, sha256)`, and the
/// same with b"server" and the nonces exchanged.
#[test]
fn the_macs_are_those_of_an_independent_program() {
    let (server, client) = nonces();
    let known = secret(b"correct horse battery staple", "weather");
    assert_eq!(
        hex(known.client_mac(&server, &client)),
        "262ac7ccb63f55d84effdce0b4de39bd08dc697f55f7b2c603a124b31f9ba249"
    );
    assert_eq!(
        hex(known.server_mac(&server, &client)),
        "3ff4a6ae1a38938c17723661bd758c5b0724606761e90d5740eae48de5e817f1"
    );
    // Longer than a block of SHA-256.
    assert_eq!(
        hex(secret(&[b'k'; 100], "weather").client_mac(&server, &client)),
        "6c50571502ed43da0d78ac64986e8ad2f7d3439ddec156e27b1549ad72982234"
    );
}

#[test]
fn a_mac_proves_one_side_one_event_and_one_handshake() {
    let (server, client) = nonces();
    let known = secret(b"token", "event");
    let (of_client, of_server) =
        (known.client_mac(&server, &client), known.server_mac(&server, &client));
    assert!(known.is_client(&server, &client, &of_client));
    assert!(known.is_server(&server, &client, &of_server));
    assert!(!known.is_client(&server, &client, &of_server));
    assert!(!known.is_server(&server, &client, &of_client));
    assert!(!known.is_client(&client, &server, &of_client));
    assert!(!secret(b"Token", "event").is_client(&server, &client, &of_client));
    assert!(!secret(b"token", "events").is_client(&server, &client, &of_client));
    let mut other = of_client;
    other[31] ^= 1;
    assert!(!known.is_client(&server, &client, &other));
}

#[test]
fn nonces_differ() {
    assert_ne!(fresh_nonce().unwrap(), fresh_nonce().unwrap());
}

fn token_file(contents: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, contents).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    (directory, path)
}

#[test]
fn a_file_gives_its_bytes_without_the_line_end() {
    for (contents, token) in [
        (&b"secret\n"[..], &b"secret"[..]),
        (b"secret", b"secret"),
        (b"two\nlines\n\n", b"two\nlines\n"),
        (b"\0\xff", b"\0\xff"),
        (&[b'x'; LONGEST], &[b'x'; LONGEST]),
    ] {
        let (_directory, path) = token_file(contents, 0o400);
        assert_eq!(read(&path).unwrap().bytes(), token);
    }
}

#[test]
fn a_file_that_is_no_secret_is_refused() {
    for mode in [0o640, 0o604, 0o602, 0o610] {
        let (_directory, path) = token_file(b"secret", mode);
        let error = read(&path).unwrap_err();
        assert_eq!(error.status(), Status::Permission);
        let text = error.to_string();
        assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 600"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    for contents in [&b""[..], b"\n"] {
        let (_directory, path) = token_file(contents, 0o600);
        let error = read(&path).unwrap_err();
        assert_eq!(error.status(), Status::Invalid);
        assert!(error.to_string().contains("is empty"), "{error}");
    }
    let (_directory, path) = token_file(&[b'x'; LONGEST + 1], 0o600);
    assert!(read(&path).unwrap_err().to_string().contains("4095"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read(&path).unwrap_err().os_error(), Some(libc::ENOENT));

    let (directory, path) = token_file(b"secret", 0o600);
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = read(&link).unwrap_err();
    assert_eq!(error.os_error(), Some(libc::ELOOP));
    assert!(error.to_string().contains("symbolic link"), "{error}");
    let error = read(directory.path()).unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
    assert!(read(Path::new("/dev/zero")).is_err());
}
