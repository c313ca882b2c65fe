//! Event sockets: a program says what it is doing, others listen.
//!
//! A server is named by an event. It sends DATA, ERROR and CONTROL messages to everybody who
//! listens, or to one of them, over a Unix-domain socket or TCP; while nobody listens it keeps
//! them for the first who comes. Clients connect by the name of the event, and connect again by
//! themselves when the server has been away. Messages are MessagePack in length-prefixed frames,
//! so that programs in any language can take part.
//!
//! # A server and a client
//!
//! ```
//! use dotsock::{Client, MessageType, Server};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Progress {
//!     status: String,
//!     percent: u8,
//! }
//!
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path().to_str().unwrap();
//! let server = Server::builder("wallpaper")
//! #   .option("socket_dir", directory)
//!     .start()?;
//! let client = Client::builder("wallpaper")
//! #   .option("socket_dir", directory)
//!     .connect()?;
//!
//! let said = Progress { status: "generating colours".into(), percent: 33 };
//! server.broadcast(MessageType::Data, &said)?;
//!
//! let message = client.recv(None)?;
//! let heard: Progress = message.decode()?;
//! assert_eq!((heard.status.as_str(), heard.percent), ("generating colours", 33));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a payload is
//!
//! One map with string keys. Send anything that serializes to one, read it as anything that
//! deserializes from one, or take single values by JSON Pointer:
//!
//! ```
//! use dotsock::{Message, MessageType, Payload};
//!
//! let mut payload = Payload::new();
//! payload.set_string("/monitor/name", "DP-1")?;
//! payload.set_int("/monitor/sizes/-", 2560)?;
//! let message = Message::from_payload("wallpaper", MessageType::Error, &payload)?;
//! assert_eq!(message.data_json()?, r#"{"monitor":{"name":"DP-1","sizes":[2560]}}"#);
//! assert_eq!(message.get("/monitor/sizes/0").and_then(|size| size.as_i64()), Some(2560));
//! # Ok::<(), dotsock::Error>(())
//! ```
//!
//! # Hooks, or a loop of your own
//!
//! Hooks tell a server who came, spoke and went. A program with an event loop opens the server
//! instead, waits for its descriptor, and takes the events itself; a client has the same.
//!
//! ```
//! use dotsock::{Client, Event, MessageType, Server};
//! use serde_json::json;
//! use std::time::Duration;
//!
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path().to_str().unwrap();
//! let server = Server::builder("door")
//! #   .option("socket_dir", directory)
//!     .build()?;
//! server.open()?;
//! let client = Client::builder("door")
//! #   .option("socket_dir", directory)
//!     .connect()?;
//! client.send_data(MessageType::Data, &json!({"knock": 3}))?;
//!
//! let second = Some(Duration::from_secs(1));
//! assert!(matches!(server.next(second)?, Event::Connected { .. }));
//! if let Event::Message { client_id, message } = server.next(second)? {
//!     server.send(&message, Some(&client_id))?;
//! }
//! assert_eq!(client.recv(second)?.get("/knock").and_then(|value| value.as_i64()), Some(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Options
//!
//! [`Options`] come from the built-in defaults, the user's settings file, the file that
//! `DOTSOCK_SETTINGS` names, the environment (`DOTSOCK_<KEY>`), and the program; later wins.
//! `config/settings.toml` lists all of them.
//!
//! # Errors, threads, forks, signals
//!
//! - Everything that can fail returns an [`Error`]: its [`status`](Error::status) is for programs,
//!   its text says to a person which path, value or limit it was and what to do.
//! - All methods may be called from any number of threads at once.
//! - In a forked child, servers and clients made before the fork answer [`Status::Forked`].
//!   New ones work.
//! - No signal handler is installed and none is disturbed; the death of a peer never raises
//!   SIGPIPE. [`Server::cancel`] and [`Client::cancel`] may be called from a signal handler.
//! - The crate logs through [`log`], under targets that begin with `dotsock::`.
//!
//! The same library has a C interface: `include/dotsock.h`.

#![warn(missing_docs)]
// `unsafe` stands only in `sys` and `ffi`.
#![deny(unsafe_code)]

mod auth;
mod builder;
mod client;
mod deferred;
mod error;
mod event_name;
#[allow(unsafe_code)]
pub mod ffi;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod message;
#[cfg(feature = "micro")]
#[doc(hidden)]
pub mod micro;
mod notes;
mod payload;
mod pointer;
mod server;
mod settings;
#[allow(unsafe_code)]
mod sys;
mod texts;
mod timestamp;
mod transport;
mod value;
mod wire;
mod zone;

pub use builder::{ClientBuilder, ServerBuilder};
pub use client::{Client, ClientStats};
pub use error::{Error, Result, Status};
pub use event_name::validate_event_name;
pub use message::{Message, MessageType};
pub use payload::Payload;
pub use server::{ClientInfo, Event, Server, ServerStats};
pub use settings::Options;
pub use timestamp::{timestamp_iso, timestamp_iso_at, timestamp_ms};
pub use transport::Transport;
pub use value::{Kind, Value};
