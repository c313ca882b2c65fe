//! TCP with a token: who does not know it gets nothing and is heard by nobody, on either side.
//!
//! Peers made of bare sockets do by hand what the protocol says, and what it forbids.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod client;
mod forks;
mod logging;
mod options;
mod server;
