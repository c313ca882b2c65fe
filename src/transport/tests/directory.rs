//! `socket_dir`: what is made, and what is refused.

use std::os::unix::fs::{chown, symlink};

use super::*;

/// That nobody listens or looks anything up in this directory, and that it is left as it is.
#[track_caller]
fn assert_refused(settings: &Settings, named: &[&str]) {
    let before = fs::symlink_metadata(&settings.socket_dir).unwrap();
    for result in [
        bind(Transport::Unix, settings).map(drop),
        connect(Transport::Unix, "e", settings).map(drop),
        connect(Transport::Tcp, "e", settings).map(drop),
    ] {
        assert_fails(result, Status::Permission, named);
    }
    let after = fs::symlink_metadata(&settings.socket_dir).unwrap();
    assert_eq!((after.mode(), after.uid()), (before.mode(), before.uid()));
    if after.is_dir() {
        assert!(names(&settings.socket_dir).is_empty());
    }
}

#[test]
fn parents_are_made_private_too() {
    let (root, mut settings) = place();
    settings.socket_dir = root.path().join("a/b/c");
    let listener = bind(Transport::Unix, &settings).unwrap();
    for made in ["a", "a/b", "a/b/c"] {
        assert_eq!(mode(&root.path().join(made)), 0o700);
    }
    stop(listener);
}

#[test]
fn many_may_make_it_at_once() {
    for _ in 0..20 {
        let (root, mut settings) = place();
        settings.socket_dir = root.path().join("a/b/c");
        std::thread::scope(|scope| {
            for number in 0..16 {
                let settings = &settings;
                scope.spawn(move || {
                    let name = format!("e{number}");
                    stop(Listener::bind(Transport::Unix, &name, settings).unwrap());
                });
            }
        });
        assert_eq!(mode(&settings.socket_dir), 0o700);
    }
}

#[test]
fn a_link_is_refused_with_a_slash_too() {
    let (root, mut settings) = place();
    let real = root.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, &settings.socket_dir).unwrap();
    for ending in ["", "/", "//", "/.", "/./"] {
        settings.socket_dir = format!("{}/sockets{ending}", root.path().display()).into();
        for result in [
            bind(Transport::Unix, &settings).map(drop),
            connect(Transport::Unix, "e", &settings).map(drop),
            connect(Transport::Tcp, "e", &settings).map(drop),
        ] {
            assert_fails(result, Status::Permission, &["symbolic link"]);
        }
    }
    assert!(names(&real).is_empty());
    // Further up, a link does no harm.
    fs::create_dir(real.join("inner")).unwrap();
    settings.socket_dir = root.path().join("sockets/inner");
    stop(bind(Transport::Unix, &settings).unwrap());
}

#[test]
fn one_that_all_may_write_needs_the_sticky_bit() {
    let (_root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    for unsafe_mode in [0o777, 0o707, 0o702] {
        set_mode(&settings.socket_dir, unsafe_mode);
        let (named, remedy) = (format!("{unsafe_mode:04o}"), format!("{:04o}", unsafe_mode & !2));
        assert_refused(&settings, &[&named, &remedy, "sticky", "socket_dir"]);
    }
    for safe_mode in [0o1777, 0o755, 0o770, 0o700] {
        set_mode(&settings.socket_dir, safe_mode);
        stop(bind(Transport::Unix, &settings).unwrap());
        assert_eq!(mode(&settings.socket_dir), safe_mode);
    }
}

#[test]
fn one_of_another_user_is_refused() {
    if !is_root() {
        return;
    }
    let (_root, settings) = place();
    fs::create_dir(&settings.socket_dir).unwrap();
    chown(&settings.socket_dir, Some(OTHER_USER), None).unwrap();
    assert_refused(&settings, &[&format!("uid {OTHER_USER}"), "mode 0755", "DOTSOCK_SOCKET_DIR"]);
    // The sticky bit helps against all but the owner.
    set_mode(&settings.socket_dir, 0o1777);
    assert_refused(&settings, &[&format!("uid {OTHER_USER}")]);
}

#[test]
fn what_is_no_directory_is_no_place() {
    let (_root, mut settings) = place();
    fs::write(&settings.socket_dir, "").unwrap();
    for inner in ["", "inner"] {
        settings.socket_dir = settings.socket_dir.join(inner);
        let not_a_directory = (Status::Io, Some(libc::ENOTDIR));
        assert_eq!(failure(bind(Transport::Unix, &settings)), not_a_directory);
        assert_eq!(failure(connect(Transport::Unix, "e", &settings)), not_a_directory);
        assert_eq!(failure(connect(Transport::Tcp, "e", &settings)), not_a_directory);
    }
}

#[test]
fn a_name_that_is_too_long_is_invalid() {
    let (root, mut settings) = place();
    settings.socket_dir = root.path().join("x".repeat(256));
    let too_long = (Status::Invalid, Some(libc::ENAMETOOLONG));
    assert_eq!(failure(connect(Transport::Tcp, "e", &settings)), too_long);
}
