//! What an image weighs and which functions are in it, from its ELF headers (32 bits, little-endian).

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Bytes of an image by what they are, and its symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// Code.
    pub(crate) text: u64,
    /// Constants.
    pub(crate) rodata: u64,
    /// Variables: those with a value at the start and those without.
    pub(crate) variables: u64,
    /// Every function: its mangled name and bytes.
    pub(crate) functions: Vec<(String, u32)>,
}

struct Section {
    name: u32,
    kind: u32,
    offset: usize,
    size: usize,
    link: usize,
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).and_then(|it| it.try_into().ok()).context("the image is cut off")?;
    Ok(u32::from_le_bytes(word))
}

fn half(bytes: &[u8], at: usize) -> Result<u16> {
    let half = bytes.get(at..at + 2).and_then(|it| it.try_into().ok()).context("the image is cut off")?;
    Ok(u16::from_le_bytes(half))
}

fn text(bytes: &[u8], at: usize) -> Result<String> {
    let rest = bytes.get(at..).context("the image is cut off")?;
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
}

impl Image {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.starts_with(&[0x7f, b'E', b'L', b'F', 1, 1]), "not a 32-bit image");
        let start = word(bytes, 32)? as usize;
        let (size, count) = (half(bytes, 46)? as usize, half(bytes, 48)? as usize);
        let section = |index: usize| -> Result<Section> {
            let at = start + index * size;
            let field = |number: usize| word(bytes, at + 4 * number);
            let (offset, size, link) = (field(4)? as usize, field(5)? as usize, field(6)? as usize);
            Ok(Section { name: field(0)?, kind: field(1)?, offset, size, link })
        };
        let names = section(half(bytes, 50)? as usize)?;
        let mut image = Self::default();
        for index in 0..count {
            let section = section(index)?;
            match text(bytes, names.offset + section.name as usize)?.as_str() {
                ".text" => image.text += section.size as u64,
                ".rodata" => image.rodata += section.size as u64,
                ".data" | ".bss" => image.variables += section.size as u64,
                _ => {}
            }
            const SYMBOLS: u32 = 2;
            if section.kind == SYMBOLS {
                let strings = self::section_at(bytes, start, size, section.link)?;
                image.add_functions(bytes, &section, strings)?;
            }
        }
        Ok(image)
    }

    fn add_functions(&mut self, bytes: &[u8], symbols: &Section, strings: usize) -> Result<()> {
        const FUNCTION: u8 = 2;
        for at in (symbols.offset..symbols.offset + symbols.size).step_by(16) {
            let kind = bytes.get(at + 12).context("the image is cut off")? & 15;
            if kind == FUNCTION {
                let name = text(bytes, strings + word(bytes, at)? as usize)?;
                self.functions.push((name, word(bytes, at + 8)?));
            }
        }
        Ok(())
    }

    /// Functions of `core::panicking` and what else only a panic calls.
    pub(crate) fn panics(&self) -> Vec<&str> {
        const SIGNS: [&str; 5] =
            ["9panicking", "unwrap_failed", "expect_failed", "slice_index_fail", "len_mismatch_fail"];
        let names = self.functions.iter().map(|(name, _)| name.as_str());
        names.filter(|name| SIGNS.iter().any(|sign| name.contains(sign))).collect()
    }
}

/// Where a section's bytes are.
fn section_at(bytes: &[u8], start: usize, size: usize, index: usize) -> Result<usize> {
    Ok(word(bytes, start + index * size + 16)? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(Image::parse(b"#!/bin/sh").is_err());
        assert!(Image::parse(&[0x7f, b'E', b'L', b'F', 1, 1, 1]).is_err());
    }

    #[test]
    fn panics_are_told_by_their_names() {
        let names = [
            "_ZN4core9panicking18panic_bounds_check17h0E",
            "_ZN4core5slice5index16slice_index_fail17h0E",
            "main",
        ];
        let functions = names.map(|name| (name.to_owned(), 8)).to_vec();
        let image = Image { functions, ..Image::default() };
        assert_eq!(image.panics(), &names[..2]);
    }
}
