//! Random actions of programs and their servers: what a server wrote is received in order, what a
//! program sent is read in order, whatever becomes of the connections, the descriptor tells when
//! there is something to do, and the counters agree with what both ends saw.

mod program;
mod server;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use dotsock::{Client, Status, Transport};

use crate::common::PATIENCE;
use crate::support::{NOW, Place, is_readable};
use server::{Peer, listen, port};

/// How many runs, of two worlds each.
const SEEDS: u64 = 60;

/// Numbers that look random, the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A frame that the server has written and the program has not received.
struct Pending {
    peer: usize,
    number: i64,
    /// Nothing has happened that may have taken it away.
    is_due: bool,
}

struct World {
    dice: Dice,
    place: Place,
    is_tcp: bool,
    /// Servers read all that there is before they end a connection.
    is_gentle: bool,
    auto_reconnect: bool,
    report_loss: bool,
    /// The program seldom receives.
    is_talkative: bool,
    /// Messages that wait may be dropped, which the program is told.
    may_drop: bool,

    listener: Option<OwnedFd>,
    peers: Vec<Peer>,
    /// The last number that was given to a message.
    number: i64,
    pending: VecDeque<Pending>,
    /// What connections came to that were refused, and ended in nonsense, and was not returned yet.
    refusals: usize,
    garbage: usize,
    malformed: u64,

    client: Client,
    /// Told to connect, and not to disconnect since.
    told: bool,
    /// An end after which there is none to come was returned, or there was no connection to end.
    told_end: bool,
    cancelled: bool,
    was_connected: bool,
    /// Connections that were not made again after a loss.
    first_connections: usize,
    received: u64,
    cleared: u64,
    /// Messages that the program knows it has missed.
    missed: u64,
    heard_from: usize,
    /// Ends that were returned since the last message, and in all.
    ends_since: usize,
    ends: usize,
    /// An end or a refusal may have been forgotten: the program connected or disconnected.
    may_forget: bool,
    has_disconnected: bool,
    has_cleared: bool,
    /// The numbers of what was sent.
    sent: Vec<i64>,
    /// Which of these the server read last, on which connection and in what place.
    last_read: Option<(usize, usize)>,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let is_tcp = dice.below(4) == 0;
        let [auto_reconnect, report_loss, may_drop, is_gentle, is_talkative] =
            [4, 2, 2, 2, 2].map(|sides| dice.below(sides) > 0);
        let place = Place::new();
        let listener = listen(&place, is_tcp);
        let mut options = place.options(&[
            ("auto_reconnect", &auto_reconnect.to_string()),
            ("report_loss", &report_loss.to_string()),
            ("client_queue_size", if may_drop { dice.of(&["2000", "20000"]) } else { "10000000" }),
            ("reconnect_delay", "0.001"),
            ("reconnect_max_delay", "0.01"),
            ("send_timeout", dice.of(&["0", "0.001"])),
            ("linger", dice.of(&["0", "0.001"])),
            ("buffer_size", dice.of(&["100", "65536"])),
        ]);
        if is_tcp {
            options.set("port", Some(&port(&listener).to_string())).unwrap();
        }
        let transport = if is_tcp { Transport::Tcp } else { Transport::Unix };
        World {
            client: Client::new(transport, "event", &options).unwrap(),
            dice,
            place,
            is_tcp,
            is_gentle,
            is_talkative,
            auto_reconnect,
            report_loss,
            may_drop,
            listener: Some(listener),
            peers: Vec::new(),
            number: 0,
            pending: VecDeque::new(),
            refusals: 0,
            garbage: 0,
            malformed: 0,
            told: false,
            told_end: true,
            cancelled: false,
            was_connected: false,
            first_connections: 0,
            received: 0,
            cleared: 0,
            missed: 0,
            heard_from: usize::MAX,
            ends_since: 0,
            ends: 0,
            may_forget: false,
            has_disconnected: false,
            has_cleared: false,
            sent: Vec::new(),
            last_read: None,
            log: Vec::new(),
        }
    }

    fn note(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    fn step(&mut self) {
        if self.listener.is_none() && self.dice.below(8) == 0 {
            self.come_back();
        }
        if self.dice.below(2) == 0 {
            self.act_as_server();
        } else {
            self.act_as_program();
        }
        if self.dice.below(3) == 0 {
            self.check_descriptor();
        }
        let stats = self.client.stats();
        assert!(stats.messages_sent <= self.sent.len() as u64);
        assert!(stats.messages_received >= self.received + self.cleared);
        assert_eq!(stats.reconnects, (self.peers.len() - self.first_connections) as u64);
    }

    /// Where the descriptor is quiet, there is nothing to do.
    fn check_descriptor(&mut self) {
        let Some(fd) = self.client.fd() else { return };
        if is_readable(fd, Duration::ZERO) {
            return;
        }
        // What a cork collects waits in silence, and with it that nobody would read it.
        let told_end = self.told_end || self.peers.last().is_some_and(|peer| peer.is_deaf);
        match self.recv(NOW) {
            Some(Status::Timeout) => {}
            Some(Status::Closed) => assert!(told_end, "an end, and it was quiet"),
            status => assert!(self.is_tcp, "it was quiet: {status:?}"),
        }
    }

    /// The program does what the descriptor asks for, until it is quiet.
    fn drain(&mut self) {
        let Some(fd) = self.client.fd() else { return };
        let (mut in_vain, mut before) = (0, self.client.stats());
        while is_readable(fd, Duration::ZERO) {
            let has_progress = self.recv(NOW) != Some(Status::Timeout);
            let stats = self.client.stats();
            in_vain = if has_progress || stats != before { 0 } else { in_vain + 1 };
            before = stats;
            assert!(in_vain < 50, "the descriptor never gets quiet");
        }
    }

    /// The cork is lifted; what it held is written as the descriptor asks for it.
    fn empty(&mut self) {
        self.uncork();
        let start = Instant::now();
        while self.is_up() && !self.has_written_all() {
            assert!(start.elapsed() < PATIENCE, "what was sent is not written");
            self.read(self.peers.len() - 1, u64::MAX);
            self.drain();
        }
    }

    /// Both sides go on until everything was heard, the program as the descriptor tells it.
    fn finish(&mut self) {
        self.note("finish");
        self.come_back();
        self.empty();
        self.end(0);
        let start = Instant::now();
        let mut is_marked = false;
        while !(is_marked && self.is_all_heard()) {
            assert!(start.elapsed() < PATIENCE, "it does not come to its end");
            if !is_marked && self.is_up() && self.has_written_all() {
                let sent = self.sent.len();
                self.send();
                is_marked = self.sent.len() > sent;
                self.push();
            } else if !(self.has_live_peer() || self.told && self.auto_reconnect) {
                self.drain();
                self.connect();
            }
            self.write(usize::MAX);
            self.read(self.peers.len().wrapping_sub(1), u64::MAX);
            self.drain();
        }
        self.check_counters();
    }

    fn is_up(&self) -> bool {
        self.has_live_peer() && self.client.is_connected()
    }

    fn has_written_all(&self) -> bool {
        self.client.stats().messages_sent == self.sent.len() as u64
    }

    fn is_all_heard(&self) -> bool {
        let is_read = self.last_read.map(|(_, place)| place + 1) == Some(self.sent.len());
        let is_written = self.peers.last().is_some_and(|peer| peer.written == peer.out.len());
        is_read && is_written && self.pending.iter().all(|pending| !pending.is_due)
    }

    fn check_counters(&self) {
        let stats = self.client.stats();
        assert!(self.has_written_all());
        assert_eq!(stats.messages_received, self.received + self.cleared);
        let sum = |bytes: fn(&Peer) -> usize| self.peers.iter().map(bytes).sum::<usize>() as u64;
        let heard = sum(|peer| peer.heard_bytes);
        assert!(stats.bytes_sent >= heard);
        if self.is_gentle && !self.is_tcp {
            assert_eq!(stats.bytes_sent, heard);
        }
        if !self.has_disconnected && !self.is_tcp {
            assert_eq!(self.garbage, 0, "not returned");
            assert!(self.may_forget || self.refusals == 0, "not returned");
            assert_eq!(stats.malformed, self.malformed);
            assert!(self.has_cleared || self.missed == 0, "missed too many");
            if self.peers.iter().all(|peer| !peer.has_said_last) {
                assert_eq!(stats.bytes_received, sum(|peer| peer.written));
                if self.auto_reconnect {
                    let losses = if self.report_loss { self.peers.len() - 1 } else { 0 };
                    assert_eq!(self.ends, losses);
                }
            }
        }
    }
}

/// What led to a failure.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let World { is_tcp, is_gentle, auto_reconnect, report_loss, may_drop, .. } = self;
            println!(
                "tcp {is_tcp}, gentle {is_gentle}, auto_reconnect {auto_reconnect}, \
                 report_loss {report_loss}, may drop {may_drop}: {:?}",
                self.client.stats()
            );
            let from = self.log.len().saturating_sub(100);
            self.log[from..].iter().for_each(|line| println!("  {line}"));
        }
    }
}

#[test]
fn whatever_happens_both_sides_hear_what_was_said() {
    for seed in 1..=SEEDS {
        println!("seed {seed}");
        // Two in turn: the clients of a thread share memory to read into.
        let mut worlds = [2 * seed, 2 * seed + 1].map(World::new);
        (0..400).for_each(|_| worlds.iter_mut().for_each(World::step));
        worlds.iter_mut().for_each(World::finish);
    }
}
