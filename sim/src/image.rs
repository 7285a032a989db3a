//! The bytes of a device, cheap to copy: copies share their pages until one of them writes.

use std::sync::Arc;

const PAGE: usize = 4096;

/// The bytes of a device.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Image {
    pages: Vec<Arc<[u8; PAGE]>>,
    length: usize,
}

impl Image {
    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Makes it longer; new bytes are `fill`.
    pub fn grow(&mut self, length: usize, fill: u8) {
        if length <= self.length {
            return;
        }
        let old = self.length;
        self.length = length;
        if let Some(last) = self.pages.last_mut().filter(|_| !old.is_multiple_of(PAGE)) {
            Arc::make_mut(last)[old % PAGE..].fill(fill);
        }
        let new = Arc::new([fill; PAGE]);
        self.pages.resize_with(length.div_ceil(PAGE), || Arc::clone(&new));
    }

    /// Copies the bytes at `at`, all inside.
    pub fn read(&self, at: usize, buf: &mut [u8]) {
        assert!(at + buf.len() <= self.length, "{} bytes at {at} are not inside", buf.len());
        let mut done = 0;
        while done < buf.len() {
            let (page, start) = ((at + done) / PAGE, (at + done) % PAGE);
            let part = (PAGE - start).min(buf.len() - done);
            buf[done..done + part].copy_from_slice(&self.pages[page][start..start + part]);
            done += part;
        }
    }

    /// Writes what lies inside; bytes beyond the end are lost.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = self.length.min(at + bytes.len());
        let mut done = 0;
        while at + done < end {
            let (page, start) = ((at + done) / PAGE, (at + done) % PAGE);
            let part = (PAGE - start).min(end - at - done);
            Arc::make_mut(&mut self.pages[page])[start..start + part]
                .copy_from_slice(&bytes[done..done + part]);
            done += part;
        }
    }

    /// All bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.pages.iter().flat_map(|page| page.iter().copied()).collect::<Vec<_>>();
        bytes.truncate(self.length);
        bytes
    }
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Self {
        let mut image = Self::default();
        image.grow(bytes.len(), 0);
        image.write(0, &bytes);
        image
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn a_copy_does_not_see_what_the_other_writes() {
        let mut image = Image::from(vec![1; 5000]);
        let copy = image.clone();
        image.write(4090, &[2; 20]);
        image.grow(9000, 3);
        image.write(8990, &[4; 100]);
        let mut expected = vec![1; 5000];
        expected[4090..4110].fill(2);
        expected.resize(9000, 3);
        expected[8990..].fill(4);
        assert!(image.to_vec() == expected, "writes across pages and beyond the end");
        assert!(copy.to_vec() == vec![1; 5000], "the copy");
        let mut part = [0; 6];
        image.read(4994, &mut part);
        assert_eq!(part, [1; 6]);
        image.read(4998, &mut part);
        assert_eq!(part, [1, 1, 3, 3, 3, 3]);
    }
}
