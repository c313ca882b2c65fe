//! Payloads of Rust types.

use serde::Serialize;

use crate::{Error, Result, Status};

/// The payload of anything that serializes; whether it is a map is for others to see.
pub(crate) fn serialize(data: &impl Serialize) -> Result<Vec<u8>> {
    let mut out = Growing::default();
    match rmp_serde::encode::write_named(&mut out, data) {
        Ok(()) => Ok(out.bytes),
        Err(_) if out.refused > 0 => Err(Error::no_memory(out.refused)),
        Err(error) => {
            Err(Error::new(Status::Message, format!("The payload cannot be serialized: {error}")))
        }
    }
}

/// Bytes that say when there is no memory for more, where a `Vec` would abort.
#[derive(Default)]
struct Growing {
    bytes: Vec<u8>,
    /// The size for which there was no memory.
    refused: usize,
}

impl std::io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.try_reserve(bytes.len()).is_err() {
            self.refused = self.bytes.len() + bytes.len();
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
