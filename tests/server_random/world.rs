//! The server, its program and its clients, and what each of them should see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dotsock::{Server, Transport};

use crate::backlog::Backlog;
use crate::common::Setup;
use crate::ends::End;

/// Numbers that look random, the same in every run (xorshift).
pub struct Dice(u64);

impl Dice {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

pub struct World {
    pub setup: Setup,
    pub server: Server,
    pub transport: Transport,
    pub policy: &'static str,
    pub lingers: bool,
    pub retains: bool,
    pub allows: bool,
    pub most_clients: usize,
    pub dice: Dice,
    pub ends: BTreeMap<u64, End>,
    pub strangers: Vec<End>,
    pub waiting: VecDeque<End>,
    pub listed: BTreeSet<u64>,
    pub next_id: u64,
    pub accepted: u64,
    pub refused: u64,
    pub running: bool,
    pub corked: bool,
    pub end_told: bool,
    pub number: u64,
    pub collected: Vec<(u64, usize)>,
    pub backlog: Backlog,
    pub retained: Option<(u64, usize)>,
    /// Messages for one client each that have to be sent, dropped or queued: at least, at most.
    pub owed: (u64, u64),
    pub yielded: u64,
    pub log: bool,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut dice = Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..5).for_each(|_| {
            dice.below(2);
        });
        let policy = dice.one_of(&["drop_oldest", "drop_newest", "disconnect", "block"]);
        let queue = dice.one_of(&["20000", "600000", "600000", "1000"]);
        let most = dice.one_of(&["100", "100", "3", "0"]);
        let (retains, allows) = (dice.below(2) == 0, dice.below(5) > 0);
        let most_clients = dice.one_of(&[1024, 3, 1]);
        let lingers = dice.below(2) == 0;
        let tcp = dice.below(4) == 0;
        let setup = Setup::new(&[
            ("slow_client", policy),
            ("client_queue_size", queue),
            ("message_queue_size", most),
            ("retain_last", if retains { "true" } else { "false" }),
            ("allow_client_send", if allows { "true" } else { "false" }),
            ("max_connections", &most_clients.to_string()),
            ("send_timeout", "0"),
            ("linger", if lingers { "60" } else { "0" }),
            ("max_message_size", "200000"),
            ("buffer_size", dice.one_of(&["65536", "1000"])),
            ("port", "0"),
        ]);
        let transport = if tcp { Transport::Tcp } else { Transport::Unix };
        let server = Server::new(transport, "event", &setup.options).unwrap();
        let backlog = Backlog {
            most: most.parse().unwrap(),
            most_bytes: queue.parse().unwrap(),
            ..Backlog::default()
        };
        let log = std::env::var_os("LOG").is_some();
        if log {
            println!(
                "{transport:?} {policy} queue {queue} backlog {most} retain {retains} allow {allows} \
                 max {most_clients} linger {lingers}"
            );
        }
        let mut world = World {
            setup,
            server,
            transport,
            policy,
            lingers,
            retains,
            allows,
            most_clients,
            dice,
            ends: BTreeMap::new(),
            strangers: Vec::new(),
            waiting: VecDeque::new(),
            listed: BTreeSet::new(),
            next_id: 1,
            accepted: 0,
            refused: 0,
            running: false,
            corked: false,
            end_told: true,
            number: 0,
            collected: Vec::new(),
            backlog,
            retained: None,
            owed: (0, 0),
            yielded: 0,
            log,
        };
        world.open();
        world
    }

    pub fn note(&self, what: std::fmt::Arguments) {
        if self.log {
            println!("{what}");
        }
    }

    pub fn is_unix(&self) -> bool {
        self.transport == Transport::Unix
    }

    pub fn end_of(&mut self, id: u64) -> &mut End {
        self.ends.get_mut(&id).unwrap_or_else(|| panic!("nobody is {id}"))
    }

    pub fn somebody(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.listed.iter().copied().collect();
        match self.dice.below(20) {
            0 => self.any_id(),
            _ if ids.is_empty() => None,
            _ => Some(self.dice.one_of(&ids)),
        }
    }

    pub fn act(&mut self) {
        match self.dice.below(50) {
            0..3 => self.connect(),
            3 => self.part(),
            4 if self.dice.below(2) == 0 => self.dismiss(),
            5 => self.cork(true),
            6 | 7 => self.cork(false),
            8 if self.dice.below(3) == 0 => self.clear_queue(),
            9 if self.dice.below(4) == 0 => self.stop(),
            10 if self.dice.below(4) == 0 => self.drain_events(),
            11..17 => self.speak(),
            17..23 => self.listen(),
            23..29 => self.unicast(),
            29..37 => self.broadcast(),
            _ if self.running => {
                self.next();
            }
            _ if self.dice.below(3) == 0 => {
                self.next();
            }
            _ => self.open(),
        }
    }
}

pub fn name(id: u64) -> String {
    format!("client-{id}")
}

pub fn number(client: &str) -> u64 {
    client.strip_prefix("client-").unwrap().parse().unwrap()
}
