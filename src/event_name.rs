//! Names of events.

use crate::{Error, Result};

const LONGEST: usize = 64;
const ALLOWED: &str = "it must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -";

/// Checks that `name` may name an event: 1 to 64 letters, digits, `_` or `-`, all of them ASCII.
///
/// # Errors
/// [`Status::Invalid`](crate::Status::Invalid) with a sentence that says what is wrong with the
/// name and what is allowed.
pub fn validate_event_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("Event name cannot be empty: {ALLOWED}")));
    }
    // A wrong character is the more helpful answer only where the name can be shown.
    let length = name.chars().count();
    if length > LONGEST {
        return Err(Error::invalid(format!(
            "Event name too long: {length} > {LONGEST}: {ALLOWED}"
        )));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        return Err(Error::invalid(format!("Invalid event name: '{name}': {ALLOWED}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn names_of_1_to_64_letters_digits_underscores_and_hyphens_pass() {
        for name in ["a", "my_event-2", "-", &"N".repeat(64)] {
            validate_event_name(name).unwrap();
        }
    }

    #[test]
    fn others_are_refused_with_a_reason() {
        for (name, text) in [
            ("", "Event name cannot be empty"),
            (&*"x".repeat(65), "Event name too long: 65 > 64"),
            ("a\n", "Invalid event name: 'a\n'"),
            ("../up", "Invalid event name: '../up'"),
            ("ünicode", "Invalid event name: 'ünicode'"),
            ("a b", "Invalid event name: 'a b'"),
        ] {
            let error = validate_event_name(name).unwrap_err();
            assert_eq!(error.status(), Status::Invalid);
            assert!(error.to_string().starts_with(text), "{error}");
        }
    }
}
