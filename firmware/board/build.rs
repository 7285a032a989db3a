//! Where flash and RAM are, for the linker. The sizes are those of small chips, so that an image that would
//! not fit a small chip does not link; what QEMU's machine has besides is used as a RAM disk only. The last
//! 256 bytes of RAM are left out: QEMU clears what is linked at every reset.

use std::{env, fs, path::PathBuf};

/// BBC micro:bit (nRF51): 256 KiB of flash, 16 KiB of RAM; a part of QEMU's mps2 machines too.
const CORTEX_M: &str = "MEMORY
{
  FLASH : ORIGIN = 0x00000000, LENGTH = 256K
  RAM : ORIGIN = 0x20000000, LENGTH = 256K - 256
}
_retained = ORIGIN(RAM) + LENGTH(RAM);
";

/// QEMU's virt has RAM only, from here on: some of it stands for flash.
const RISCV: &str = "MEMORY
{
  FLASH : ORIGIN = 0x80000000, LENGTH = 256K
  RAM : ORIGIN = 0x80100000, LENGTH = 256K - 256
}
_retained = ORIGIN(RAM) + LENGTH(RAM);
REGION_ALIAS(\"REGION_TEXT\", FLASH);
REGION_ALIAS(\"REGION_RODATA\", FLASH);
REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM);
REGION_ALIAS(\"REGION_STACK\", RAM);
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let layout = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "arm" => CORTEX_M,
        "riscv32" => RISCV,
        // A host, to run the tests of what is built on this.
        _ => return Ok(()),
    };
    let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(folder.join("memory.x"), layout)?;
    println!("cargo::rustc-link-search={}", folder.display());
    Ok(())
}
