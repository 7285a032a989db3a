//! Telling the processor what will be read next.

/// Bytes that the processor fetches at once.
const LINE: usize = 64;

/// What is fetched of a value at most: behind that the processor has noticed by itself where this goes.
const MOST: usize = 64 * LINE;

/// Has the processor bring `what`, or its first 4 KiB, into its second-level cache. Not into the first one, where a
/// value takes the place of the one that is being looked at. It does not wait for them.
#[inline]
pub(crate) fn fetch<T: ?Sized>(what: &T) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of_val(what).min(MOST)).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let line = std::ptr::from_ref(what).cast::<i8>().wrapping_add(at);
        // SAFETY: every x86-64 processor has the instruction. It loads no value, so there is nothing to be valid, and
        // faults nowhere; the address lies within `what`.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (what, LINE, MOST);
}

#[cfg(test)]
mod tests {
    use super::fetch;

    /// Nothing, parts of lines, and more than is fetched: nothing changes and nothing fails.
    #[test]
    fn whatever_is_fetched_stays_what_it_is() {
        for length in [0, 1, 63, 64, 65, 4095, 4096, 4097, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            fetch(&bytes[..]);
            fetch(&bytes[length / 2..]);
            assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        }
    }
}
