//! `blockyard demo` as a whole: small enough to be quick, and without a word on times.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const KEYS: [&str; 9] = [
    "engine",
    "workload",
    "median_ms",
    "min_ms",
    "syncs",
    "bytes_written",
    "heap_bytes",
    "heap_calls",
    "durable",
];

fn demo(directory: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_blockyard"))
        .args(["demo", "--records", "300", "--updates", "50", "--rounds", "1", "--dir"])
        .arg(directory)
        .args(more)
        .output()
        .expect("the program runs")
}

#[test]
fn json_has_the_stable_keys_and_everything_is_verified() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = demo(directory.path(), &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(report["verified"], true);

    let rows = report["results"].as_array().expect("an array");
    for row in rows {
        for key in KEYS {
            assert!(row.get(key).is_some(), "{key} is missing in {row}");
        }
        assert_eq!(row["verified"], true, "{row}");
        assert_eq!(row["durable"], row["workload"] != "select", "{row}");
    }
    let has =
        |engine, workload| rows.iter().any(|row| row["engine"] == engine && row["workload"] == workload);
    for engine in ["blockyard-old", "blockyard-batch", "directory", "slots", "sqlite"] {
        assert!(has(engine, "update-batch") && has(engine, "select"), "{engine}");
    }
    assert!(has("blockyard-single", "update-single") && has("blockyard-buffered", "update-buffered"));

    let file = Path::new(report["file"].as_str().expect("a path"));
    assert_eq!(file.parent(), Some(directory.path()));
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("listed").collect();
    assert_eq!(left.len(), 1, "only the Blockyard file stays: {left:?}");
    let verified =
        Command::new(env!("CARGO_BIN_EXE_blockyard")).arg("verify").arg(file).output().expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn syncs_are_counted_as_each_engine_must_make_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = demo(directory.path(), &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let syncs = |engine: &str, workload: &str| {
        let rows = report["results"].as_array().expect("an array");
        let row = rows.iter().find(|row| row["engine"] == engine && row["workload"] == workload);
        row.expect("a row")["syncs"].as_u64().expect("a number")
    };
    assert_eq!(syncs("slots", "update-batch"), 1);
    assert_eq!(syncs("slots", "update-single"), 50);
    assert_eq!(syncs("directory", "update-single"), 100, "the file, then the directory");
    assert_eq!(syncs("sqlite", "update-single"), 50);
    assert!(syncs("blockyard-single", "update-single") >= 50, "no durable commit without a sync");
    assert!(syncs("blockyard-batch", "update-batch") < 5, "a batch shares them");
    assert!(syncs("blockyard-old", "update-batch") >= 50, "the old one syncs at every write");
    assert_eq!(syncs("blockyard-batch", "select"), 0, "a read never syncs");
}

#[test]
fn the_table_is_plain_without_a_terminal_and_says_where_the_file_lies() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = demo(directory.path(), &["--keep"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && !text.contains('\x1b'), "{text}");
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");
    assert!(text.contains("update-batch ·") && text.contains("Verified:"), "{text}");
    assert!(text.contains(&format!("The file lies at {}", directory.path().display())), "{text}");
    assert!(text.contains("The files of all engines are kept in"), "{text}");
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    for wrong in [["--rounds", "0"], ["--records", "0"], ["--updates", "many"]] {
        let command =
            Command::new(env!("CARGO_BIN_EXE_blockyard")).arg("demo").args(wrong).output().expect("it runs");
        assert_eq!(command.status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 0);
}
