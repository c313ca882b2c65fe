//! Takes the files that are checked out of the library as they stand, with loom's atomics in place
//! of those of the standard library, and this crate's model of a descriptor in place of the kernel's.

use std::{env, fs, path::Path};

const FILES: [&str; 3] = ["client/waking.rs", "server/cancels.rs", "server/waiting.rs"];

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets it");
    for file in FILES {
        let path = format!("../../src/{file}");
        println!("cargo:rerun-if-changed={path}");
        let code = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let code = code
            .replace("std::sync::atomic", "loom::sync::atomic")
            .replace("once_cell::sync::OnceCell", "crate::kernel::OnceCell")
            .replace("std::os::fd", "crate::kernel")
            .replace("//! ", "// ")
            .replace("pub(super)", "pub")
            .replace("pub(crate)", "pub");
        let left = ["once_cell", "parking_lot", "libc"].iter().find(|part| code.contains(**part));
        assert_eq!(left, None, "{path} uses what the model lacks");
        fs::write(Path::new(&out).join(file.replace('/', "_")), code).expect("room for a copy");
    }
}
