//! Clients.

use std::time::Duration;

use serde::Serialize;

use crate::transport::Transport;
use crate::{Message, MessageType, Options, Payload, Result};

/// Counters of a client, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    pub messages_sent: u64,
    pub messages_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub malformed: u64,
    pub reconnects: u64,
}

impl ClientStats {
    /// names
    pub const NAMES: [&'static str; 6] = ["messages_sent", "messages_received", "bytes_sent", "bytes_received", "malformed", "reconnects"];

    /// The counter of this name, as the C API calls it.
    pub fn get(&self, _name: &str) -> Option<u64> {
        todo!()
    }
}

/// A client of an event.
pub struct Client {}

impl Client {
    pub fn new(_transport: Transport, _event_name: &str, _options: &Options) -> Result<Client> {
        todo!()
    }
    pub fn open(&self) -> Result<()> {
        todo!()
    }
    pub fn connect(&self) -> Result<()> {
        todo!()
    }
    pub fn disconnect(&self) -> Result<()> {
        todo!()
    }
    pub fn is_connected(&self) -> bool {
        todo!()
    }
    /// None waits without end, zero polls.
    pub fn recv(&self, _timeout: Option<Duration>) -> Result<Message> {
        todo!()
    }
    pub fn send(&self, _message: &Message) -> Result<()> {
        todo!()
    }
    pub fn send_msgpack(&self, _message_type: MessageType, _data: &[u8]) -> Result<()> {
        todo!()
    }
    pub fn send_json(&self, _message_type: MessageType, _json: &str) -> Result<()> {
        todo!()
    }
    pub fn send_payload(&self, _message_type: MessageType, _payload: &Payload) -> Result<()> {
        todo!()
    }
    pub fn send_data(&self, _message_type: MessageType, _data: &impl Serialize) -> Result<()> {
        todo!()
    }
    pub fn cork(&self) -> Result<()> {
        todo!()
    }
    pub fn uncork(&self) -> Result<()> {
        todo!()
    }
    pub fn fd(&self) -> Option<std::os::fd::RawFd> {
        todo!()
    }
    pub fn buffer_size(&self) -> usize {
        todo!()
    }
    pub fn clear_buffer(&self) -> Result<()> {
        todo!()
    }
    /// Safe in a signal handler.
    pub fn cancel(&self) -> Result<()> {
        todo!()
    }
    pub fn event_name(&self) -> &str {
        todo!()
    }
    pub fn address(&self) -> String {
        todo!()
    }
    pub fn server_uid(&self) -> Option<u32> {
        todo!()
    }
    pub fn server_pid(&self) -> Option<i32> {
        todo!()
    }
    pub fn stats(&self) -> ClientStats {
        todo!()
    }
    /// In a forked child: closes descriptors, touches no peer.
    pub(crate) fn abandon(&self) {
        todo!()
    }
    pub(crate) fn is_forked(&self) -> bool {
        todo!()
    }
    /// Iterator over messages
    pub fn messages(&self) -> impl Iterator<Item = Result<Message>> + '_ {
        std::iter::from_fn(|| todo!())
    }
}
