//! MessagePack to JSON and back.
//!
//! Both ways are written here rather than left to a JSON library because of what they promise:
//! integers of 64 bits stay exact and larger ones are refused, not rounded; nesting costs no
//! stack, whatever `max_depth` says; and what a text sizes is allocated fallibly.

mod parse;
mod print;

pub(crate) use parse::{object_from_json, value_from_json};
pub(crate) use print::{envelope_to_json, to_json};

#[cfg(test)]
mod tests;
