//! Link options of the C library: cargo sets none of them by itself.

use std::process::Command;

fn main() {
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    let mut options = vec![
        format!("-soname,libdotsock.so.{major}"),
        // LuaJIT unloads a library whose namespace was collected; threads and hooks must survive that.
        "-z,nodelete".into(),
        // A host program's own `sock_send` must not take the place of ours inside the library.
        "-Bsymbolic".into(),
    ];
    if loader_unpacks_relocations() {
        // Packed, they take 5 KB of every process that loads the library instead of 117 KB.
        options.push("-z,pack-relative-relocs".into());
    }
    for option in options {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}

/// Whether the C library that the library is built for knows packed relocations: glibc does since
/// 2.36. Only of this machine's can that be asked.
fn loader_unpacks_relocations() -> bool {
    let variable = |name| std::env::var(name).unwrap_or_default();
    if variable("TARGET") != variable("HOST") || variable("CARGO_CFG_TARGET_ENV") != "gnu" {
        return false;
    }
    let answer = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = answer.map(|answer| answer.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&text);
    let mut numbers = version.trim().trim_start_matches("glibc ").split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (2, 36),
        _ => false,
    }
}
