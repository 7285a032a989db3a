//! One digest over all that a store holds, by which worlds are compared.

use blockyard_core::overlay::Overlay;
use blockyard_core::store::{Problem, VerifySink};
use blockyard_core::{BlockDevice, Digest, Hasher, ReadError, Store};

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Number of blocks.
    pub blocks: u64,
    /// Bytes of all values, every one of them read and compared with its digest.
    pub bytes: u64,
    /// SHA-256 over each block in the order of names: lengths of name and value in 8 bytes each, the name,
    /// the block's digest.
    pub digest: Digest,
}

/// Goes through all blocks, in pieces of `piece` bytes; `name` has room for the longest name, twice.
///
/// # Errors
/// A read that fails; damage.
pub fn content<D: BlockDevice, O: Overlay, B: AsMut<[u8]>>(
    store: &mut Store<D, O, B>,
    name: &mut [u8],
    piece: &mut [u8],
) -> Result<Content, ReadError<D::Error>> {
    let half = name.len() / 2;
    let (next, last) = name.split_at_mut(half);
    let (mut found, mut hasher, mut after) = (Content::default(), Hasher::new(), None);
    while let Some(length) = store.next_name(after.and_then(|length| last.get(..length)), next)? {
        let Some(name) = next.get(..length) else { break };
        let mut reader = store.reader(name)?;
        let info = *reader.info();
        let mut read = 0;
        loop {
            let now = reader.read(piece)?;
            if now == 0 {
                break;
            }
            read += now as u64;
        }
        hasher.update(&(length as u64).to_le_bytes());
        hasher.update(&read.to_le_bytes());
        hasher.update(name);
        hasher.update(&info.digest.0);
        found.blocks += 1;
        found.bytes += read;
        if let Some(last) = last.get_mut(..length) {
            last.copy_from_slice(name);
        }
        after = Some(length);
    }
    found.digest = hasher.finish();
    Ok(found)
}

/// Counts problems and forgets what they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count(pub u32);

impl VerifySink for Count {
    fn problem(&mut self, _: Option<&[u8]>, _: Problem) {
        self.0 += 1;
    }
    fn checked(&mut self, _: &[u8], _: bool, _: u64) {}
}
