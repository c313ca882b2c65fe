//! A server reads whatever a client writes, in pieces: it gets exactly the well-formed messages,
//! passes them on to a client that behaves, and goes on.
#![no_main]

use std::cell::OnceCell;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use dotsock::{Client, Event, Message, Server, Status};
use libfuzzer_sys::fuzz_target;

const MAX_BODY: usize = 4096;
const SECOND: Option<Duration> = Some(Duration::from_secs(5));

struct World {
    server: Server,
    bystander: Client,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let socket_dir = directory.path().to_str().expect("a path of text");
        let server = Server::builder("fuzz")
            .option("socket_dir", socket_dir)
            .option("max_message_size", &MAX_BODY.to_string())
            .option("buffer_size", "100")
            .build()
            .expect("a server");
        server.open().expect("an open server");
        let bystander = Client::builder("fuzz").option("socket_dir", socket_dir);
        let bystander = bystander.connect().expect("a client");
        assert!(matches!(server.next(SECOND), Ok(Event::Connected { .. })));
        World { server, bystander, _directory: directory }
    }

    /// What has happened, without waiting.
    fn now(&self) -> Option<Event> {
        match self.server.next(Some(Duration::ZERO)) {
            Ok(event) => Some(event),
            Err(error) if error.status() == Status::Timeout => None,
            Err(error) => panic!("the server has an end: {error}"),
        }
    }
}

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

// The first byte says how long the pieces are; the rest is what a client writes.
fuzz_target!(|input: &[u8]| {
    let Some((&size, stream)) = input.split_first() else { return };
    // What a socket's buffer holds, so that nobody waits.
    let stream = &stream[..stream.len().min(32 * 1024)];
    WORLD.with(|world| converse(world.get_or_init(World::new), usize::from(size) + 1, stream));
});

fn converse(world: &World, size: usize, stream: &[u8]) {
    let mut peer = UnixStream::connect(world.server.address()).expect("a connection");
    assert!(matches!(world.server.next(SECOND), Ok(Event::Connected { .. })));
    let (mut came, mut is_over) = (Vec::new(), false);
    let take = |event, came: &mut Vec<Message>, is_over: &mut bool| match event {
        Event::Message { message, .. } => came.push(message),
        Event::Disconnected { .. } => *is_over = true,
        other => panic!("nobody connects: {other:?}"),
    };
    for piece in stream.chunks(size) {
        // A server that has had enough closes.
        if peer.write_all(piece).is_err() {
            break;
        }
        if let Some(event) = world.now() {
            take(event, &mut came, &mut is_over);
        }
    }
    let _ = peer.shutdown(Shutdown::Write);
    while !is_over {
        let event = world.server.next(SECOND).expect("the end of a client that has left");
        take(event, &mut came, &mut is_over);
    }
    let expected: Vec<Message> = dotsock_fuzz::frames(stream, MAX_BODY)
        .into_iter()
        .filter_map(|frame| Message::from_envelope(&frame[4..]).ok())
        .collect();
    assert_eq!(came.len(), expected.len());
    for (came, expected) in came.iter().zip(&expected) {
        assert_eq!(came.envelope(), expected.envelope());
        world.server.send(came, None).expect("a broadcast");
        let passed_on = world.bystander.recv(SECOND).expect("the message, passed on");
        assert_eq!(passed_on.envelope(), expected.envelope());
    }
}
