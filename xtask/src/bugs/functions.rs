//! What a patch changes, as bodies of functions: those can be woven into one build ([`crate::weave`]).
//!
//! Functions are told by their layout, which rustfmt makes and the step `fmt` checks: a function ends at the first
//! brace as far to the right as its first line.

use std::ops::Range;

use crate::weave::{Change, Span, body};

/// A function's body in another version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) file: String,
    function: Span,
    body: Span,
    replacement: String,
}

impl Piece {
    /// As it is woven in, for the bug of this index.
    pub(super) fn change(&self, index: usize) -> Change<'_> {
        let Self { file, function, body, replacement } = self;
        Change { index, file, function: Some(*function), span: *body, replacement }
    }
}

/// The bodies in which two versions of a file differ; None if they differ elsewhere too.
pub(super) fn pieces(file: &str, before: &str, after: &str) -> Option<Vec<Piece>> {
    let (old, new) = (functions(before), functions(after));
    if old.len() != new.len() {
        return None;
    }
    let (mut pieces, mut done) = (Vec::new(), (0, 0));
    for (old, new) in old.into_iter().zip(new) {
        let bodies = (body(before, old.clone()), body(after, new.clone()));
        // What cannot be woven counts as what stands between functions.
        let (Some(there), Some(here)) = bodies else { continue };
        if before[done.0..there.start] != after[done.1..here.start] {
            return None;
        }
        done = (there.end, here.end);
        if before[there.clone()] != after[here.clone()] {
            pieces.push(Piece {
                file: file.to_owned(),
                function: Span::of(before, old),
                body: Span::of(before, there),
                replacement: after[here].to_owned(),
            });
        }
    }
    (before[done.0..] == after[done.1..]).then_some(pieces)
}

/// The functions that are not within others.
fn functions(source: &str) -> Vec<Range<usize>> {
    let (mut functions, mut at) = (Vec::new(), 0);
    while let Some(line) = source[at..].split_inclusive('\n').next() {
        match is_head(line).then(|| end(source, at)).flatten() {
            Some(end) => {
                functions.push(at..end);
                at = end;
            }
            None => at += line.len(),
        }
    }
    functions
}

/// Whether a function begins in this line.
fn is_head(line: &str) -> bool {
    const BEFORE: [&str; 5] = ["pub", "const", "async", "unsafe", "extern"];
    let mut words = line.split_whitespace().skip_while(|word| {
        // `pub(in super::super)` are two words.
        BEFORE.contains(word) || word.starts_with("pub(") || word.ends_with(')') && !word.contains('(')
    });
    words.next() == Some("fn")
}

/// Where the function that begins at `start` ends; None if it has no body.
fn end(source: &str, start: usize) -> Option<usize> {
    let rest = &source[start..];
    let indent = rest.len() - rest.trim_start_matches(' ').len();
    let mut depth = 0_usize;
    // Brackets may hold braces and semicolons: `[u8; 4]`.
    let brace = rest.char_indices().find_map(|(at, letter)| {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' | ';' if depth == 0 => return Some((at, letter)),
            _ => {}
        }
        None
    });
    let (brace, _) = brace.filter(|(_, letter)| *letter == '{')?;
    let line_end = |at: usize| rest[at..].find('\n').map_or(rest.len(), |end| at + end);
    let first = line_end(brace);
    if rest[..first].ends_with('}') {
        return Some(start + first);
    }
    let closing = format!("\n{:indent$}}}", "");
    let mut at = first;
    loop {
        at += rest[at..].find(&closing)? + closing.len();
        // Not `};` or `} else {`.
        if at == line_end(at) {
            return Some(start + at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "use a;\n\nimpl B {\n    /// {\n    pub(crate) fn f(&self, a: [u8; 2]) -> u8 {\n        \
                          if a {\n            1\n        }\n    }\n\n    fn g();\n\n    const fn h() {}\n}\n\n\
                          fn i()\nwhere\n    A: B,\n{\n    j(|| {\n    });\n}\n";

    #[test]
    fn functions_are_told_by_their_layout() {
        let found: Vec<&str> = functions(SOURCE).into_iter().map(|it| &SOURCE[it]).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].ends_with("        }\n    }"), "{}", found[0]);
        assert_eq!(found[1], "    const fn h() {}");
        assert!(found[2].starts_with("fn i()\nwhere") && found[2].ends_with("    });\n}"), "{}", found[2]);
    }

    #[test]
    fn a_change_of_bodies_is_told_from_any_other() {
        let after = SOURCE
            .replace("            1\n", "            2;\n            3\n")
            .replace("h() {}", "h() { k() }");
        let found = pieces("a.rs", SOURCE, &after).expect("bodies alone");
        let bodies: Vec<&str> = found.iter().map(|it| &*it.replacement).collect();
        assert_eq!(bodies[1], "{ k() }");
        assert!(bodies[0].contains("2;") && bodies[0].starts_with('{') && bodies[0].ends_with("    }"));
        assert_eq!(bodies.len(), 2);
        let elsewhere =
            [("use a", "use b"), ("[u8; 2]", "[u8; 3]"), ("fn g();\n", "fn g() {}\n"), ("A: B", "A: C")];
        for (old, new) in elsewhere {
            assert_eq!(pieces("a.rs", SOURCE, &SOURCE.replace(old, new)), None, "{old}");
        }
        assert_eq!(pieces("a.rs", SOURCE, SOURCE), Some(Vec::new()));
    }
}
