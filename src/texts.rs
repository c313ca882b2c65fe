//! Texts of a message that are made on first use and kept as long as it lives, each with the NUL
//! behind it that C needs.

use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::{Error, Result};

/// A text of which a message has one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text {
    EventName,
    TimestampIso,
    DataJson,
    Json,
}

/// What a message keeps besides its frame; costs no memory until the first use.
#[derive(Debug, Default)]
pub(crate) struct Texts(OnceLock<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    texts: [OnceLock<String>; 4],
    lent: Lent,
    /// Where the latest walk over the keys of a map stands.
    walk: Mutex<Walk>,
}

/// The pair number `index` of the map at offset `map` begins at offset `at`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Walk {
    pub map: usize,
    pub index: usize,
    pub at: usize,
}

impl Texts {
    /// One of the texts, with its NUL; `make` makes it without.
    pub fn get(&self, text: Text, make: impl FnOnce() -> Result<String>) -> Result<&str> {
        let cell = &self.kept().texts[text as usize];
        if cell.get().is_none() {
            let mut made = make()?;
            made.try_reserve_exact(1).map_err(|_| Error::no_memory(made.len() + 1))?;
            made.push('\0');
            // If another thread was faster, its text is as good.
            let _ = cell.set(made);
        }
        Ok(cell.get().map_or("\0", String::as_str))
    }

    /// A copy of `text`, which stands at that offset of the frame, with a NUL behind it. Asked
    /// again for the same offset it is the same copy.
    pub fn lend(&self, offset: u32, text: &[u8]) -> Result<&[u8]> {
        self.kept().lent.lend(offset, text)
    }

    /// Where the latest walk stands, for a walk that goes on. Nobody waits for that: in a forked
    /// child it may be locked for ever, and whoever does not know begins anew.
    pub fn walk(&self) -> Walk {
        self.kept().walk.try_lock().map(|walk| *walk).unwrap_or_default()
    }

    pub fn set_walk(&self, walk: Walk) {
        if let Some(mut latest) = self.kept().walk.try_lock() {
            *latest = walk;
        }
    }

    fn kept(&self) -> &Kept {
        self.0.get_or_init(Box::default)
    }
}

/// Copies by offset: a tree that only ever grows, so that what was lent stays where it is.
#[derive(Debug, Default)]
struct Lent([OnceLock<Box<Copied>>; 4]);

#[derive(Debug)]
struct Copied {
    offset: u32,
    text: Vec<u8>,
    below: Lent,
}

impl Lent {
    fn lend(&self, offset: u32, text: &[u8]) -> Result<&[u8]> {
        // The factor is odd, so no two offsets have the same product: they part ways after at
        // most 16 steps of two bits.
        let mut way = offset.wrapping_mul(0x9e37_79b1);
        let mut lent = self;
        loop {
            let slot = &lent.0[(way >> 30) as usize];
            if slot.get().is_none() {
                let text = copy_with_nul(text)?;
                let _ = slot.set(Box::new(Copied { offset, text, below: Lent::default() }));
            }
            match slot.get() {
                Some(copied) if copied.offset == offset => return Ok(&copied.text),
                Some(copied) => lent = &copied.below,
                None => {}
            }
            way <<= 2;
        }
    }
}

fn copy_with_nul(text: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    let size = text.len() + 1;
    copy.try_reserve_exact(size).map_err(|_| Error::no_memory(size))?;
    copy.extend_from_slice(text);
    copy.push(0);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lent_stays_and_is_not_copied_again() {
        let lent = Lent::default();
        let texts: Vec<String> = (0..10_000).map(|number| format!("text {number}")).collect();
        let offset = |index: usize| (index * 16) as u32;
        let first: Vec<&[u8]> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| lent.lend(offset(index), text.as_bytes()).unwrap())
            .collect();
        for (index, text) in texts.iter().enumerate() {
            let again = lent.lend(offset(index), b"not looked at").unwrap();
            assert_eq!(again.as_ptr(), first[index].as_ptr());
            assert_eq!(again, [text.as_bytes(), b"\0"].concat());
        }
    }

    #[test]
    fn offsets_that_differ_in_one_bit_alone_part_ways() {
        let lent = Lent::default();
        for bit in 0..32 {
            lent.lend(1 << bit, &[bit]).unwrap();
        }
        for bit in 0..32 {
            assert_eq!(lent.lend(1 << bit, b"").unwrap(), [bit, 0]);
        }
    }
}
