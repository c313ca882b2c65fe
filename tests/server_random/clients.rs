//! What the clients do.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::ends::End;
use crate::world::World;

impl World {
    pub fn connect(&mut self) {
        let limbo = self
            .backlog
            .owner
            .is_some_and(|owner| !self.listed.contains(&owner) || self.ends[&owner].doomed);
        // Of TCP connections one at a time: which of two the listener has first is left open.
        let most = if self.is_unix() { 5 } else { 0 };
        if !self.running || limbo || self.waiting.len() > most {
            return;
        }
        let stream = if self.is_unix() {
            UnixStream::connect(self.setup.directory.path().join("event.sock")).unwrap()
        } else {
            OwnedFd::from(TcpStream::connect(self.server.address()).unwrap()).into()
        };
        self.note(format_args!("connect"));
        self.waiting.push_back(End::new(stream));
    }

    pub fn speak(&mut self) {
        let choice = self.dice.below(20);
        let (size, count) =
            (self.dice.one_of(&[10, 100, 5000, 60_000]), self.dice.one_of(&[1, 1, 1, 3, 40]));
        let most = self.dice.one_of(&[3, 50, 2000, 1 << 20, 1 << 20, 1 << 20]);
        let Some(end) = self.any_end().filter(|end| end.may_speak()) else { return };
        match choice {
            0 => end.prepare_oversize(),
            1..4 => end.prepare_malformed(size.min(5000)),
            4..8 => {}
            _ => (0..count).for_each(|_| end.prepare_message(size)),
        }
        end.speak(most);
        self.sync();
    }

    pub fn listen(&mut self) {
        let most = self.dice.one_of(&[2_000, 20_000, 1 << 20]);
        if let Some(end) = self.any_end() {
            end.hear(most);
        }
    }

    /// A client ends its connection in one way or the other.
    pub fn part(&mut self) {
        let (way, waits) = (self.dice.below(4), !self.waiting.is_empty());
        let unix = self.is_unix();
        let owner = self.backlog.owner;
        let Some(id) = self.any_id() else { return };
        if owner == Some(id) && (way == 3 || waits) {
            return;
        }
        self.note(format_args!("part {id} {way}"));
        let Some(end) = self.ends.get_mut(&id) else { return };
        match way {
            0 => end.close(false),
            1 => end.close(!unix),
            2 => end.end_speech(),
            _ if unix => end.end_hearing(),
            _ => end.close(false),
        }
        self.resolve_collected();
    }

    /// Nobody is left whom what has collected surely reaches: it may go to the backlog.
    pub fn resolve_collected(&mut self) {
        let sure = self.listed.iter().any(|id| !self.ends[id].doomed);
        if sure || self.collected.is_empty() {
            return;
        }
        let collected = std::mem::take(&mut self.collected);
        if !self.backlog.entries.is_empty() {
            self.clear_queue();
        }
        let before = self.server.queue_size();
        self.server.uncork().unwrap();
        self.corked = false;
        let kept = self.server.queue_size() - before;
        for (number, length) in &collected[collected.len() - kept..] {
            self.backlog.entries.push_back((*number, *length));
        }
        let most = self.listed.len() as u64 * collected.len() as u64;
        self.owed.0 = self.owed.0.saturating_sub(most);
        self.owed.1 += collected.len() as u64;
        self.sync();
    }

    pub fn any_id(&mut self) -> Option<u64> {
        let open: Vec<u64> =
            self.ends.iter().filter(|end| end.1.stream.is_some()).map(|e| *e.0).collect();
        if open.is_empty() { None } else { Some(self.dice.one_of(&open)) }
    }

    pub fn any_end(&mut self) -> Option<&mut End> {
        if self.dice.below(5) == 0 && !self.waiting.is_empty() {
            return self.waiting.front_mut();
        }
        self.any_id().and_then(|id| self.ends.get_mut(&id))
    }
}
