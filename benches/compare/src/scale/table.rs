//! The points as a table.

use std::fmt::Write as _;

use super::{Point, Results};
use crate::report::words::{bytes, digits, time};

const COLUMNS: &[&str] = &[
    "engine",
    "load",
    "disk",
    "open, closed",
    "syncs",
    "open, killed (most)",
    "syncs",
    "read (p99)",
    "a record of a scan",
    "durable commit",
    "500 in a batch",
    "an update of many",
    "files then",
    "disk then",
    "heap",
    "resident",
    "resident then",
];

/// One table for each number of records.
pub(super) fn markdown(results: &Results, picture: Option<&str>) -> String {
    let mut text = String::from("# How each cost grows with the number of records\n\n");
    let machine = &results.machine;
    let _ = writeln!(
        text,
        "Written by `cargo xtask compare scale`. {}, {} threads; {}; {}; load average {} when it began. Values of {}, {} \
         of cache, each engine and number in a process of its own. *Load* is a record in order, until it is closed. *Then* \
         is after {} random updates, 500 in a durable batch. *Killed* is by SIGKILL in the middle of durable commits; \
         every commit that was answered was there. *Resident* is memory of the process that is not a file's.\n",
        machine.processor,
        machine.threads,
        machine.kernel,
        machine.file_system,
        digits(machine.load),
        bytes(results.length as f64),
        bytes(results.cache as f64),
        results.updates
    );
    if let Some(picture) = picture {
        let _ = writeln!(text, "![curves]({picture})\n");
    }
    let ours = results.points.iter().filter(|point| point.engine == "blockyard");
    if let Some(most) = ours.map(|point| point.open_killed).reduce(f64::max) {
        let _ = writeln!(
            text,
            "Goal: Blockyard opens after kill -9 within 20 ms, whatever the number of records. The slowest median of all \
             numbers is {}: {}.\n",
            time(most),
            if most <= 0.020 { "reached" } else { "**not reached**" }
        );
    }
    let mut numbers: Vec<u64> = results.points.iter().map(|point| point.records).collect();
    numbers.dedup();
    for records in numbers {
        let payload = bytes(records as f64 * results.length as f64);
        let _ = writeln!(text, "## {records} records, {payload} of values\n");
        let _ = writeln!(text, "| {} |\n|{}", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len()));
        for point in results.points.iter().filter(|point| point.records == records) {
            let _ = writeln!(text, "| {} |", cells(point).join(" | "));
        }
        text.push('\n');
    }
    text
}

fn cells(point: &Point) -> Vec<String> {
    let size = |size: u64| bytes(size as f64);
    let maybe = |size: Option<u64>| size.map_or_else(|| "not seen".to_owned(), |size| bytes(size as f64));
    vec![
        point.engine.clone(),
        time(point.load),
        size(point.loaded_disk),
        time(point.open_clean),
        point.open_clean_syncs.to_string(),
        format!("{} ({})", time(point.open_killed), time(point.open_killed_most)),
        point.open_killed_syncs.to_string(),
        format!("{} ({})", time(point.read), time(point.read_p99)),
        time(point.scan),
        time(point.single),
        time(point.batch),
        time(point.update),
        size(point.final_length),
        size(point.final_disk),
        maybe(point.live_heap),
        maybe(point.resident),
        maybe(point.resident_final),
    ]
}

#[cfg(test)]
pub(super) fn point(engine: &str, records: u64) -> Point {
    Point {
        engine: engine.to_owned(),
        records,
        payload: records * 256,
        load: 1e-6,
        loaded_disk: records * 300,
        open_clean: 1e-3,
        open_killed: 2e-3,
        open_killed_most: 3e-3,
        open_clean_syncs: 1,
        open_killed_syncs: 2,
        read: 1e-6 * records as f64,
        read_p99: 2e-6,
        scan: 1e-7,
        single: 2e-4,
        batch: 3e-3,
        update: 6e-6,
        final_length: records * 310,
        final_disk: records * 310,
        live_heap: None,
        resident: Some(9 << 20),
        resident_final: Some(10 << 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_as_many_cells_as_the_head() {
        assert_eq!(cells(&point("blockyard", 1000)).len(), COLUMNS.len());
    }
}
