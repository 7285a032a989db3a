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
    if arch == "arm" && std::env::var_os("CARGO_FEATURE_LITTLEFS").is_some() {
        // littlefs looks for bytes of strings with functions of a C library.
        let words = ["-mthumb", "-march=armv7e-m", "-print-file-name=libc_nano.a"];
        let found = std::process::Command::new("arm-none-eabi-gcc").args(words).output();
        let library = found.map(|found| String::from_utf8_lossy(&found.stdout).trim().to_owned());
        println!("cargo::rustc-link-arg-bin=weigh-littlefs={}", library.unwrap_or_default());
    }
}
