//! Whether the processor reads and writes words at any address: Armv6-M and RISC-V without more do not.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(words_anywhere)");
    let target = std::env::var("TARGET").unwrap_or_default();
    if ["thumbv7", "thumbv8m.main", "x86_64"].iter().any(|start| target.starts_with(start)) {
        println!("cargo::rustc-cfg=words_anywhere");
    }
}
