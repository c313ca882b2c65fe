//! Clients in a forked child.

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;

use dotsock::{MessageType, Status};

use crate::common::{Call, PATIENCE, read_frame};
use crate::support::{NOW, Place, data, is_readable, number, recv, send};

fn open_sockets() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = descriptors.flat_map(|entry| std::fs::read_link(entry.path()));
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn a_child_closes_what_a_thread_of_its_parent_sleeps_on() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let client = std::mem::ManuallyDrop::new(Arc::new(client));
    let sleeper = Arc::clone(&client);
    thread::scope(|scope| {
        let receiver = Call::asleep(scope, move || recv(&sleeper));
        // SAFETY: the child runs on with this thread alone, looks at its descriptors and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let before = open_sockets();
            let client = std::mem::ManuallyDrop::into_inner(client);
            // SAFETY: the thread that has the other one does not exist here.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&client)) };
            drop(client);
            let closed = before - open_sockets();
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(closed as i32) };
        }
        let mut status = 0;
        // SAFETY: waits for the child that was just made.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(libc::WEXITSTATUS(status), 1, "one socket is closed in the child");
        server.write_all(&data(1)).unwrap();
        assert_eq!(receiver.join(), 1);
        drop(std::mem::ManuallyDrop::into_inner(client));
    });
}

#[test]
fn a_forked_child_cannot_use_the_client_and_does_it_no_harm() {
    let place = Place::new();
    let (client, mut server, _listener) = place.connected(&[]);
    let fd = client.fd().unwrap();
    let client = std::mem::ManuallyDrop::new(client);
    // SAFETY: the child runs only calls of the client, which take no lock there, and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = |result: dotsock::Result<()>| result.err().map(|error| error.status());
        let forked = Some(Status::Forked);
        let good = status(client.recv(NOW).map(drop)) == forked
            && status(client.send_msgpack(MessageType::Data, &[])) == forked
            && status(client.cancel()) == forked
            && status(client.disconnect()) == forked
            && !client.is_connected()
            && client.address().is_empty()
            && client.server_pid().is_none()
            && client.fd().is_none();
        drop(std::mem::ManuallyDrop::into_inner(client));
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child that was just made.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    let client = std::mem::ManuallyDrop::into_inner(client);
    server.write_all(&data(1)).unwrap();
    assert!(is_readable(fd, PATIENCE));
    assert_eq!(recv(&client), 1);
    send(&client, 2).unwrap();
    assert_eq!(number(&read_frame(&mut server).unwrap()), 2);
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}
