//! Event sockets: a program says what it is doing, others listen.

#![warn(missing_docs)]
// `unsafe` stands only in `sys` and `ffi`.
#![deny(unsafe_code)]

mod client;
mod deferred;
mod error;
mod event_name;
#[allow(unsafe_code)]
pub mod ffi;
mod message;
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

pub use client::{Client, ClientStats};
pub use error::{Error, Result, Status};
pub use event_name::validate_event_name;
pub use message::{Message, MessageType};
pub use payload::Payload;
pub use server::{ClientHook, ClientInfo, Event, MessageHook, Server, ServerStats};
pub use settings::Options;
pub use timestamp::{timestamp_iso, timestamp_iso_at, timestamp_ms};
pub use transport::Transport;
pub use value::{Kind, Value};
