//! What the firmware needs of a board: its start, a reset, RAM that outlives the reset, counted instructions,
//! a stack that is measured, and the host behind the debugger (semihosting).
//!
//! The boards are QEMU's: `mps2-an386` (Cortex-M4), `mps2-an385` (Cortex-M3), `microbit` (Cortex-M0), `virt`
//! (RISC-V). On a chip of your own the start and the stack are the same; the disk is its card.
#![no_std]
#![cfg(target_os = "none")]

mod arch;
pub mod host;
pub mod retained;
pub mod stack;

// Copies and fills that are small, for every image.
use copies as _;

pub use arch::{instructions_since, now, reset, start_counting};

/// Names the function with which the program begins.
#[macro_export]
macro_rules! entry {
    ($begin:path) => {
        #[unsafe(export_name = "main")]
        extern "C" fn blockyard_entry() -> ! {
            let begin: fn() -> ! = $begin;
            begin()
        }
    };
}

/// Prints a line on the host.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::host::line(format_args!($($words)*)) };
}

#[cfg(feature = "report-panics")]
#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("PANIC {info}");
    host::exit(false)
}

#[cfg(not(feature = "report-panics"))]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
