//! Names of events.

use crate::Result;

/// Checks that `name` matches `^[A-Za-z0-9_-]{1,64}$`.
pub fn validate_event_name(_name: &str) -> Result<()> {
    todo!()
}
