//! Sizes in bytes, read from and shown to people.

use humansize::{BINARY, format_size};

/// Parses `4096`, `4K`, `4KiB`, `10M`, `1GiB`: units are powers of 1024.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err("give a number of bytes, or one with K, M or G (powers of 1024)".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "give a number of bytes, such as 4096 or 4K".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "this is more bytes than can be counted".to_owned())
}

/// Parses a size that has to fit 32 bits.
pub(crate) fn parse_u32(text: &str) -> Result<u32, String> {
    u32::try_from(parse(text)?).map_err(|_| "this has to be below 4G".to_owned())
}

/// `1.25 MiB`, and `17 B` below 1 KiB.
pub(crate) fn human(bytes: u64) -> String {
    format_size(bytes, BINARY)
}

/// `1.25 MiB (1,310,720 bytes)`, and `17 bytes` below 1 KiB.
pub(crate) fn both(bytes: u64) -> String {
    let exact = format!("{} {}", grouped(bytes), if bytes == 1 { "byte" } else { "bytes" });
    if bytes < 1024 { exact } else { format!("{} ({exact})", human(bytes)) }
}

/// `1,310,720`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 block`, `1,000 blocks`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        for (text, bytes) in
            [("4096", 4096), ("4K", 4096), ("4 KiB", 4096), ("10m", 10 << 20), ("1GB", 1 << 30)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "4T", "1.5M", "99999999999G"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_u32("4G").is_err());
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(both(1), "1 byte");
        assert_eq!(both(1_310_720), "1.25 MiB (1,310,720 bytes)");
        assert_eq!(count(1, "block", "blocks"), "1 block");
    }
}
