//! The C API: what `include/dotsock.h` declares, a thin layer over the rest of the crate.
//!
//! One file for each section of the header. Every function goes through `guard.rs`, checks what it was given with
//! `arguments.rs`, and leaves the work to the core. The documentation here is written for C
//! programmers: the header is generated from it, see `tests/header.rs`.
//!
//! The functions are `unsafe`, and all for the same reason: a pointer that is not NULL must point
//! to what the header says, for as long as the header says.

#![doc(hidden)]
#![allow(non_camel_case_types, clippy::missing_safety_doc)]

mod arguments;
mod client;
mod client_id;
mod client_list;
mod constants;
mod context;
mod event;
mod guard;
mod hooks;
mod kept;
mod library;
mod log;
mod message;
mod message_values;
mod options;
mod payload;
mod sending;
mod server;

pub use client::*;
pub use client_list::*;
pub use constants::{
    dotsock_event_kind, dotsock_kind, dotsock_log_level, dotsock_message_type, dotsock_size,
    dotsock_status, dotsock_transport,
};
pub use context::sock_drop_fn;
pub use event::*;
pub use hooks::*;
pub use library::*;
pub use log::*;
pub use message::*;
pub use message_values::*;
pub use options::*;
pub use payload::*;
pub use sending::*;
pub use server::*;
