//! A client reads whatever a server writes, in pieces: it gets exactly the well-formed messages,
//! says why the connection ends, and connects again.
#![no_main]

use std::cell::OnceCell;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use dotsock::{Client, Message, Status};
use libfuzzer_sys::fuzz_target;

const MAX_BODY: usize = 4096;
const SECOND: Option<Duration> = Some(Duration::from_secs(5));

struct World {
    listener: UnixListener,
    client: Client,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("fuzz.sock")).expect("a listener");
        let client = Client::builder("fuzz")
            .option("socket_dir", directory.path().to_str().expect("a path of text"))
            .option("max_message_size", &MAX_BODY.to_string())
            .option("buffer_size", "100")
            .option("auto_reconnect", "no")
            .build()
            .expect("a client");
        World { listener, client, _directory: directory }
    }
}

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

// The first byte says how long the pieces are; the rest is what a server writes.
fuzz_target!(|input: &[u8]| {
    let Some((&size, stream)) = input.split_first() else { return };
    // What a socket's buffer holds, so that nobody waits.
    let stream = &stream[..stream.len().min(32 * 1024)];
    WORLD.with(|world| converse(world.get_or_init(World::new), usize::from(size) + 1, stream));
});

fn converse(world: &World, size: usize, stream: &[u8]) {
    world.client.connect().expect("a connection");
    let (mut server, _) = world.listener.accept().expect("the client");
    let mut came = Vec::new();
    let mut end = None;
    for piece in stream.chunks(size) {
        if server.write_all(piece).is_err() {
            break;
        }
        match world.client.recv(Some(Duration::ZERO)) {
            Ok(message) => came.push(message),
            Err(error) if error.status() == Status::Timeout => {}
            Err(error) => {
                end = Some(error);
                break;
            }
        }
    }
    drop(server);
    let end = loop {
        if let Some(end) = end.take() {
            break end;
        }
        match world.client.recv(SECOND) {
            Ok(message) => came.push(message),
            Err(error) => end = Some(error),
        }
    };
    let is_known =
        [Status::Closed, Status::Message, Status::MaxConnections].contains(&end.status());
    assert!(is_known, "a server that has left is still there: {end}");
    let mut expected: Vec<Message> = dotsock_fuzz::frames(stream, MAX_BODY)
        .into_iter()
        .filter_map(|frame| Message::from_envelope(&frame[4..]).ok())
        .collect();
    if end.status() == Status::MaxConnections {
        // The server's first message said that it has no place, and is told as the end.
        expected.clear();
    }
    assert_eq!(came.len(), expected.len(), "{end}");
    for (came, expected) in came.iter().zip(&expected) {
        assert_eq!(came.envelope(), expected.envelope());
    }
    world.client.disconnect().expect("the end of it");
    world.client.clear_buffer().expect("nothing left");
}
