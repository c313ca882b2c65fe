//! Every function of the C API is called by a C test or an example.
//!
//! What the library exports is checked by `tests/install.sh`, against the same list.

use std::fs;
use std::path::Path;

#[test]
fn every_function_is_called_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for directory in ["tests/c", "examples-c"] {
        for entry in fs::read_dir(root.join(directory)).expect(directory) {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "c" || extension == "h") {
                code += &fs::read_to_string(&path).expect("a source file");
            }
        }
    }
    let symbols = fs::read_to_string(root.join("include/dotsock.symbols")).expect("the list");
    let uncalled: Vec<&str> = symbols.lines().filter(|name| !calls(&code, name)).collect();
    assert!(uncalled.is_empty(), "no test in tests/c or examples-c calls {}", uncalled.join(", "));
}

/// Whether `name(` occurs as a word of its own.
fn calls(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].trim_start().chars().next();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') && after == Some('(')
    })
}
