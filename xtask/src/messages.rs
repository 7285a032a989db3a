//! What cargo says with `--message-format=json`: programs, and where errors are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

/// Programs by the name of what they were built from.
pub(crate) type Programs = BTreeMap<String, PathBuf>;

/// Where the compiler found errors, and its words about them.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    /// File and line.
    pub(crate) places: Vec<(String, usize)>,
    pub(crate) rendered: String,
}

fn messages(output: &str) -> impl Iterator<Item = Value> {
    output.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The programs that a build came to.
pub(crate) fn programs(output: &str) -> Programs {
    let program = |message: Value| {
        let name = message["target"]["name"].as_str()?.to_owned();
        Some((name, PathBuf::from(message["executable"].as_str()?)))
    };
    messages(output).filter_map(program).collect()
}

/// The errors that a build ended in.
pub(crate) fn errors(output: &str) -> Errors {
    let mut errors = Errors::default();
    for message in messages(output).filter(|it| it["message"]["level"] == "error") {
        errors.rendered += message["message"]["rendered"].as_str().unwrap_or_default();
        let spans = message["message"]["spans"].as_array().map_or(&[][..], Vec::as_slice);
        let primary = spans.iter().filter(|span| span["is_primary"] == true);
        errors.places.extend(primary.filter_map(|span| {
            let line = usize::try_from(span["line_start"].as_u64()?).ok()?;
            Some((span["file_name"].as_str()?.to_owned(), line))
        }));
    }
    if errors.rendered.is_empty() {
        output.clone_into(&mut errors.rendered);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_places() {
        let said = r#"{"message": {"level": "error", "rendered": "no such", "spans": [
            {"is_primary": true, "line_start": 7, "file_name": "a.rs"}, {"is_primary": false}]}}"#;
        let Errors { places, rendered } = errors(&said.replace('\n', " "));
        assert_eq!((places, &*rendered), (vec![("a.rs".to_owned(), 7)], "no such"));
        assert_eq!(errors("no cargo here").rendered, "no cargo here");
    }

    #[test]
    fn programs_have_names() {
        let said =
            "noise\n{\"target\": {\"name\": \"it\"}, \"executable\": \"a/it\"}\n{\"executable\": null}";
        assert_eq!(programs(said), Programs::from([("it".to_owned(), PathBuf::from("a/it"))]));
    }
}
