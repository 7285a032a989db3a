//! What is wrong with a struct by itself, and what differs between document and code.

use std::collections::HashSet;

use super::layout::{Field, Struct};

/// Gaps, overlaps, repeated names and a wrong total in one struct; `side` says whose it is.
pub(crate) fn flaws(side: &str, of: &Struct) -> Vec<String> {
    let name = &of.name;
    let mut found = Vec::new();
    let mut end = 0;
    let mut seen = HashSet::new();
    for field in &of.fields {
        if field.offset != end {
            let Field { name: field, offset, .. } = field;
            found.push(format!(
                "{side}: `{name}`: `{field}` starts at {offset}, but {end} bytes come before it"
            ));
        }
        if !seen.insert(&field.name) {
            found.push(format!("{side}: `{name}`: `{}` is there twice", field.name));
        }
        end = field.offset.saturating_add(field.size);
    }
    if end != of.size {
        found.push(format!("{side}: `{name}` has {} bytes, but its fields end at {end}", of.size));
    }
    found
}

/// Every difference, in the order of the code, then what only the document has.
pub(crate) fn differences(document: &[Struct], code: &[Struct]) -> Vec<String> {
    let mut found = repeated(document, "FORMAT.md");
    found.extend(repeated(code, "the code"));
    for ours in code {
        match document.iter().find(|it| it.name == ours.name) {
            Some(theirs) => found.extend(struct_differences(theirs, ours)),
            None => found.push(format!("`{}` is missing in FORMAT.md", ours.name)),
        }
    }
    let unknown = document.iter().filter(|it| code.iter().all(|ours| ours.name != it.name));
    found.extend(unknown.map(|it| format!("`{}` is missing in the code", it.name)));
    found
}

fn repeated(structs: &[Struct], side: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let twice = structs.iter().filter(|it| !seen.insert(&it.name));
    twice.map(|it| format!("`{}` is there twice in {side}", it.name)).collect()
}

fn struct_differences(document: &Struct, code: &Struct) -> Vec<String> {
    let name = &code.name;
    let mut found = Vec::new();
    if document.size != code.size {
        found
            .push(format!("`{name}` has {} bytes in FORMAT.md and {} in the code", document.size, code.size));
    }
    for ours in &code.fields {
        match document.fields.iter().find(|it| it.name == ours.name) {
            Some(theirs) => found.extend(field_differences(name, theirs, ours)),
            None => found.push(format!("`{name}`: `{}` is missing in FORMAT.md", ours.name)),
        }
    }
    let unknown = document.fields.iter().filter(|it| code.fields.iter().all(|ours| ours.name != it.name));
    found.extend(unknown.map(|it| format!("`{name}`: `{}` is missing in the code", it.name)));
    found
}

fn field_differences(of: &str, document: &Field, code: &Field) -> Vec<String> {
    let name = &code.name;
    let mut found = Vec::new();
    if document.offset != code.offset {
        let (theirs, ours) = (document.offset, code.offset);
        found.push(format!("`{of}`: `{name}` is at offset {theirs} in FORMAT.md and at {ours} in the code"));
    }
    if document.size != code.size {
        let (theirs, ours) = (document.size, code.size);
        found.push(format!("`{of}`: `{name}` has {theirs} bytes in FORMAT.md and {ours} in the code"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, size: u64, fields: &[(&str, u64, u64)]) -> Struct {
        let field = |&(name, offset, size): &(&str, u64, u64)| Field { name: name.into(), offset, size };
        Struct { name: name.into(), size, fields: fields.iter().map(field).collect() }
    }

    #[test]
    fn a_dense_struct_has_no_flaw() {
        assert_eq!(flaws("code", &sample("A", 6, &[("a", 0, 4), ("b", 4, 2)])), [""; 0]);
    }

    #[test]
    fn gaps_overlaps_repeats_and_totals_are_flaws() {
        let bad = sample("A", 9, &[("a", 1, 4), ("b", 4, 2), ("a", 6, 2)]);
        assert_eq!(
            flaws("FORMAT.md", &bad),
            [
                "FORMAT.md: `A`: `a` starts at 1, but 0 bytes come before it",
                "FORMAT.md: `A`: `b` starts at 4, but 5 bytes come before it",
                "FORMAT.md: `A`: `a` is there twice",
                "FORMAT.md: `A` has 9 bytes, but its fields end at 8",
            ]
        );
    }

    #[test]
    fn a_size_at_the_limit_does_not_overflow() {
        assert_eq!(
            flaws("FORMAT.md", &sample("A", u64::MAX, &[("a", 0, u64::MAX), ("b", u64::MAX, 1)])),
            [""; 0]
        );
    }

    #[test]
    fn both_directions_are_compared() {
        let document =
            [sample("A", 4, &[("a", 0, 2), ("old", 2, 2)]), sample("Gone", 0, &[]), sample("A", 4, &[])];
        let code = [sample("A", 5, &[("a", 0, 1), ("new", 1, 4)]), sample("Fresh", 0, &[])];
        assert_eq!(
            differences(&document, &code),
            [
                "`A` is there twice in FORMAT.md",
                "`A` has 4 bytes in FORMAT.md and 5 in the code",
                "`A`: `a` has 2 bytes in FORMAT.md and 1 in the code",
                "`A`: `new` is missing in FORMAT.md",
                "`A`: `old` is missing in the code",
                "`Fresh` is missing in FORMAT.md",
                "`Gone` is missing in the code",
            ]
        );
    }
}
