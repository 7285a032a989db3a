//! The version of the format, which the document carries on its first line.

/// What is wrong with the document's version, if anything.
pub(crate) fn problem(text: &str, code: u32) -> Option<String> {
    match on_first_line(text) {
        None => Some(format!("line 1: there is no `version {code}`")),
        Some(document) if document != code => {
            Some(format!("line 1: the document is of version {document}, the code of version {code}"))
        }
        Some(_) => None,
    }
}

/// The number after the word "version" on line 1.
fn on_first_line(text: &str) -> Option<u32> {
    let line = text.lines().next()?;
    let words: Vec<_> =
        line.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| word.eq_ignore_ascii_case("version"))?;
    words.get(at + 1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_on_line_one_only() {
        assert_eq!(on_first_line("# Blockyard's file format, version 1\n"), Some(1));
        assert_eq!(on_first_line("**Version 12.**"), Some(12));
        assert_eq!(on_first_line("# Format\nversion 1\n"), None);
        assert_eq!(on_first_line("# Format version one\n"), None);
        assert_eq!(on_first_line(""), None);
    }

    #[test]
    fn a_missing_number_is_a_problem() {
        assert_eq!(problem("# Format", 2).as_deref(), Some("line 1: there is no `version 2`"));
        assert_eq!(problem("version 2", 2), None);
    }
}
