//! Clients against servers that are raw sockets, so that every byte and its moment is chosen here.

mod support;

mod connecting;
mod descriptor;
mod disconnecting;
mod forks;
mod logging;
mod receiving;
mod reconnecting;
mod sending;
mod waiting;
