//! docs/FORMAT.md and the engine's `format` module describe the same bytes.
//!
//! The document gives every on-disk struct as a heading and a table (see [`document`]); the engine
//! exports the same as `blockyard_core::format::LAYOUT`. Every difference is reported, both ways.

mod compare;
mod document;
mod engine;
mod layout;
mod markdown;
mod version;

use anyhow::{Context, Result, bail};
use xshell::Shell;

use self::layout::Struct;

/// Where the format is described.
const DOCUMENT: &str = "docs/FORMAT.md";

/// Compares the document with the engine.
pub(crate) fn run(shell: &Shell) -> Result<()> {
    let text = shell.read_file(DOCUMENT).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let code = engine::structs();
    let problems = problems(&text, engine::VERSION, &code);
    if !problems.is_empty() {
        let count = problems.len();
        bail!("{count} differences between {DOCUMENT} and core/src/format:\n  {}", problems.join("\n  "));
    }
    println!("{DOCUMENT} and core/src/format agree: version {}, {} structs", engine::VERSION, code.len());
    Ok(())
}

/// Everything wrong with the document, with the engine's table, or between them.
fn problems(text: &str, version: u32, code: &[Struct]) -> Vec<String> {
    let document::Parsed { structs, problems: mut found } = document::parse(text);
    found.splice(0..0, version::problem(text, version));
    found.extend(structs.iter().flat_map(|it| compare::flaws("FORMAT.md", it)));
    found.extend(code.iter().flat_map(|it| compare::flaws("code", it)));
    found.extend(compare::differences(&structs, code));
    found
}

#[cfg(test)]
mod tests {
    use super::layout::Field;
    use super::*;

    const GOOD: &str = "# The file format, version 3\n\n\
        ### `Slot` (12 bytes)\n\nWords.\n\n\
        | offset | size | field | meaning |\n|---|---|---|---|\n\
        | 0 | 4 | `magic` | `a\\|b` |\n\
        | 4 | 8 | `sequence` | u64 |\n";

    fn code() -> Vec<Struct> {
        let field = |name: &str, offset, size| Field { name: name.into(), offset, size };
        let fields = vec![field("magic", 0, 4), field("sequence", 4, 8)];
        vec![Struct { name: "Slot".into(), size: 12, fields }]
    }

    #[test]
    fn a_document_that_matches_has_no_problem() {
        assert_eq!(problems(GOOD, 3, &code()), [""; 0]);
    }

    #[test]
    fn another_version_is_reported() {
        assert_eq!(
            problems(GOOD, 4, &code()),
            ["line 1: the document is of version 3, the code of version 4"]
        );
    }

    #[test]
    fn a_moved_field_is_reported_as_a_gap_and_as_a_difference() {
        let text = GOOD.replace("| 4 | 8 |", "| 8 | 4 |");
        assert_eq!(
            problems(&text, 3, &code()),
            [
                "FORMAT.md: `Slot`: `sequence` starts at 8, but 4 bytes come before it",
                "`Slot`: `sequence` is at offset 8 in FORMAT.md and at 4 in the code",
                "`Slot`: `sequence` has 4 bytes in FORMAT.md and 8 in the code",
            ]
        );
    }

    #[test]
    fn the_engines_own_table_written_as_a_document_has_no_problem() {
        let mut text = format!("# Format, version {}\n", engine::VERSION);
        for Struct { name, size, fields } in engine::structs() {
            text +=
                &format!("\n### `{name}` ({size} bytes)\n\n| offset | size | field | meaning |\n|-|-|-|-|\n");
            for Field { name, offset, size } in fields {
                text += &format!("| {offset} | {size} | `{name}` | x |\n");
            }
        }
        assert_eq!(problems(&text, engine::VERSION, &engine::structs()), [""; 0]);
    }
}
