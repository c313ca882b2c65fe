//! Link options of the C library: cargo sets none of them by itself.

fn main() {
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    for option in [
        format!("-soname,libdotsock.so.{major}"),
        // LuaJIT unloads a library whose namespace was collected; threads and hooks must survive that.
        "-z,nodelete".into(),
        // A host program's own `sock_send` must not take the place of ours inside the library.
        "-Bsymbolic".into(),
    ] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
