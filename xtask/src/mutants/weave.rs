//! All mutants in one build: each function's body is there once as it is and once for each mutant, and
//! a number in the environment says which of them runs. So the engine is compiled once and not once a mutant.
//!
//! ```text
//! fn f(&self) -> u64 {                  fn f(&self) -> u64 { match crate::mutant::number() {
//!     self.a + self.b            =>     17 => { self.a - self.b }
//! }                                     _ => { self.a + self.b } } }
//! ```
//!
//! A function that returns an `impl Trait` has to return the same type in every body; its mutants are left for
//! builds of their own, and so are those of a function within another. A constant function cannot ask for a number:
//! it is woven as an ordinary one where the engine compiles with that, and left else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};

use super::mutant::{Mutant, Span};

/// The variable that holds the number of the mutant.
pub(super) const NUMBER: &str = "BLOCKYARD_MUTANT";

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

/// Where in the woven files the mutants are.
#[derive(Debug, Default)]
pub(super) struct Woven {
    /// File, lines and index of each.
    places: Vec<(String, Range<usize>, usize)>,
}

impl Woven {
    pub(super) fn indexes(&self) -> BTreeSet<usize> {
        self.places.iter().map(|(.., index)| *index).collect()
    }

    /// The mutant whose code is at this line.
    pub(super) fn at(&self, file: &str, line: usize) -> Option<usize> {
        let found = self.places.iter().find(|(of, lines, _)| of == file && lines.contains(&line));
        found.map(|(.., index)| *index)
    }
}

/// What becomes of constant functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constant {
    /// They are constant no more.
    Woven,
    Left,
}

const CONSTANT: &str = "const fn ";

/// The number of a mutant in the environment; 0 is none.
pub(super) const fn number(index: usize) -> usize {
    index + 1
}

/// Writes the mutants into the files of `tree`, but for those in `without` and what cannot be woven. `krate` is the
/// file of the crate's root.
pub(super) fn weave(
    tree: &Path,
    krate: &str,
    mutants: &[Mutant],
    without: &BTreeSet<usize>,
    constant: Constant,
) -> Result<Woven> {
    let mut files: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (index, mutant) in mutants.iter().enumerate().filter(|(index, _)| !without.contains(index)) {
        files.entry(&mutant.file).or_default().push((index, mutant));
    }
    let mut woven = Woven::default();
    for (file, mutants) in files {
        let path = tree.join(file);
        let source = std::fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let (text, places) = weave_file(&source, &mutants, constant);
        std::fs::write(&path, text)?;
        woven.places.extend(places.into_iter().map(|(lines, index)| (file.to_owned(), lines, index)));
    }
    let root = tree.join(krate);
    let text = std::fs::read_to_string(&root)? + ASK;
    std::fs::write(root, text)?;
    Ok(woven)
}

/// A file with one mutant in it.
pub(super) fn mutated(source: &str, mutant: &Mutant) -> String {
    let span = Offsets::new(source).range(&mutant.span);
    [&source[..span.start], &mutant.replacement, " ", &source[span.end..]].concat()
}

type Places = Vec<(Range<usize>, usize)>;

fn weave_file(source: &str, mutants: &[(usize, &Mutant)], constant: Constant) -> (String, Places) {
    let offsets = Offsets::new(source);
    let mut functions: BTreeMap<(usize, usize), Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (index, mutant) in mutants {
        if let Some(function) = &mutant.function {
            let Range { start, end } = offsets.range(function);
            functions.entry((start, end)).or_default().push((*index, mutant));
        }
    }
    let (mut text, mut places, mut done) = (String::new(), Places::new(), 0);
    for ((start, end), mutants) in functions {
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
        for (index, mutant) in mutants {
            let span = offsets.range(&mutant.span);
            if span.start < body.start || span.end > body.end {
                continue;
            }
            text.push('\n');
            let first = line_of(&text);
            let (before, after) = (&source[body.start..span.start], &source[span.end..body.end]);
            // Writing to a string cannot fail.
            let _ = write!(text, "{} => {before}{} {after}", number(index), mutant.replacement);
            places.push((first..line_of(&text) + 1, index));
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
fn body(source: &str, function: Range<usize>) -> Option<Range<usize>> {
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
    use crate::mutants::mutant::tests::mutant;

    #[test]
    fn each_mutant_has_a_body_of_its_own() {
        let source = "/// {\nfn f(a: [u8; 2]) -> bool {\n    a < b &&\n        c\n}\nfn g() {}\n";
        let mutants = [("<", "<="), ("&&", "||")].map(|(old, new)| mutant(source, (1, 5), old, new));
        let (text, places) = weave_file(source, &[(6, &mutants[0]), (8, &mutants[1])], Constant::Left);
        let expected = "/// {\nfn f(a: [u8; 2]) -> bool { match crate::mutant::number() {\n\
            7 => {\n    a <=  b &&\n        c\n}\n\
            9 => {\n    a < b || \n        c\n}\n\
            _ => {\n    a < b &&\n        c\n} } }\nfn g() {}\n";
        assert_eq!(text, expected);
        assert_eq!(places, [(3..7, 6), (7..11, 8)]);
        assert_eq!(mutated(source, &mutants[1]), source.replace("&&", "|| "));
        let woven = Woven { places: vec![("a.rs".to_owned(), 3..7, 6)] };
        assert_eq!((woven.at("a.rs", 6), woven.at("a.rs", 7), woven.at("b.rs", 6)), (Some(6), None, None));
    }

    #[test]
    fn what_cannot_ask_or_hides_its_type_is_left() {
        let weave = |signature: &str, constant| {
            let source = format!("{signature} {{\n    1 + 2\n}}\n");
            let mutant = mutant(&source, (1, 3), "+", "-");
            let (text, places) = weave_file(&source, &[(0, &mutant)], constant);
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
