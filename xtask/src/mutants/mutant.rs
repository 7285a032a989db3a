//! A mutant as cargo-mutants describes it.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::weave::{Change, Span};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    /// `file:line:column: change`.
    pub(super) name: String,
    pub(super) file: String,
    pub(super) change: String,
    /// The function that it is made in.
    pub(super) function: Option<Span>,
    /// What is replaced, and by what.
    pub(super) span: Span,
    pub(super) replacement: String,
}

impl Mutant {
    /// All that `cargo mutants --list --json` prints.
    pub(super) fn parse_list(json: &str) -> Result<Vec<Self>> {
        let list: Value = serde_json::from_str(json).context("cargo-mutants lists no mutants")?;
        let list = list.as_array().context("cargo-mutants lists no mutants")?;
        let parse = |it| Self::parse(it).with_context(|| format!("no mutant: {it}"));
        list.iter().map(parse).collect()
    }

    fn parse(json: &Value) -> Option<Self> {
        let text = |name: &str| Some(json[name].as_str()?.to_owned());
        let name = text("name")?;
        let change = name.split_once(": ")?.1.to_owned();
        let (function, span) = (span(&json["function"]["span"]), span(&json["span"])?);
        Some(Self { name, file: text("file")?, change, function, span, replacement: text("replacement")? })
    }

    /// As it is woven in.
    pub(super) fn woven(&self, index: usize) -> Change<'_> {
        let Self { file, function, span, replacement, .. } = self;
        Change { index, file, function: *function, span: *span, replacement }
    }

    /// The line of code that the change begins in.
    pub(super) fn code<'a>(&self, source: &'a str) -> &'a str {
        source.lines().nth(self.span.start.0 - 1).unwrap_or_default().trim()
    }
}

fn span(json: &Value) -> Option<Span> {
    let number = |of: &Value| usize::try_from(of.as_u64()?).ok().filter(|number| *number > 0);
    let place = |of: &Value| Some((number(&of["line"])?, number(&of["column"])?));
    Some(Span { start: place(&json["start"])?, end: place(&json["end"])? })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A mutant of `source` that replaces the first `old` in the function from line `first` to `last`.
    pub(in super::super) fn mutant(
        source: &str,
        (first, last): (usize, usize),
        old: &str,
        new: &str,
    ) -> Mutant {
        let at = source.find(old).expect("it is there");
        let line = source[..at].matches('\n').count() + 1;
        let column = at - source[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
        let width = source.lines().nth(last - 1).expect("a line").chars().count();
        let change = format!("replace {old} with {new}");
        Mutant {
            name: format!("a.rs:{line}:{column}: {change}"),
            file: "a.rs".to_owned(),
            change,
            function: Some(Span { start: (first, 1), end: (last, width + 1) }),
            span: Span { start: (line, column), end: (line, column + old.len()) },
            replacement: new.to_owned(),
        }
    }

    #[test]
    fn what_the_tool_lists_is_read() {
        let json = r#"[{"name": "a.rs:7:9: replace < with <= in f", "file": "a.rs", "package": "a",
            "function": {"function_name": "f", "return_type": "",
                "span": {"start": {"line": 6, "column": 1}, "end": {"line": 8, "column": 2}}},
            "span": {"start": {"line": 7, "column": 9}, "end": {"line": 7, "column": 10}},
            "replacement": "<=", "genre": "BinaryOperator"}]"#;
        let [mutant] = &Mutant::parse_list(json).expect("a list")[..] else { panic!("one mutant") };
        assert_eq!(mutant.change, "replace < with <= in f");
        assert_eq!(mutant.span, Span { start: (7, 9), end: (7, 10) });
        assert_eq!(mutant.function, Some(Span { start: (6, 1), end: (8, 2) }));
        assert!(Mutant::parse_list("[{}]").is_err());
    }
}
