//! What costs no processor time. It is measured for the whole process: one test at a time.

mod common;

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{PATIENCE, Setup, wait_for_clients, wait_until};
use dotsock::{Event, MessageType, Server, Status, Transport};
use serde_json::json;

static ALONE: Mutex<()> = Mutex::new(());

fn text(size: usize) -> String {
    "x".repeat(size)
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A server, and a client over TCP for which more is queued than it reads.
fn behind_over_tcp(settings: &[(&str, &str)]) -> (Setup, Server, TcpStream) {
    let setup = Setup::new(&[settings, &[("port", "0")]].concat());
    let server = Server::new(Transport::Tcp, "event", &setup.options).unwrap();
    server.start().unwrap();
    let stream = TcpStream::connect(server.address()).unwrap();
    wait_for_clients(&server, 1);
    let few: libc::c_int = 4096;
    // SAFETY: the value is readable for its size.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const few).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
    (setup, server, stream)
}

#[test]
fn a_peer_that_has_left_and_does_not_read_is_waited_for_quietly() {
    let _alone = ALONE.lock();
    // From what the peer's kernel takes to more than both take.
    for size in [100_000, 200_000, 400_000, 30_000_000] {
        let (_setup, server, stream) =
            behind_over_tcp(&[("linger", "0.5"), ("max_message_size", "100000000")]);
        server.broadcast(MessageType::Data, &json!({"text": text(size)})).unwrap();
        server.disconnect_client("client-1").unwrap();
        let before = processor_time();
        wait_until("it is being closed", || server.clients().is_empty());
        stream.shutdown(Shutdown::Write).unwrap();
        server.stop().unwrap();
        assert!(processor_time() - before < Duration::from_millis(200), "{size}");
        drop(stream);
    }
}

#[test]
fn a_forked_child_that_keeps_sockets_open_changes_nothing() {
    let _alone = ALONE.lock();
    let setup = Setup::new(&[]);
    let server = setup.started();
    let mut peers = [setup.peer(), setup.peer()];
    wait_for_clients(&server, 2);
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the child calls nothing but async-signal-safe functions.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let mut byte = 0u8;
        // SAFETY: the buffer is valid; the parent's end is closed first, so that this returns.
        unsafe {
            libc::close(writer.as_raw_fd());
            libc::read(reader.as_raw_fd(), (&raw mut byte).cast(), 1);
            libc::_exit(0);
        }
    }
    server.disconnect_client("client-1").unwrap();
    assert!(peers[0].hear().is_none());
    for peer in &peers {
        peer.stream.shutdown(Shutdown::Both).unwrap();
    }
    wait_for_clients(&server, 0);
    let before = processor_time();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(processor_time() - before < Duration::from_millis(100));
    drop(writer);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    let mut status = 0;
    // SAFETY: `status` is valid; the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
}

/// A server whose stop waits half a second for a client that does not read.
fn lingering() -> (Setup, Server) {
    let setup = Setup::new(&[
        ("linger", "0.5"),
        ("client_queue_size", "100000000"),
        ("max_message_size", "100000000"),
    ]);
    let server = setup.server();
    (setup, server)
}

/// The processor time of that stop.
fn stop_takes(setup: &Setup, server: &Server, meanwhile: impl FnOnce()) -> Duration {
    server.broadcast(MessageType::Data, &json!({"text": text(30_000_000)})).unwrap();
    let before = processor_time();
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| server.stop());
        // The stop has begun, and no longer competes with a cancel for the end of `run`.
        wait_until("it is stopping", || !setup.directory.path().join("event.sock").exists());
        meanwhile();
        assert!(!stop.is_finished());
    });
    processor_time() - before
}

#[test]
fn a_cancel_during_a_stop_does_not_keep_it_awake() {
    let _alone = ALONE.lock();
    for drive in [Server::run, Server::start] {
        let (setup, server) = lingering();
        std::thread::scope(|scope| {
            let driver = scope.spawn(|| drive(&server));
            wait_until("it runs", || server.is_running());
            let _peer = setup.peer();
            wait_for_clients(&server, 1);
            let taken = stop_takes(&setup, &server, || server.cancel().unwrap());
            assert!(taken < Duration::from_millis(200), "{taken:?}");
            driver.join().unwrap().unwrap();
        });
    }
}

#[test]
fn threads_in_next_do_not_keep_a_stop_awake() {
    let _alone = ALONE.lock();
    let (setup, server) = lingering();
    server.open().unwrap();
    let _peer = setup.peer();
    assert!(matches!(server.next(Some(PATIENCE)), Ok(Event::Connected { .. })));
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| server.next(None));
        let taken = stop_takes(&setup, &server, || {
            // One that leaves makes the server look who else is there.
            let left = server.next(Some(Duration::from_millis(10))).unwrap_err();
            assert_eq!(left.status(), Status::Timeout);
        });
        assert!(taken < Duration::from_millis(200), "{taken:?}");
        assert!(matches!(patient.join().unwrap(), Ok(Event::Disconnected { .. })));
    });
}

/// Opens files until the process has no descriptor left.
fn take_all_descriptors() -> Vec<std::fs::File> {
    std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
}

#[test]
fn without_descriptors_listening_pauses_and_goes_on() {
    let _alone = ALONE.lock();
    let setup = Setup::new(&[]);
    let server = setup.server();
    server.open().unwrap();
    // Only ever asks when the descriptor says so.
    let next_within = |limit: Duration| {
        let begun = Instant::now();
        while let Some(left) = limit.checked_sub(begun.elapsed()) {
            let fd = server.fd().unwrap();
            let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid entry.
            if unsafe { libc::poll(&mut entry, 1, left.as_millis() as i32 + 1) } == 0 {
                continue;
            }
            match server.next(Some(Duration::ZERO)) {
                Err(error) => assert_eq!(error.status(), Status::Timeout),
                Ok(event) => return Some(event),
            }
        }
        None
    };
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls; the soft limit is put back below.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let few = libc::rlimit { rlim_cur: 64, ..limit };
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &few) };
    let mut taken = take_all_descriptors();
    // Room for both ends of the first, and for one end of the second.
    taken.truncate(taken.len() - 3);
    let first = setup.peer();
    let second = setup.peer();
    assert!(matches!(next_within(PATIENCE), Some(Event::Connected { .. })));
    let before = processor_time();
    assert!(next_within(Duration::from_millis(350)).is_none());
    assert!(processor_time() - before < Duration::from_millis(100));
    drop(taken);
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    assert!(matches!(next_within(PATIENCE), Some(Event::Connected { .. })));
    drop((first, second));
}

#[test]
fn nothing_is_left_open() {
    let _alone = ALONE.lock();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for start in [Server::start, Server::open] {
        let setup = Setup::new(&[("max_connections", "2")]);
        let server = setup.server();
        for round in 1..=3 {
            start(&server).unwrap();
            let _peers = [(); 5].map(|()| setup.peer());
            wait_until("they are dealt with", || {
                let _ = server.next(Some(Duration::ZERO));
                server.stats().clients == 2 && server.stats().rejected == 3 * round
            });
            server.disconnect_client(&server.clients()[0].id).unwrap();
            server.stop().unwrap();
        }
        drop(server);
        drop(setup);
        assert_eq!(open(), before);
    }
}
