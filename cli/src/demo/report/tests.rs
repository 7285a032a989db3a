//! The stable keys, the table with and without colours, and what a wrong answer looks like.

use super::*;
use crate::demo::count::Cost;
use crate::demo::stats::Series;

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

fn line(engine: &'static str, workload: Workload, ms: f64) -> Measured {
    let mut series = Series::default();
    series.push(Cost { ms, syncs: Some(3), bytes_written: None, heap_bytes: 2048, heap_calls: 1234 });
    Measured { engine, workload, series, settling: Series::default(), problem: None }
}

fn report() -> Report {
    Report {
        plan: Plan { rounds: Some(1), records: 5000, updates: 500 },
        rounds: 1,
        results: vec![
            line("blockyard-batch", Workload::UpdateBatch, 1.0),
            line(REFERENCE, Workload::UpdateBatch, 4.0),
            line("blockyard-batch", Workload::Select, 0.5),
        ],
        kept: Kept { file: "/tmp/x.by".into(), work: None, filesystem: Some("ext4".to_owned()) },
        check: Check { blocks: 5000, bytes: 600_000, file_bytes: 1 << 21, problems: Vec::new() },
        seconds: 1.0,
    }
}

#[test]
fn every_row_has_the_stable_keys() {
    let object = json::object(&report());
    let rows = object["results"].as_array().expect("an array");
    assert_eq!(rows.len(), 3);
    for row in rows {
        for key in KEYS {
            assert!(row.get(key).is_some(), "{key} is missing in {row}");
        }
    }
    assert_eq!(rows[0]["engine"], "blockyard-batch");
    assert_eq!(rows[0]["workload"], "update-batch");
    assert_eq!(rows[0]["ratio_to_sqlite"], 0.25);
    assert_eq!(rows[0]["syncs"], 3);
    assert!(rows[0]["bytes_written"].is_null(), "what was not counted is not 0");
    assert_eq!((&rows[0]["durable"], &rows[2]["durable"]), (&true.into(), &false.into()));
    assert!(rows[2]["ratio_to_sqlite"].is_null());
    assert_eq!((&object["verified"], &object["file"]), (&true.into(), &"/tmp/x.by".into()));
}

#[test]
fn a_wrong_answer_is_told_in_both_forms() {
    let mut report = report();
    report.results[0].problem = Some("record 7 is missing".to_owned());
    assert_eq!(json::object(&report)["verified"], false);
    assert_eq!(json::object(&report)["results"][0]["verified"], false);
    let text = table::text(&report, false).expect("a text");
    assert!(text.contains("WRONG: blockyard-batch at update-batch") && !text.contains("Verified:"), "{text}");
}

#[test]
fn colours_come_only_when_asked() {
    let plain = table::text(&report(), false).expect("a text");
    assert!(!plain.contains('\x1b') && plain.contains("update-batch") && plain.contains("1,234"), "{plain}");
    assert!(table::text(&report(), true).expect("a text").contains('\x1b'));
}
