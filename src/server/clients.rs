//! The clients of a server, as its users see them.

use super::Server;
use super::recipient::Recipient;
use super::shared::{client_id, no_client, parse_client_id};
use crate::transport::Peer;
use crate::{Error, Result};

/// One connected client, as it was when the list was made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The client's id: `[A-Za-z0-9-]{1,63}`, never used again by this server.
    pub id: String,
    /// Where it comes from: `uid 1000, pid 4242`, or a numeric `host:port`.
    pub address: String,
    /// When it connected, in Unix milliseconds.
    pub connected_at_ms: i64,
    /// The user it runs as; `None` where the transport does not tell.
    pub uid: Option<u32>,
    /// Its process; `None` where the transport does not tell.
    pub pid: Option<i32>,
    /// Messages that were dropped for this client.
    pub dropped: u64,
    /// Bytes that wait for this client.
    pub queued_bytes: u64,
}

impl Server {
    /// The clients that are connected now, in the order they came.
    pub fn clients(&self) -> Vec<ClientInfo> {
        if self.is_forked() {
            return Vec::new();
        }
        self.shared.lock().delivery.clients.iter().map(describe).collect()
    }

    /// The same, where a list that is too long for what memory there is must be an error.
    pub(crate) fn list_clients(&self) -> Result<Vec<ClientInfo>> {
        let mut list = Vec::new();
        if !self.is_forked() {
            let state = self.shared.lock();
            let clients = &state.delivery.clients;
            list.try_reserve_exact(clients.len())
                .map_err(|_| Error::no_memory(clients.len() * size_of::<ClientInfo>()))?;
            list.extend(clients.iter().map(describe));
        }
        Ok(list)
    }

    /// One connected client.
    ///
    /// # Errors
    ///
    /// [`Status::NoClient`](crate::Status::NoClient): nobody with this id is connected.
    pub fn client(&self, client_id: &str) -> Result<ClientInfo> {
        self.shared.check_process()?;
        let state = self.shared.lock();
        let client = parse_client_id(client_id)
            .and_then(|id| state.delivery.clients.get_key_value(&id).map(describe));
        drop(state);
        client.ok_or_else(|| no_client(client_id))
    }
}

fn describe((id, client): (&u64, &Recipient)) -> ClientInfo {
    let credentials = match client.peer {
        Peer::Unix(credentials) => credentials,
        Peer::Tcp(_) => None,
    };
    ClientInfo {
        id: client_id(*id),
        address: client.peer.to_string(),
        connected_at_ms: client.connected_at_ms,
        uid: credentials.map(|credentials| credentials.uid),
        pid: credentials.map(|credentials| credentials.pid),
        dropped: client.dropped,
        queued_bytes: client.queued_bytes() as u64,
    }
}
