//! Clients against servers that are raw sockets, so that every byte and its moment is chosen here.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod connecting;
mod descriptor;
mod disconnecting;
mod forks;
mod logging;
mod pressure;
mod random;
mod receiving;
mod reconnecting;
mod sending;
mod waiting;
