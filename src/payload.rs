//! A payload built by path, without escaping anything by hand.

use crate::Result;

/// A payload under construction: one map.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    _todo: (),
}

impl Payload {
    pub fn new() -> Payload {
        todo!()
    }
    pub fn set_int(&mut self, _pointer: &str, _value: i64) -> Result<()> {
        todo!()
    }
    pub fn set_uint(&mut self, _pointer: &str, _value: u64) -> Result<()> {
        todo!()
    }
    pub fn set_double(&mut self, _pointer: &str, _value: f64) -> Result<()> {
        todo!()
    }
    pub fn set_bool(&mut self, _pointer: &str, _value: bool) -> Result<()> {
        todo!()
    }
    pub fn set_string(&mut self, _pointer: &str, _value: &str) -> Result<()> {
        todo!()
    }
    pub fn set_bytes(&mut self, _pointer: &str, _value: &[u8]) -> Result<()> {
        todo!()
    }
    pub fn set_null(&mut self, _pointer: &str) -> Result<()> {
        todo!()
    }
    pub fn set_json(&mut self, _pointer: &str, _json: &str) -> Result<()> {
        todo!()
    }
    pub fn set_msgpack(&mut self, _pointer: &str, _value: &[u8]) -> Result<()> {
        todo!()
    }
    /// The payload as MessagePack.
    pub fn to_msgpack(&self) -> Result<Vec<u8>> {
        todo!()
    }
}
