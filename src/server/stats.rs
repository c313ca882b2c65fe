//! What a server counts, as its users read it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Server;

/// Counters of a server, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Clients that are connected now.
    pub clients: u64,
    /// Clients that were accepted.
    pub connections: u64,
    /// Connections that were turned away: over `max_connections`, or without the token.
    pub rejected: u64,
    /// Messages that the kernel took, per recipient, notices of the library included.
    pub messages_sent: u64,
    /// Well-formed messages from clients that may send.
    pub messages_received: u64,
    /// Bytes that the kernel took, lengths included.
    pub bytes_sent: u64,
    /// Bytes that came from clients.
    pub bytes_received: u64,
    /// Messages that the kernel never took, per recipient: a full queue or backlog, a client that
    /// left, a `linger` that was over.
    pub messages_dropped: u64,
    /// Frames that were malformed, too large, cut off, or not complete in `frame_timeout`.
    pub malformed: u64,
    /// Well-formed frames that `allow_client_send = false` refused.
    pub denied: u64,
    /// Messages in the backlog now.
    pub queued: u64,
}

impl ServerStats {
    /// The names of all counters, as the C API calls them.
    pub const NAMES: [&'static str; 11] = [
        "clients",
        "connections",
        "rejected",
        "messages_sent",
        "messages_received",
        "bytes_sent",
        "bytes_received",
        "messages_dropped",
        "malformed",
        "denied",
        "queued",
    ];

    /// The counter of this name, as the C API calls it.
    pub fn get(&self, name: &str) -> Option<u64> {
        let values = [
            self.clients,
            self.connections,
            self.rejected,
            self.messages_sent,
            self.messages_received,
            self.bytes_sent,
            self.bytes_received,
            self.messages_dropped,
            self.malformed,
            self.denied,
            self.queued,
        ];
        Self::NAMES.iter().position(|known| *known == name).map(|index| values[index])
    }
}

impl Server {
    /// The counters, read at one moment.
    pub fn stats(&self) -> ServerStats {
        if self.is_forked() {
            return ServerStats::default();
        }
        let state = self.shared.lock();
        let (common, counters) = (&state.delivery.common, &self.shared.counters);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerStats {
            clients: state.delivery.clients.len() as u64,
            connections: read(&counters.connections),
            rejected: read(&counters.rejected),
            messages_sent: common.sent.frames,
            messages_received: read(&counters.messages_received),
            bytes_sent: common.sent.bytes,
            bytes_received: read(&counters.bytes_received),
            messages_dropped: common.dropped,
            malformed: read(&counters.malformed),
            denied: read(&counters.denied),
            queued: common.backlog.len() as u64,
        }
    }
}
