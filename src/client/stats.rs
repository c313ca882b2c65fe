//! What a client counts.

/// Counters of a client, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Messages of which the first byte has left.
    pub messages_sent: u64,
    /// Well-formed messages that arrived, whether they were taken or not.
    pub messages_received: u64,
    /// What the kernel took, lengths included, without what shows a token.
    pub bytes_sent: u64,
    /// What was read from the sockets, lengths included, without what shows a token.
    pub bytes_received: u64,
    /// Messages that were dropped because they were malformed, too large, cut off or too late.
    pub malformed: u64,
    /// Connections that were made again after a loss, without being told so.
    pub reconnects: u64,
}

impl ClientStats {
    /// The names of all counters, as the C API calls them.
    pub const NAMES: [&'static str; 6] = [
        "messages_sent",
        "messages_received",
        "bytes_sent",
        "bytes_received",
        "malformed",
        "reconnects",
    ];

    /// The counter of this name, as the C API calls it.
    pub fn get(&self, name: &str) -> Option<u64> {
        let values = [
            self.messages_sent,
            self.messages_received,
            self.bytes_sent,
            self.bytes_received,
            self.malformed,
            self.reconnects,
        ];
        Self::NAMES.iter().position(|known| *known == name).map(|index| values[index])
    }
}
