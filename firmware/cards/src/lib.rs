//! Devices for [`blockyard_core`] over what drivers of cards and chips offer.
//!
//! | adapter | over | unit |
//! |---|---|---|
//! | [`SdDevice`] | a block device of `embedded-sdmmc`: an SD card by SPI, or a driver of your own | 512 |
//! | [`NorDevice`] | a NOR flash of `embedded-storage` with erase blocks of up to 4 KiB | its erase block |
//!
//! What has `Read`, `Write` and `Seek` of `embedded-io` needs neither:
//! [`EmbeddedDevice`](blockyard_core::device::EmbeddedDevice).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod nor;
mod sd;

pub use nor::{NorDevice, NorError};
pub use sd::{SdDevice, SdError};
