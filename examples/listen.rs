//! Prints what examples/progress.rs says, until that is done: `cargo run --example listen`.

use dotsock::Client;
use serde::Deserialize;

#[derive(Deserialize)]
struct Progress {
    file: String,
    percent: u8,
}

fn main() -> dotsock::Result<()> {
    // It connects as soon as there is a server; `connect` would fail where there is none.
    let client = Client::builder("progress").build()?;
    client.open()?;
    for message in client.messages() {
        let progress: Progress = message?.decode()?;
        println!("{}: {} %", progress.file, progress.percent);
        if progress.percent == 100 {
            break;
        }
    }
    client.disconnect()
}
