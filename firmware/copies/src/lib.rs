//! The functions that the compiler calls to copy and fill memory, in a quarter of the bytes that its own take: a word
//! at a time as far as addresses allow, nothing unrolled. A program that names this crate (`use … as _`) has them
//! instead of `compiler_builtins`' (which are weak symbols); what is not called is not linked.
#![no_std]
// Else the compiler would make calls of themselves of the loops below.
#![no_builtins]

const WORD: usize = size_of::<u32>();

/// Whether words may be read and written at these addresses.
const fn has_words(addresses: usize) -> bool {
    cfg!(words_anywhere) || addresses.is_multiple_of(WORD)
}

/// Copies `length` bytes to where none of them lie.
///
/// # Safety
/// Both ranges have to be the caller's, and apart.
#[inline(always)]
pub unsafe fn copy(mut into: *mut u8, mut from: *const u8, mut length: usize) {
    // SAFETY: what is touched lies below `length` in the ranges that the caller vouches for.
    unsafe {
        if has_words(into as usize | from as usize) {
            while length >= WORD {
                into.cast::<u32>().write_unaligned(from.cast::<u32>().read_unaligned());
                (into, from, length) = (into.add(WORD), from.add(WORD), length - WORD);
            }
        }
        while length > 0 {
            into.write(from.read());
            (into, from, length) = (into.add(1), from.add(1), length - 1);
        }
    }
}

/// Fills `length` bytes.
///
/// # Safety
/// The range has to be the caller's.
#[inline(always)]
pub unsafe fn fill(mut into: *mut u8, mut length: usize, byte: u8) {
    let word = u32::from(byte) * 0x0101_0101;
    // SAFETY: as above.
    unsafe {
        if has_words(into as usize) {
            while length >= WORD {
                into.cast::<u32>().write_unaligned(word);
                (into, length) = (into.add(WORD), length - WORD);
            }
        }
        while length > 0 {
            into.write(byte);
            (into, length) = (into.add(1), length - 1);
        }
    }
}

#[cfg(target_os = "none")]
mod symbols {
    macro_rules! symbols {
        ($($name:ident($($value:ident: $of:ty),*) $(-> $result:ident)? = $body:expr;)*) => {$(
            /// As the C library or the Arm run-time ABI has it.
            ///
            /// # Safety
            /// As there.
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name($($value: $of),*) $(-> symbols!(@ $result))? {
                // SAFETY: what these functions ask of their callers.
                unsafe { $body };
                $($result)?
            }
        )*};
        (@ $result:ident) => { *mut u8 };
    }

    symbols! {
        memcpy(into: *mut u8, from: *const u8, length: usize) -> into = super::copy(into, from, length);
        memset(into: *mut u8, byte: i32, length: usize) -> into = super::fill(into, length, byte as u8);
    }

    #[cfg(target_arch = "arm")]
    symbols! {
        __aeabi_memcpy(into: *mut u8, from: *const u8, length: usize) = super::copy(into, from, length);
        __aeabi_memcpy4(into: *mut u8, from: *const u8, length: usize) = __aeabi_memcpy(into, from, length);
        __aeabi_memcpy8(into: *mut u8, from: *const u8, length: usize) = __aeabi_memcpy(into, from, length);
        __aeabi_memset(into: *mut u8, length: usize, byte: i32) = super::fill(into, length, byte as u8);
        __aeabi_memset4(into: *mut u8, length: usize, byte: i32) = __aeabi_memset(into, length, byte);
        __aeabi_memset8(into: *mut u8, length: usize, byte: i32) = __aeabi_memset(into, length, byte);
        __aeabi_memclr(into: *mut u8, length: usize) = __aeabi_memset(into, length, 0);
        __aeabi_memclr4(into: *mut u8, length: usize) = __aeabi_memset(into, length, 0);
        __aeabi_memclr8(into: *mut u8, length: usize) = __aeabi_memset(into, length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{copy, fill};

    /// At every alignment and of every length, exactly the bytes asked for.
    #[test]
    fn what_is_asked_for_is_copied_and_filled() {
        let from: [u8; 64] = core::array::from_fn(|at| at as u8 + 1);
        for (start, to, length) in
            (0..8).flat_map(|start| (0..8).flat_map(move |to| (0..40).map(move |length| (start, to, length))))
        {
            let mut expected = [0; 64];
            expected[to..to + length].copy_from_slice(&from[start..start + length]);
            let mut into = [0; 64];
            // SAFETY: both ranges lie in the arrays.
            unsafe { copy(into.as_mut_ptr().add(to), from.as_ptr().add(start), length) };
            assert_eq!(into, expected, "{length} bytes from {start} to {to}");
            expected[to..to + length].fill(0xa5);
            // SAFETY: as above.
            unsafe { fill(into.as_mut_ptr().add(to), length, 0xa5) };
            assert_eq!(into, expected, "{length} bytes at {to}");
        }
    }
}
