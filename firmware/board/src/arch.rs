//! What differs between the processors.

#[cfg(target_arch = "arm")]
mod processor {
    use cortex_m::peripheral::syst::SystClkSource;
    use cortex_m::peripheral::{Peripherals, SCB, SYST};
    use cortex_m_rt as _;

    /// QEMU's mps2 machines run at 25 MHz, and one instruction takes a nanosecond with `-icount shift=0`.
    const INSTRUCTIONS_A_TICK: u32 = 40;
    const LONGEST: u32 = 0x00ff_ffff;

    /// Starts the counter behind [`now`].
    pub fn start_counting() {
        if let Some(peripherals) = Peripherals::take() {
            let mut timer = peripherals.SYST;
            timer.set_clock_source(SystClkSource::Core);
            timer.set_reload(LONGEST);
            timer.clear_current();
            timer.enable_counter();
        }
    }

    /// A moment, for [`instructions_since`].
    pub fn now() -> u32 {
        SYST::get_current()
    }

    /// Instructions since a moment, in steps of 40; up to 671 million.
    pub fn instructions_since(moment: u32) -> u32 {
        // The timer counts down.
        (moment.wrapping_sub(SYST::get_current()) & LONGEST).wrapping_mul(INSTRUCTIONS_A_TICK)
    }

    /// Starts the processor anew; what RAM holds stays.
    pub fn reset() -> ! {
        SCB::sys_reset()
    }
}

#[cfg(target_arch = "riscv32")]
mod processor {
    use riscv_rt as _;

    /// Starts the counter behind [`now`]; it always runs.
    pub fn start_counting() {}

    /// A moment, for [`instructions_since`].
    pub fn now() -> u32 {
        riscv::register::minstret::read() as u32
    }

    /// Instructions since a moment; up to four billion.
    pub fn instructions_since(moment: u32) -> u32 {
        now().wrapping_sub(moment)
    }

    /// Starts the processor anew; what RAM holds stays.
    pub fn reset() -> ! {
        /// The machine's "test finisher", and what makes it reset.
        const FINISHER: *mut u32 = 0x0010_0000 as *mut u32;
        const RESET: u32 = 0x7777;
        // SAFETY: QEMU's virt has a device register of 32 bits there and nothing else.
        unsafe { FINISHER.write_volatile(RESET) };
        loop {
            core::hint::spin_loop();
        }
    }
}

pub use processor::{instructions_since, now, reset, start_counting};
