//! Sockets that a forked child has open too.

use dotsock::{MessageType, Status};

use crate::common::Call;
use crate::support::{
    Child, Raw, TOKEN, auth, client, false_server, frame_of, hmac, started, with_token,
};

fn open_sockets() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn who_is_turned_away_sees_the_end_though_a_child_has_the_socket() {
    let setup = with_token(&[]);
    let server = started(&setup);
    // More than are let go of with care at a time.
    let mut strangers: Vec<_> = (0..40).map(|_| Raw::connect(&server)).collect();
    for stranger in &mut strangers {
        stranger.nonce();
    }
    let _child = Child::fork();
    for stranger in &mut strangers {
        stranger.say(&[0xff; 4]);
    }
    for stranger in &mut strangers {
        while stranger.hear().is_some() {}
    }
}

#[test]
fn a_stop_closes_those_who_wait_though_a_child_has_their_sockets() {
    let setup = with_token(&[]);
    let server = started(&setup);
    let mut stranger = Raw::connect(&server);
    stranger.nonce();
    let _child = Child::fork();
    server.stop().unwrap();
    assert!(stranger.hear().is_none());
}

#[test]
fn a_forked_child_does_a_handshake_no_harm() {
    let (listener, setup) = false_server(&[("default_timeout", "20")]);
    let other = &client(&setup, &[]);
    std::thread::scope(|scope| {
        let connecting = Call::begin(scope, || other.connect());
        let mut raw = Raw::accept(&listener);
        let mine = [5; 32];
        raw.say(&frame_of(MessageType::Control, &auth(Some(&mine), None)));
        let (theirs, _) = raw.nonce();
        // What is locked at the moment of a fork is left alone.
        connecting.wait_until_asleep();
        // SAFETY: the child only drops a client, makes a call on it and leaves.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_forked = other.connect().is_err_and(|error| error.status() == Status::Forked);
            let before = open_sockets();
            // SAFETY: the parent goes on with the original; this copy is used here alone.
            drop(unsafe { std::ptr::read(other) });
            // Or the connection would live on here, whatever the parent does.
            let is_closed = open_sockets() == before - 1;
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!is_forked) + 2 * i32::from(!is_closed)) };
        }
        let mut status = -1;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        let proof = hmac(TOKEN, &[b"server", b"event", &theirs, &mine]);
        raw.say(&frame_of(MessageType::Control, &auth(None, Some(&proof))));
        connecting.join().unwrap();
        assert!(other.is_connected());
    });
}
