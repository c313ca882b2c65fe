//! Says how far it is: `cargo run --example progress`, and `cargo run --example listen` in another
//! terminal, before or after.

use std::thread::sleep;
use std::time::Duration;

use dotsock::{MessageType, Server};
use serde::Serialize;

#[derive(Serialize)]
struct Progress {
    file: &'static str,
    percent: u8,
}

fn main() -> dotsock::Result<()> {
    let server = Server::builder("progress").start()?;
    for percent in (0..=100).step_by(20) {
        server.broadcast(MessageType::Data, &Progress { file: "a.txt", percent })?;
        println!("sent {percent} %");
        sleep(Duration::from_millis(500)); // the work
    }
    // Nobody has come yet? The backlog waits for the first who does.
    while server.queue_size() > 0 {
        sleep(Duration::from_millis(500));
    }
    server.stop() // delivers what is on its way
}
