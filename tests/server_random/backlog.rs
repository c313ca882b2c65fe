//! Who has come and gone, and what the backlog has given to whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ends::{End, Fate};
use crate::world::{World, number};

/// What waits for a client to come.
#[derive(Default)]
pub struct Backlog {
    pub entries: VecDeque<(u64, usize)>,
    pub most: usize,
    pub most_bytes: usize,
    pub owner: Option<u64>,
    pub lent: Option<u64>,
}

impl Backlog {
    pub fn push(&mut self, number: u64, length: usize) {
        if self.most == 0 {
            return;
        }
        let bytes = |entries: &VecDeque<(u64, usize)>| entries.iter().map(|e| e.1).sum::<usize>();
        while self.entries.len() >= self.most
            || (bytes(&self.entries) + length > self.most_bytes && !self.entries.is_empty())
        {
            self.entries.pop_front();
        }
        self.entries.push_back((number, length));
    }

    pub fn has(&self, number: u64) -> bool {
        self.entries.iter().any(|entry| entry.0 == number)
    }
}

impl World {
    /// Takes note of who has come and gone, and of what the backlog has given away.
    pub fn sync(&mut self) {
        let (stats, clients) = (self.server.stats(), self.server.clients());
        let listed: BTreeSet<u64> = clients.iter().map(|info| number(&info.id)).collect();
        assert_eq!(stats.clients, listed.len() as u64);
        assert!(listed.len() <= self.most_clients);
        let mut admitted = Vec::new();
        while self.accepted + self.refused < stats.connections + stats.rejected {
            let mut end = self.waiting.pop_front().unwrap();
            let id = self.next_id;
            self.next_id += 1;
            if listed.contains(&id) {
                end.fate = Fate::Client;
                self.accepted += 1;
                self.ends.insert(id, end);
                admitted.push(id);
            } else {
                assert!(listed.len().max(self.listed.len()) >= self.most_clients);
                end.fate = Fate::Refused;
                self.refused += 1;
                self.strangers.push(end);
            }
        }
        assert_eq!((stats.connections, stats.rejected), (self.accepted, self.refused));
        if self.policy == "disconnect" {
            for info in clients.iter().filter(|info| info.dropped > 0) {
                let end = self.end_of(number(&info.id));
                (end.doomed, end.cut) = (true, true);
            }
        }
        self.follow_backlog(stats.queued as usize, &listed, &admitted);
        self.listed = listed;
    }

    pub fn follow_backlog(&mut self, queued: usize, listed: &BTreeSet<u64>, admitted: &[u64]) {
        let unix = self.is_unix();
        let is_lost = |id: &u64, ends: &BTreeMap<u64, End>| {
            ends[id].doomed || ends[id].gone || !listed.contains(id) && !admitted.is_empty()
        };
        let before = self.backlog.owner;
        if before.is_some_and(|id| is_lost(&id, &self.ends)) && !admitted.is_empty() {
            self.backlog.owner = None;
            if let Some(lent) = self.backlog.lent.take() {
                self.backlog.entries.retain(|entry| entry.0 != lent);
            }
        }
        for id in admitted {
            let doomed = self.ends[id].doomed;
            let retained = self.retained.filter(|_| self.retains);
            let owns = self.backlog.owner.is_none() && !self.backlog.entries.is_empty();
            if let Some((number, _)) = retained
                && !(owns && self.backlog.has(number))
            {
                self.owed.0 += 1;
                self.owed.1 += 1;
                if !owns {
                    self.end_of(*id).head.push((number, true));
                }
            }
            if owns && !(doomed && unix) {
                self.backlog.owner = Some(*id);
                if let Some(entry) = retained
                    && !self.backlog.has(entry.0)
                {
                    let place = self.backlog.entries.partition_point(|other| other.0 < entry.0);
                    self.backlog.entries.insert(place, entry);
                    self.backlog.lent = Some(entry.0);
                }
            }
        }
        let owner = self.backlog.owner;
        let left = owner.is_some_and(|id| is_lost(&id, &self.ends));
        let mut taken = Vec::new();
        while self.backlog.entries.len() > queued {
            let lent = self.backlog.lent.filter(|lent| left && self.backlog.has(*lent));
            if let Some(lent) = lent.filter(|_| self.backlog.entries.len() == queued + 1) {
                self.backlog.entries.retain(|entry| entry.0 != lent);
                break;
            }
            taken.extend(self.backlog.entries.pop_front().map(|entry| entry.0));
        }
        assert_eq!(self.backlog.entries.len(), queued, "the backlog");
        for number in taken {
            let sure = !left && (before == owner || before.is_none());
            let owner = owner.unwrap_or_else(|| panic!("{number} of the backlog is gone"));
            self.end_of(owner).head.push((number, sure));
            if let Some(other) = before.filter(|_| !sure && before != Some(owner)) {
                self.end_of(other).head.push((number, false));
            }
        }
        if self.backlog.entries.is_empty()
            || self.backlog.owner.is_some_and(|id| self.ends[&id].gone)
        {
            (self.backlog.owner, self.backlog.lent) = (None, None);
        }
    }
}
