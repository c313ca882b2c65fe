//! `include/dotsock.h` and `include/dotsock.cdef` are generated from `src/ffi/`, committed, and
//! must agree with it.
//!
//! cbindgen writes the declarations; the order in which a C programmer reads them, and the
//! headings, come from here. `make header` writes the files anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use cbindgen::{Config, ItemType};

/// The files of `src/ffi/` that declare something, in the order of the header.
const FILES: [&str; 14] = [
    "constants",
    "library",
    "context",
    "log",
    "options",
    "payload",
    "message",
    "message_values",
    "server",
    "sending",
    "hooks",
    "event",
    "client_list",
    "client",
];

#[test]
fn the_header_agrees_with_the_source() {
    check("include/dotsock.h", &header());
}

#[test]
fn the_declarations_for_luajit_agree_with_the_source() {
    check("include/dotsock.cdef", &cdef());
}

#[test]
fn the_list_of_symbols_agrees_with_the_source() {
    check("include/dotsock.symbols", &symbols());
}

#[test]
fn no_file_is_forgotten() {
    let directory = fs::read_dir(root().join("src/ffi")).expect("src/ffi");
    for entry in directory {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let source = fs::read_to_string(&path).expect("a source file");
        let declares = source.contains("#[unsafe(no_mangle)]") || source.contains("#[repr(C)]");
        assert_eq!(declares, FILES.contains(&&*name) && name != "context", "src/ffi/{name}.rs");
    }
}

/// Compares a committed file with what it should be, or writes it where `make header` asks.
fn check(path: &str, expected: &str) {
    let file = root().join(path);
    if std::env::var_os("DOTSOCK_WRITE_HEADER").is_some() {
        fs::write(&file, expected).expect("a file that can be written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == expected, "{path} does not agree with src/ffi: run `make header`");
}

fn header() -> String {
    let config = Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let mut text = String::new();
    text += config.header.as_deref().unwrap_or_default().trim_start();
    text += "\n#ifndef DOTSOCK_H\n#define DOTSOCK_H\n\n";
    text += "#include <stddef.h>\n#include <stdint.h>\n\n";
    text += &version_macros();
    text += "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n";
    for file in FILES {
        text += &heading(file);
        if file == "constants" {
            text += &declarations(file, &[ItemType::Enums], true);
            text += &banner("Objects", "All of them are opaque, and are only ever pointed to.");
            for file in FILES {
                text += &declarations(file, &[ItemType::OpaqueItems], true);
            }
        } else {
            text += &declarations(file, &[ItemType::Typedefs, ItemType::Functions], true);
        }
    }
    text += "\n#ifdef __cplusplus\n} // extern \"C\"\n#endif\n\n#endif // DOTSOCK_H\n";
    text
}

fn cdef() -> String {
    let mut text = String::from(
        "// The declarations of dotsock.h without preprocessor lines, for LuaJIT's ffi.cdef.\n\
         // This file is generated; its source is in src/ffi/.\n\n",
    );
    text += &declarations("constants", &[ItemType::Enums], false);
    for kinds in [&[ItemType::OpaqueItems][..], &[ItemType::Typedefs], &[ItemType::Functions]] {
        for file in FILES {
            text += &declarations(file, kinds, false);
        }
    }
    text
}

/// The names of all functions, sorted.
fn symbols() -> String {
    let mut names: Vec<String> = Vec::new();
    for file in FILES {
        let source = read(file);
        let functions = source.split("#[unsafe(no_mangle)]").skip(1);
        names.extend(functions.map(|function| word_after(function, "extern \"C\" fn ")));
    }
    names.sort();
    names.join("\n") + "\n"
}

fn version_macros() -> String {
    let mut text = String::from(
        "/** The version of this header; sock_version() is that of the library in use. */\n",
    );
    for (part, value) in [
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR")),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR")),
        ("PATCH", env!("CARGO_PKG_VERSION_PATCH")),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#define DOTSOCK_VERSION_{part} {value}");
    }
    text += "\n/** Whether this header is of that version or a later one, for #if. */\n\
             #define DOTSOCK_VERSION_AT_LEAST(major, minor, patch) \\\n    \
             (DOTSOCK_VERSION_MAJOR > (major) || \\\n     \
             (DOTSOCK_VERSION_MAJOR == (major) && \\\n      \
             (DOTSOCK_VERSION_MINOR > (minor) || \\\n       \
             (DOTSOCK_VERSION_MINOR == (minor) && DOTSOCK_VERSION_PATCH >= (patch)))))\n";
    text
}

/// What a file says about itself, where that is written for C programmers: under a title.
fn heading(file: &str) -> String {
    let source = read(file);
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let Some(title) = text.first().and_then(|line| line.strip_prefix("# ")) else {
        return "\n".into();
    };
    let body = text[1..].join("\n").replace("@SETTINGS@", settings().trim_end());
    banner(title, body.trim())
}

fn banner(title: &str, body: &str) -> String {
    let rule = "-".repeat(96);
    let mut text = format!("\n/* {rule}\n * {title}\n * {rule}\n");
    if !body.is_empty() {
        for line in body.lines() {
            text += format!(" * {line}").trim_end();
            text += "\n";
        }
        text += " */\n\n";
    } else {
        text += " */\n\n";
    }
    assert!(text.matches("*/").count() == 1, "a comment ends early in {title}");
    text
}

/// The settings file that says what options there are, without its introduction.
fn settings() -> String {
    let path = root().join("config/settings.toml");
    let text = fs::read_to_string(path).expect("config/settings.toml");
    let (_, keys) = text.split_once("\n\n").expect("an introduction, then the keys");
    keys.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect()
}

/// The declarations of one file, of these kinds.
fn declarations(file: &str, kinds: &[ItemType], documented: bool) -> String {
    let mut config = Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    config.header = None;
    config.documentation = documented;
    config.export.item_types = kinds.to_vec();
    // cbindgen leaves out what no function mentions: the enums.
    config.export.include = types(&read(file));
    let mut text = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(source(file))
        .generate()
        .unwrap_or_else(|error| panic!("src/ffi/{file}.rs: {error}"))
        .write(&mut text);
    let text = String::from_utf8(text).expect("cbindgen writes UTF-8");
    match text.trim() {
        "" => String::new(),
        text => short_comments(text) + "\n",
    }
}

/// Puts comments of one line on one line.
fn short_comments(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let start = lines.len().saturating_sub(2);
        match &lines[start..] {
            [opening, words] if line.trim() == "*/" && opening.trim() == "/**" => {
                let words = words.trim().trim_start_matches("* ");
                let short = opening.replace("/**", &format!("/** {words} */"));
                lines.truncate(start);
                lines.push(short);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// The names of the types that a file makes public.
fn types(source: &str) -> Vec<String> {
    let public = |line: &str| {
        ["pub enum ", "pub struct ", "pub type "]
            .into_iter()
            .find(|start| line.starts_with(start))
            .map(|start| word_after(line, start))
    };
    source.lines().filter_map(public).collect()
}

fn word_after(text: &str, start: &str) -> String {
    let (_, rest) = text.split_once(start).expect("a declaration");
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(source(file)).unwrap_or_else(|error| panic!("src/ffi/{file}.rs: {error}"))
}

fn source(file: &str) -> PathBuf {
    root().join("src/ffi").join(file).with_extension("rs")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
