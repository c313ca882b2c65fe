//! Servers.

use std::time::Duration;

use serde::Serialize;

use crate::transport::{Peer, Transport};
use crate::{Message, MessageType, Options, Payload, Result, Status};

/// What happened to a server that the program drives itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A client has connected.
    Connected { client_id: String },
    /// A client has left.
    Disconnected { client_id: String },
    /// A client sent a message.
    Message { client_id: String, message: Message },
}

/// Counters of a server, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    pub clients: u64,
    pub connections: u64,
    pub rejected: u64,
    pub messages_sent: u64,
    pub messages_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub messages_dropped: u64,
    pub malformed: u64,
    pub denied: u64,
    pub queued: u64,
}

impl ServerStats {
    /// The counter of this name, as the C API calls it.
    pub fn get(&self, _name: &str) -> Option<u64> {
        todo!()
    }
}

/// One connected client, as it was when the list was made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientInfo {
    pub id: String,
    pub address: String,
    pub connected_at_ms: i64,
    pub uid: Option<u32>,
    pub pid: Option<i32>,
    pub dropped: u64,
    pub queued_bytes: u64,
}

/// A hook for a client that came or went: the server and the client's id.
pub type ClientHook = Box<dyn Fn(&Server, &str) + Send + Sync>;
/// A hook for a message: the server, the client's id, the message.
pub type MessageHook = Box<dyn Fn(&Server, &str, &Message) + Send + Sync>;

/// The hooks of a server.
#[derive(Default)]
pub(crate) struct Hooks {
    pub connected: Option<ClientHook>,
    pub disconnected: Option<ClientHook>,
    pub message: Option<MessageHook>,
}

/// A server named by an event. A handle: clones are the same server. Dropping does not stop it... (see stop)
#[derive(Clone)]
pub struct Server {}

impl Server {
    pub fn new(_transport: Transport, _event_name: &str, _options: &Options) -> Result<Server> {
        todo!()
    }

    /// Changes the hooks while the server is not running (`Status::State` else, and `change` is not called).
    pub(crate) fn set_hooks<R>(&self, _change: impl FnOnce(&mut Hooks) -> R) -> Result<R> {
        todo!()
    }

    pub fn start(&self) -> Result<()> {
        todo!()
    }
    pub fn run(&self) -> Result<()> {
        todo!()
    }
    pub fn open(&self) -> Result<()> {
        todo!()
    }
    /// None waits without end, zero polls.
    pub fn next(&self, _timeout: Option<Duration>) -> Result<Event> {
        todo!()
    }
    pub fn fd(&self) -> Option<std::os::fd::RawFd> {
        todo!()
    }

    pub fn send(&self, _message: &Message, _client_id: Option<&str>) -> Result<()> {
        todo!()
    }
    pub fn send_msgpack(
        &self,
        _message_type: MessageType,
        _data: &[u8],
        _client_id: Option<&str>,
    ) -> Result<()> {
        todo!()
    }
    pub fn send_json(
        &self,
        _message_type: MessageType,
        _json: &str,
        _client_id: Option<&str>,
    ) -> Result<()> {
        todo!()
    }
    pub fn send_payload(
        &self,
        _message_type: MessageType,
        _payload: &Payload,
        _client_id: Option<&str>,
    ) -> Result<()> {
        todo!()
    }
    pub fn broadcast(&self, _message_type: MessageType, _data: &impl Serialize) -> Result<()> {
        todo!()
    }
    pub fn unicast(
        &self,
        _client_id: &str,
        _message_type: MessageType,
        _data: &impl Serialize,
    ) -> Result<()> {
        todo!()
    }
    pub fn cork(&self) -> Result<()> {
        todo!()
    }
    pub fn uncork(&self) -> Result<()> {
        todo!()
    }

    pub fn stop(&self) -> Result<()> {
        todo!()
    }
    /// Safe in a signal handler.
    pub fn cancel(&self) -> Result<()> {
        todo!()
    }
    /// Whether this thread is in a hook of this server
    pub(crate) fn in_hook(&self) -> bool {
        todo!()
    }
    /// Runs `last` when this server has stopped and the call or thread that runs it has let go of it; for a
    /// handle that is freed from its own hook. (call after `stop` from a hook)
    pub(crate) fn after_stop(&self, _last: Box<dyn FnOnce() + Send>) {
        todo!()
    }
    /// In a forked child: closes descriptors, touches neither peers nor files.
    pub(crate) fn abandon(&self) {
        todo!()
    }
    pub(crate) fn is_forked(&self) -> bool {
        todo!()
    }

    pub fn is_running(&self) -> bool {
        todo!()
    }
    pub fn event_name(&self) -> &str {
        todo!()
    }
    pub fn address(&self) -> String {
        todo!()
    }
    pub fn port(&self) -> u16 {
        todo!()
    }
    pub fn clients(&self) -> Vec<ClientInfo> {
        todo!()
    }
    pub fn client(&self, _client_id: &str) -> Result<ClientInfo> {
        todo!()
    }
    pub fn disconnect_client(&self, _client_id: &str) -> Result<()> {
        todo!()
    }
    pub fn queue_size(&self) -> usize {
        todo!()
    }
    pub fn clear_queue(&self) -> Result<()> {
        todo!()
    }
    pub fn stats(&self) -> ServerStats {
        todo!()
    }
}

#[allow(dead_code)]
fn _unused(_: Peer, _: Status) {}
