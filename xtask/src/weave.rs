//! All mutants in one build, and all planted bugs: each function's body is there once as it is and once for each
//! change, and a number in the environment says which of them runs. So the engine is compiled once and not once a
//! change.
//!
//! ```text
//! fn f(&self) -> u64 {                  fn f(&self) -> u64 { match crate::mutant::number() {
//!     self.a + self.b            =>     17 => { self.a - self.b }
//! }                                     _ => { self.a + self.b } } }
//! ```
//!
//! A function that returns an `impl Trait` has to return the same type in every body; its changes are left for
//! builds of their own, and so are those of a function within another. A constant function cannot ask for a number:
//! it is woven as an ordinary one where the engine compiles with that, and left else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};

/// The variable that holds the number of the change.
pub(crate) const NUMBER: &str = "BLOCKYARD_MUTANT";

/// What the crate is given to ask for the number.
const ASK: &str = r#"
mod mutant {
    extern crate std;
    static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    pub(crate) fn number() -> u32 {
        *NUMBER.get_or_init(|| std::env::var("BLOCKYARD_MUTANT").map_or(0, |it| it.parse().expect("a number")))
    }
}
"#;

/// A line and a column, counted from one, and those where the next thing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: (usize, usize),
    pub(crate) end: (usize, usize),
}

impl Span {
    /// From bytes.
    pub(crate) fn of(source: &str, range: Range<usize>) -> Self {
        let place = |at: usize| {
            let before = &source[..at];
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            (line_of(before), column)
        };
        Self { start: place(range.start), end: place(range.end) }
    }
}

/// A change within a function, and what it belongs to: several may belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// The mutant's or the bug's.
    pub(crate) index: usize,
    pub(crate) file: &'a str,
    pub(crate) function: Option<Span>,
    /// What is replaced, and by what.
    pub(crate) span: Span,
    pub(crate) replacement: &'a str,
}

/// Where in the woven files the changes are.
#[derive(Debug, Default)]
pub(crate) struct Woven {
    /// File, lines and index of each.
    places: Vec<(String, Range<usize>, usize)>,
}

impl Woven {
    pub(crate) fn indexes(&self) -> BTreeSet<usize> {
        self.places.iter().map(|(.., index)| *index).collect()
    }

    /// How many changes of this index there are.
    pub(crate) fn count(&self, index: usize) -> usize {
        self.places.iter().filter(|(.., of)| *of == index).count()
    }

    /// Both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.places.extend(other.places);
        self
    }

    /// What the code at this line belongs to.
    pub(crate) fn at(&self, file: &str, line: usize) -> Option<usize> {
        let found = self.places.iter().find(|(of, lines, _)| of == file && lines.contains(&line));
        found.map(|(.., index)| *index)
    }
}

/// What becomes of constant functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constant {
    /// They are constant no more.
    Woven,
    Left,
}

const CONSTANT: &str = "const fn ";

/// The number of a change in the environment; 0 is none.
pub(crate) const fn number(index: usize) -> usize {
    index + 1
}

/// Writes the changes into the files of `tree`, but for what cannot be woven. `krate` is the file of the crate's root.
pub(crate) fn weave<'a>(
    tree: &Path,
    krate: &str,
    changes: impl IntoIterator<Item = Change<'a>>,
    constant: Constant,
) -> Result<Woven> {
    let mut files: BTreeMap<&str, Vec<Change<'_>>> = BTreeMap::new();
    for change in changes {
        files.entry(change.file).or_default().push(change);
    }
    let mut woven = Woven::default();
    for (file, changes) in files {
        let path = tree.join(file);
        let source = std::fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let (text, places) = weave_file(&source, &changes, constant);
        std::fs::write(&path, text)?;
        woven.places.extend(places.into_iter().map(|(lines, index)| (file.to_owned(), lines, index)));
    }
    let root = tree.join(krate);
    let text = std::fs::read_to_string(&root)? + ASK;
    std::fs::write(root, text)?;
    Ok(woven)
}

/// A file with one change in it.
pub(crate) fn changed(source: &str, span: &Span, replacement: &str) -> String {
    let span = Offsets::new(source).range(span);
    [&source[..span.start], replacement, " ", &source[span.end..]].concat()
}

type Places = Vec<(Range<usize>, usize)>;

fn weave_file(source: &str, changes: &[Change<'_>], constant: Constant) -> (String, Places) {
    let offsets = Offsets::new(source);
    let mut functions: BTreeMap<(usize, usize), Vec<&Change<'_>>> = BTreeMap::new();
    for change in changes {
        if let Some(function) = &change.function {
            let Range { start, end } = offsets.range(function);
            functions.entry((start, end)).or_default().push(change);
        }
    }
    let (mut text, mut places, mut done) = (String::new(), Places::new(), 0);
    for ((start, end), changes) in functions {
        let Some(body) = body(source, start..end).filter(|body| body.start >= done) else {
            continue;
        };
        let before = &source[done..body.start];
        match before.rsplit_once(CONSTANT).filter(|_| source[start..body.start].contains(CONSTANT)) {
            None => text.push_str(before),
            Some(_) if constant == Constant::Left => continue,
            Some((before, name)) => text.extend([before, "fn ", name]),
        }
        text.push_str("{ match crate::mutant::number() {");
        for Change { index, span, replacement, .. } in changes {
            let span = offsets.range(span);
            if span.start < body.start || span.end > body.end {
                continue;
            }
            text.push('\n');
            let first = line_of(&text);
            let (before, after) = (&source[body.start..span.start], &source[span.end..body.end]);
            // Writing to a string cannot fail.
            let _ = write!(text, "{} => {before}{replacement} {after}", number(*index));
            places.push((first..line_of(&text) + 1, *index));
        }
        let _ = write!(text, "\n_ => {} }} }}", &source[body.clone()]);
        done = body.end;
    }
    text.push_str(&source[done..]);
    (text, places)
}

fn line_of(text: &str) -> usize {
    text.matches('\n').count() + 1
}

/// The braces of a function's body and what is in them, if several bodies can stand there.
pub(crate) fn body(source: &str, function: Range<usize>) -> Option<Range<usize>> {
    let start = function.start + opening_brace(source.get(function.clone())?)?;
    let signature = &source[function.start..start];
    let returned = signature.rsplit_once("->").map_or("", |(_, returned)| returned);
    (!returned.contains("impl ") && source[..function.end].ends_with('}')).then_some(start..function.end)
}

/// The first brace behind attributes, comments and arguments.
fn opening_brace(function: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(letter) = function[at..].chars().next() {
        let rest = &function[at..];
        match letter {
            '{' if depth == 0 => return Some(at),
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.checked_sub(1)?,
            '/' if rest.starts_with("//") => at += rest.find('\n')?,
            '"' => at += end_of_text(rest)?,
            _ => {}
        }
        at += function[at..].chars().next()?.len_utf8();
    }
    None
}

/// Where the second quotation mark is.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(at, letter)| {
        let ends = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// From lines and columns, which count letters from one, to bytes.
struct Offsets<'a> {
    source: &'a str,
    lines: Vec<usize>,
}

impl<'a> Offsets<'a> {
    fn new(source: &'a str) -> Self {
        let behind = source.match_indices('\n').map(|(at, _)| at + 1);
        Self { source, lines: std::iter::once(0).chain(behind).collect() }
    }

    fn range(&self, span: &Span) -> Range<usize> {
        self.offset(span.start)..self.offset(span.end)
    }

    fn offset(&self, (line, column): (usize, usize)) -> usize {
        let start = self.lines.get(line - 1).copied().unwrap_or(self.source.len());
        let letters = self.source[start..].char_indices().map(|(at, _)| at);
        letters.chain([self.source.len() - start]).nth(column - 1).map_or(self.source.len(), |at| start + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The change of the first `old` in the function from line `first` to `last`.
    fn change<'a>(
        index: usize,
        source: &str,
        (first, last): (usize, usize),
        old: &str,
        new: &'a str,
    ) -> Change<'a> {
        let at = source.find(old).expect("it is there");
        let width = source.lines().nth(last - 1).expect("a line").chars().count();
        let function = Some(Span { start: (first, 1), end: (last, width + 1) });
        let span = Span::of(source, at..at + old.len());
        Change { index, file: "a.rs", function, span, replacement: new }
    }

    #[test]
    fn each_change_has_a_body_of_its_own() {
        let source = "/// {\nfn f(a: [u8; 2]) -> bool {\n    a < b &&\n        c\n}\nfn g() {}\n";
        let changes = [(6, "<", "<="), (8, "&&", "||")];
        let changes = changes.map(|(index, old, new)| change(index, source, (1, 5), old, new));
        let (text, places) = weave_file(source, &changes, Constant::Left);
        let expected = "/// {\nfn f(a: [u8; 2]) -> bool { match crate::mutant::number() {\n\
            7 => {\n    a <=  b &&\n        c\n}\n\
            9 => {\n    a < b || \n        c\n}\n\
            _ => {\n    a < b &&\n        c\n} } }\nfn g() {}\n";
        assert_eq!(text, expected);
        assert_eq!(places, [(3..7, 6), (7..11, 8)]);
        assert_eq!(changed(source, &changes[1].span, "||"), source.replace("&&", "|| "));
        let woven = Woven { places: vec![("a.rs".to_owned(), 3..7, 6)] };
        assert_eq!((woven.at("a.rs", 6), woven.at("a.rs", 7), woven.at("b.rs", 6)), (Some(6), None, None));
    }

    #[test]
    fn what_cannot_ask_or_hides_its_type_is_left() {
        let weave = |signature: &str, constant| {
            let source = format!("{signature} {{\n    1 + 2\n}}\n");
            let change = change(0, &source, (1, 3), "+", "-");
            let (text, places) = weave_file(&source, &[change], constant);
            assert_eq!(places.is_empty(), text == source);
            text
        };
        weave("fn f() -> impl Fn(u8)", Constant::Woven);
        assert!(weave("const fn f() -> u8", Constant::Left).starts_with("const fn f() -> u8 {\n    1 + 2"));
        assert!(weave("pub const fn f() -> u8", Constant::Woven).starts_with("pub fn f() -> u8 { match"));
    }

    #[test]
    fn a_body_begins_behind_attributes_comments_and_arguments() {
        for before in ["#[a(\"{\\\"{\")]\nfn f(g: [u8; { 2 }]) ", "// {\nfn f<'a>() "] {
            assert_eq!(opening_brace(&format!("{before}{{}}")), Some(before.len()), "{before}");
        }
    }
}
