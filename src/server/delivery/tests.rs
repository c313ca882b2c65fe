//! Random sends to random readers: every client hears what it was sent, in order, with every gap
//! told of in its place, and what was sent and what was dropped adds up.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::*;
use crate::Message;
use crate::Options;
use crate::server::waiting::Pace;

/// Numbers that look random, the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// A client's own end, what came out of it, and what should.
struct Reader {
    stream: Option<UnixStream>,
    heard: Vec<u8>,
    expected: Vec<u64>,
}

struct World {
    delivery: Delivery,
    readers: BTreeMap<u64, Reader>,
    /// Sends that wait: their number, and whom a unicast is for.
    waits: VecDeque<(u64, Option<u64>, Wait)>,
    paces: Vec<Pace>,
    dice: Dice,
    number: u64,
    /// Messages for one client each that have to be sent or counted as dropped.
    owed: u64,
}

impl World {
    fn new(policy: &str, seed: u64) -> World {
        let mut options = Options::new().unwrap();
        for (key, value) in [("slow_client", policy), ("client_queue_size", "20000")] {
            options.set(key, Some(value)).unwrap();
        }
        let settings = Arc::new(options.settings().unwrap());
        let mut world = World {
            delivery: Delivery::new("event", settings),
            readers: BTreeMap::new(),
            waits: VecDeque::new(),
            paces: Vec::new(),
            dice: Dice(seed),
            number: 0,
            owed: 0,
        };
        // The first one always reads: nothing goes to the backlog.
        world.admit();
        world
    }

    fn admit(&mut self) {
        let (stream, server) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let id = self.readers.len() as u64 + 16;
        self.delivery.admit(id, Arc::new(OwnedFd::from(server).into()), Peer::Unix(None), 0);
        let reader = Reader { stream: Some(stream), heard: Vec::new(), expected: Vec::new() };
        self.readers.insert(id, reader);
    }

    fn somebody(&mut self) -> u64 {
        16 + self.dice.below(self.readers.len()) as u64
    }

    fn message(&mut self) -> Message {
        self.number += 1;
        let size = [20, 200, 3000, 18_000][self.dice.below(4)];
        let data = serde_json::json!({"n": self.number, "text": "x".repeat(size)});
        Message::new("event", MessageType::Data, &data).unwrap()
    }

    fn finish(&mut self, unfinished: Option<Unfinished>, client: Option<u64>) {
        match unfinished {
            None => {}
            Some(Unfinished::Wait(wait)) => self.waits.push_back((self.number, client, wait)),
            Some(Unfinished::Pace(pace)) => self.paces.push(pace),
        }
    }

    fn broadcast(&mut self) {
        let message = self.message();
        for id in self.delivery.clients.keys() {
            self.readers.get_mut(id).unwrap().expected.push(self.number);
        }
        let unfinished = self.delivery.broadcast(&Outgoing::Message(&message)).unwrap();
        let number = self.delivery.common.broadcasts;
        let is_meant =
            |client: &&Recipient| client.in_reach_until().is_none_or(|end| end >= number);
        self.owed += self.delivery.clients.values().filter(is_meant).count() as u64;
        self.finish(unfinished, None);
    }

    fn unicast(&mut self) {
        let (id, message) = (self.somebody(), self.message());
        let result = self.delivery.unicast(id, &Outgoing::Message(&message));
        match result {
            Ok(unfinished) => {
                self.expect(id);
                self.finish(unfinished, Some(id));
            }
            Err(error) if error.status() == Status::Full => self.expect(id),
            Err(error) => assert_eq!(error.status(), Status::NoClient),
        }
    }

    fn expect(&mut self, id: u64) {
        self.owed += 1;
        self.readers.get_mut(&id).unwrap().expected.push(self.number);
    }

    /// It has left; what it had got by then counts as sent.
    fn close(&mut self, id: u64) {
        self.read(id, 1 << 20);
        if let Some(stream) = self.readers.get_mut(&id).unwrap().stream.take() {
            // Closed it would still be open in a process that another test forks at this moment.
            stream.shutdown(Shutdown::Both).unwrap();
        }
    }

    fn read(&mut self, id: u64, most: u64) {
        let reader = self.readers.get_mut(&id).unwrap();
        let Some(stream) = &mut reader.stream else { return };
        // What was read before it says that there is no more stays read.
        if let Err(error) = stream.take(most).read_to_end(&mut reader.heard) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    }

    fn write(&mut self, id: u64) {
        if let Some(client) = self.delivery.clients.get_mut(&id) {
            client.write(id, &mut self.delivery.common);
        }
    }

    /// Lets senders that wait look again.
    fn look_again(&mut self, over: bool) {
        self.paces.retain_mut(|pace| pace.advance(&mut self.delivery, over));
        for place in (0..self.waits.len()).rev() {
            self.advance(place);
        }
    }

    fn advance(&mut self, place: usize) {
        let Some((_, client, wait)) = self.waits.get_mut(place) else { return };
        wait.advance(&mut self.delivery);
        if wait.is_over() {
            match client {
                None => self.delivery.common.dropped += wait.gone(),
                // Its sender is told.
                Some(_) => self.owed -= wait.gone(),
            }
            self.waits.remove(place);
        }
    }

    /// The sender that has waited longest waits no more.
    fn give_up(&mut self) {
        let Some((number, client, wait)) = self.waits.pop_front() else { return };
        wait.give_up(&mut self.delivery, client.is_none());
        if let Some(id) = client {
            self.owed -= 1;
            self.readers.get_mut(&id).unwrap().expected.retain(|other| *other != number);
        }
    }

    fn act(&mut self) {
        match self.dice.below(40) {
            0 if self.readers.len() < 6 => self.admit(),
            1 => {
                let id = self.somebody().max(17);
                if self.readers.contains_key(&id) {
                    self.close(id);
                }
            }
            2 => {
                let id = self.somebody().max(17);
                if let Some(mut client) = self.delivery.remove(id) {
                    client.give_up(id, &mut self.delivery.common);
                    self.close(id);
                }
            }
            3 => self.delivery.cork(),
            4 | 5 => self.delivery.uncork(),
            6 => self.delivery.set_standby(true),
            7 => self.delivery.set_standby(false),
            8 => {
                self.delivery.look_after_tail();
            }
            9 => self.give_up(),
            10 | 11 => self.look_again(true),
            12 => self.look_again(false),
            13 | 14 => self.advance(0),
            15..19 => {
                let (id, most) = (self.somebody(), [2_000, 20_000, 400_000][self.dice.below(3)]);
                self.read(id, most);
            }
            19..22 => {
                let id = self.somebody();
                self.write(id);
            }
            22..30 => self.unicast(),
            _ => self.broadcast(),
        }
        self.read(16, 1 << 20);
        self.write(16);
        self.check_counters();
    }

    fn check_counters(&self) {
        let clients = || self.delivery.clients.values();
        let live = clients().filter(|client| !client.is_broken()).count();
        let behind = clients().filter(|client| client.is_behind()).count();
        assert_eq!((self.delivery.common.live, self.delivery.common.behind), (live, behind));
    }

    /// Everybody reads all there is.
    fn drain(&mut self) {
        self.delivery.uncork();
        self.delivery.set_standby(false);
        for _ in 0..10_000 {
            self.look_again(true);
            for id in self.readers.keys().copied().collect::<Vec<_>>() {
                self.read(id, 1 << 20);
                self.write(id);
            }
            let quiet = self.delivery.common.behind == 0;
            if quiet && self.waits.is_empty() && self.paces.is_empty() {
                break;
            }
        }
        assert_eq!(self.delivery.common.behind, 0);
        assert!(self.waits.is_empty() && self.paces.is_empty());
        for id in self.readers.keys().copied().collect::<Vec<_>>() {
            self.read(id, 1 << 20);
        }
        self.check_counters();
    }

    fn check_what_was_heard(&self) {
        let (mut heard, mut notices) = (0, 0);
        for (id, reader) in &self.readers {
            let mut expected = reader.expected.iter();
            let mut rest = &reader.heard[..];
            while let Some((length, after)) = rest.split_first_chunk() {
                let length = u32::from_be_bytes(*length) as usize;
                if after.len() < length {
                    break;
                }
                let message = Message::from_envelope(&after[..length]).unwrap();
                rest = &after[length..];
                let value = |pointer| message.get(pointer).and_then(|value| value.as_i64());
                match (value("/n"), value("/count")) {
                    (Some(number), _) => {
                        heard += 1;
                        assert_eq!(expected.next().map(|next| *next as i64), Some(number), "{id}");
                    }
                    (_, Some(missed)) => {
                        notices += 1;
                        (0..missed).for_each(|_| assert!(expected.next().is_some(), "{id}"));
                    }
                    _ => panic!("{message:?}"),
                }
            }
            let client = self.delivery.clients.get(id).filter(|client| !client.is_broken());
            if reader.stream.is_some() && client.is_some() {
                assert_eq!((expected.next(), rest.len()), (None, 0), "{id}");
            }
        }
        let common = &self.delivery.common;
        assert_eq!(common.sent.frames, heard + notices);
        assert_eq!(heard + common.dropped, self.owed);
    }
}

#[test]
fn whatever_happens_everybody_hears_what_it_was_sent_or_of_the_gap() {
    for policy in ["drop_oldest", "drop_newest", "disconnect", "block"] {
        for seed in 1..40_u64 {
            println!("{policy}, seed {seed}");
            let mut world = World::new(policy, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            (0..600).for_each(|_| world.act());
            world.drain();
            world.check_what_was_heard();
        }
    }
}
