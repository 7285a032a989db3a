//! The on-disk structs as docs/FORMAT.md gives them: a heading of level 3 with the name in backticks and
//! the size, followed (before the next heading) by a table of the fields.
//!
//! ```text
//! ### `Superblock` (64 bytes)
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | `magic` | says that this is a Blockyard file |
//! ```

use super::layout::{Field, Struct};
use super::markdown::{Cell, Item, Row, items};

/// Header of a table of fields.
const COLUMNS: [&str; 4] = ["offset", "size", "field", "meaning"];
/// Level of a struct's heading.
const LEVEL: u8 = 3;

/// What was read, and what could not be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The structs in order.
    pub(crate) structs: Vec<Struct>,
    /// What is written wrongly, with its line.
    pub(crate) problems: Vec<String>,
}

/// Reads the structs of a document.
pub(crate) fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut waiting = None;
    for item in items(text) {
        match item {
            Item::Heading { line, level, content } => {
                parsed.problems.extend(without_table(waiting.take()));
                match struct_heading(level, &content) {
                    Some(Ok((name, size))) => {
                        waiting = Some((line, Struct { name, size, fields: Vec::new() }))
                    }
                    Some(Err(problem)) => parsed.problems.push(format!("line {line}: {problem}")),
                    None => {}
                }
            }
            Item::Table { rows, line } if is_layout(&rows) => match waiting.take() {
                Some((_, found)) => parsed.read_fields(found, &rows),
                None => parsed
                    .problems
                    .push(format!("line {line}: a table of fields has no struct heading of its own")),
            },
            Item::Table { .. } => {}
        }
    }
    parsed.problems.extend(without_table(waiting));
    parsed
}

impl Parsed {
    fn read_fields(&mut self, mut found: Struct, rows: &[Row]) {
        for row in rows.iter().skip(1) {
            match field(row) {
                Ok(field) => found.fields.push(field),
                Err(problem) => self.problems.push(format!("line {}: `{}`: {problem}", row.line, found.name)),
            }
        }
        self.structs.push(found);
    }
}

fn without_table(waiting: Option<(usize, Struct)>) -> Option<String> {
    waiting.map(|(line, it)| format!("line {line}: `{}` has no table `| {} |`", it.name, COLUMNS.join(" | ")))
}

/// Name and size of the struct that a heading announces; None if it announces none.
fn struct_heading(level: u8, content: &Cell) -> Option<Result<(String, u64), String>> {
    let name =
        content.code.first().filter(|name| level == LEVEL && content.text.starts_with(name.as_str()))?;
    let rest = content.text.strip_prefix(name.as_str())?.trim();
    if !rest.is_empty() && !rest.starts_with('(') {
        return None;
    }
    let size = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(" bytes)")).and_then(decimal);
    Some(
        size.map(|size| (name.clone(), size))
            .ok_or_else(|| format!("`{name}` should be followed by `(N bytes)`")),
    )
}

fn is_layout(rows: &[Row]) -> bool {
    let header = rows.first().map(|row| row.cells.iter().map(|cell| cell.text.trim().to_lowercase()));
    header.is_some_and(|header| header.eq(COLUMNS))
}

fn field(row: &Row) -> Result<Field, String> {
    let [offset, size, name, meaning] = row.cells.as_slice() else {
        return Err(format!("a row has {} cells", row.cells.len()));
    };
    let number = |what, cell: &Cell| {
        decimal(cell.text.trim()).ok_or_else(|| format!("{what} `{}` is not a decimal number", cell.text))
    };
    let (offset, size) = (number("offset", offset)?, number("size", size)?);
    let [name] = name.code.as_slice() else {
        return Err(format!("field `{}` should be one name in backticks", name.text));
    };
    if meaning.text.trim().is_empty() {
        return Err(format!("`{name}` has no meaning"));
    }
    Ok(Field { name: name.clone(), offset, size })
}

/// A number of digits only: `parse` alone would accept a plus sign.
fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "| offset | size | field | meaning |\n|--:|--:|---|---|\n";

    #[test]
    fn structs_are_read_among_other_text() {
        let text = format!(
            "# Format\n\n## `Not` a struct\n\n### The `ring` of records\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n\
             ```text\n### `Sample` (1 bytes)\n```\n\n\
             ### `Slot` (12 bytes)\n\n{HEADER}| 0 | 4 | `magic` | x \\| y |\n| 4 | 8 | `sequence` | *u64* |\n\n\
             | bit | meaning |\n|---|---|\n| 0 | z |\n\n\
             ### `Tail` (1 bytes)\n{HEADER}| 0 | 1 | `end` | `0` |"
        );
        let field = |name: &str, offset, size| Field { name: name.into(), offset, size };
        let expected = vec![
            Struct {
                name: "Slot".into(),
                size: 12,
                fields: vec![field("magic", 0, 4), field("sequence", 4, 8)],
            },
            Struct { name: "Tail".into(), size: 1, fields: vec![field("end", 0, 1)] },
        ];
        assert_eq!(parse(&text), Parsed { structs: expected, problems: Vec::new() });
    }

    #[test]
    fn a_heading_needs_its_size() {
        for heading in
            ["### `A`", "### `A` (12)", "### `A` (0x10 bytes)", "### `A` (+1 bytes)", "### `A` ( bytes)"]
        {
            assert_eq!(
                parse(heading).problems,
                ["line 1: `A` should be followed by `(N bytes)`"],
                "{heading}"
            );
        }
    }

    #[test]
    fn a_struct_needs_its_table() {
        let problem = "line 1: `A` has no table `| offset | size | field | meaning |`";
        for tail in ["", "\n\n## Next\n", "\n\n| offset | size |\n|---|---|\n| 0 | 1 |\n"] {
            assert_eq!(parse(&format!("### `A` (1 bytes){tail}")).problems, [problem], "{tail}");
        }
    }

    #[test]
    fn a_table_needs_its_heading() {
        let text = format!("#### `A` (1 bytes)\n\n{HEADER}| 0 | 1 | `a` | b |\n");
        assert_eq!(parse(&text).problems, ["line 3: a table of fields has no struct heading of its own"]);
    }

    #[test]
    fn bad_rows_are_reported_with_their_lines() {
        let rows = "| 0x0 | 1 | `a` | b |\n| 1 | | `b` | b |\n| 2 | 1 | c | b |\n| 3 | 1 | `d` |\n| 4 | 1 | `e` | ok |\n";
        let parsed = parse(&format!("### `A` (5 bytes)\n\n{HEADER}{rows}"));
        assert_eq!(
            parsed.problems,
            [
                "line 5: `A`: offset `0x0` is not a decimal number",
                "line 6: `A`: size `` is not a decimal number",
                "line 7: `A`: field `c` should be one name in backticks",
                "line 8: `A`: `d` has no meaning",
            ]
        );
        assert_eq!(parsed.structs.iter().map(|it| it.fields.len()).collect::<Vec<_>>(), [1]);
    }
}
