//! A device in memory that everybody has to wait for once.

use async_tests::Pause;
use blockyard_core::asynchronous;
use blockyard_core::device::{BlockDevice, MemoryError, VecDevice};
use std::cell::RefCell;
use std::rc::Rc;

/// What has happened of an operation when it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Nothing,
    /// The first half of a write.
    Half,
    All,
}

/// Its bytes outlive whoever is dropped with it.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) disk: Rc<RefCell<VecDevice>>,
    done: Done,
}

impl Slow {
    pub(crate) fn new(disk: VecDevice, done: Done) -> Self {
        Self { disk: Rc::new(RefCell::new(disk)), done }
    }

    /// The bytes as they stand.
    pub(crate) fn image(&self) -> VecDevice {
        self.disk.borrow().clone()
    }

    async fn run<T>(&self, mut operation: impl FnMut(&mut VecDevice) -> T) -> T {
        if self.done == Done::All {
            let result = operation(&mut self.disk.borrow_mut());
            Pause::new().await;
            return result;
        }
        Pause::new().await;
        operation(&mut self.disk.borrow_mut())
    }
}

impl asynchronous::BlockDevice for Slow {
    type Error = MemoryError;

    async fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.run(|disk| disk.read(offset, buf)).await
    }

    async fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        if self.done == Done::Half {
            let half = data.len() / 2;
            let half = half - half % self.disk.borrow().atomic_unit() as usize;
            self.disk.borrow_mut().write(offset, &data[..half])?;
        }
        self.run(|disk| disk.write(offset, data)).await
    }

    async fn sync(&mut self) -> Result<(), MemoryError> {
        self.run(VecDevice::sync).await
    }

    async fn length(&mut self) -> Result<u64, MemoryError> {
        self.run(VecDevice::length).await
    }

    async fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.run(|disk| disk.grow(length)).await
    }

    fn atomic_unit(&self) -> u32 {
        self.disk.borrow().atomic_unit()
    }
}
