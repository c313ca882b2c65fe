//! A server and its clients, all of whom do at random what they may: everybody hears what it was
//! sent, in order, or of the gap; the program hears what they said; and what is counted adds up.

mod backlog;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod ends;
mod program;
mod reckoning;
mod world;

use world::World;

/// A range of seeds: `SEEDS=1..1000` for others.
fn seeds() -> std::ops::Range<u64> {
    let chosen = std::env::var("SEEDS").unwrap_or_else(|_| "0..100".into());
    let (first, end) = chosen.split_once("..").unwrap();
    first.parse().unwrap()..end.parse().unwrap()
}

#[test]
fn whatever_a_server_and_its_clients_do_nothing_is_lost_in_silence() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut world = World::new(seed);
        (0..300).for_each(|_| world.act());
        world.end();
    }
}
