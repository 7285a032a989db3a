//! Names and values of records.

pub(crate) fn name(index: u64) -> [u8; 16] {
    let text = format!("{:06}/{index:09}", index / 100);
    text.as_bytes().try_into().expect("sixteen bytes")
}

pub(crate) fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Bytes that do not compress, others for each record.
pub(crate) fn value(index: u64, length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(8) as u64).flat_map(|at| mix(index << 20 | at).to_le_bytes());
    words.take(length).collect()
}
