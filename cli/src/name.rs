//! Names of blocks: bytes in the store, text for people, lossless in JSON.

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use serde::Serialize;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::path::{Component, Path};

/// A block's name as given on the command line: its bytes, which should be UTF-8 and need not be.
#[derive(Clone, Debug)]
pub(crate) struct BlockName(pub(crate) Vec<u8>);

impl From<OsString> for BlockName {
    fn from(text: OsString) -> Self {
        Self(text.into_encoded_bytes())
    }
}

/// Parser of the command line for [`BlockName`].
pub(crate) fn parser() -> impl clap::builder::TypedValueParser<Value = BlockName> {
    OsStringValueParser::new().map(BlockName::from)
}

/// `name` on one line of text, escaped where it has to be.
///
/// A backslash becomes `\\`; bytes that are not UTF-8, control characters, line separators and
/// characters that reorder text become `\xNN`, two lower-case hexadecimal digits for each byte.
/// So no two names look alike, and no name can break a line or fool a terminal.
pub(crate) const fn shown(name: &[u8]) -> Shown<'_> {
    Shown(name)
}

/// See [`shown`].
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        for piece in self.0.utf8_chunks() {
            for character in piece.valid().chars() {
                write_character(f, character)?;
            }
            write_bytes(f, piece.invalid())?;
        }
        Ok(())
    }
}

fn write_character(f: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        '\\' => f.write_str("\\\\"),
        _ if is_unfit(character) => write_bytes(f, character.encode_utf8(&mut [0; 4]).as_bytes()),
        _ => f.write_char(character),
    }
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// Control characters, line and paragraph separators, bidirectional controls.
const fn is_unfit(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name in a JSON object: `"name"` when it is UTF-8, `"name_hex"` (lower-case hexadecimal
/// digits, two a byte) when it is not. Flatten it into the object.
#[derive(Debug, Serialize)]
pub(crate) enum JsonName {
    /// The name is UTF-8.
    #[serde(rename = "name")]
    Text(String),
    /// The name is not UTF-8.
    #[serde(rename = "name_hex")]
    Hex(String),
}

impl From<&[u8]> for JsonName {
    fn from(name: &[u8]) -> Self {
        match str::from_utf8(name) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(hex(name)),
        }
    }
}

/// `bytes` as lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The name that the file at `relative`, a path below an imported directory, gets: `prefix` and
/// the path's parts joined by `/`.
pub(crate) fn of_path(prefix: &[u8], relative: &Path) -> Vec<u8> {
    let mut name = prefix.to_vec();
    let parts = relative.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part.as_encoded_bytes()),
        _ => None,
    });
    for (index, part) in parts.enumerate() {
        if index > 0 {
            name.push(b'/');
        }
        name.extend_from_slice(part);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_names_are_one_line_and_never_alike() {
        let cases: [(&[u8], &str); 8] = [
            (b"plain/name.txt", "plain/name.txt"),
            ("grün 日本".as_bytes(), "grün 日本"),
            (b"line\nbreak", r"line\x0abreak"),
            (br"line\x0abreak", r"line\\x0abreak"),
            (b"\xff\xfe", r"\xff\xfe"),
            ("evil\u{202e}txt".as_bytes(), r"evil\xe2\x80\xaetxt"),
            (b"\x1b[31m", r"\x1b[31m"),
            (b"", "\"\""),
        ];
        for (name, expected) in cases {
            assert_eq!(shown(name).to_string(), expected);
        }
    }

    #[test]
    fn json_names_are_lossless() {
        assert_eq!(serde_json::to_string(&JsonName::from(&b"a"[..])).expect("json"), r#"{"name":"a"}"#);
        assert_eq!(
            serde_json::to_string(&JsonName::from(&b"\xff\x00"[..])).expect("json"),
            r#"{"name_hex":"ff00"}"#
        );
    }

    #[test]
    fn a_path_becomes_a_name() {
        assert_eq!(of_path(b"p/", Path::new("a/b c")), b"p/a/b c");
        assert_eq!(of_path(b"", Path::new("a")), b"a");
    }
}
