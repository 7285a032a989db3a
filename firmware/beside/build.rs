//! The linker scripts of the processor's runtime.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if arch == "riscv32" {
        println!("cargo::rustc-link-arg-bins=-Tmemory.x");
    }
    if arch == "arm" || arch == "riscv32" {
        println!("cargo::rustc-link-arg-bins=-Tlink.x");
    }
}
