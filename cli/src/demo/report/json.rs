//! The figures for machines. The keys are stable; new ones may be added.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::Report;
use crate::demo::Plan;
use crate::demo::rounds::Measured;

/// Prints the report as one JSON object.
pub(crate) fn print(report: &Report) -> Result<()> {
    let text = serde_json::to_string_pretty(&object(report))?;
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// The report as one object.
pub(super) fn object(report: &Report) -> Value {
    let problems = report.problems();
    json!({
        "records": report.plan.records,
        "updates": report.plan.updates,
        "rounds": report.rounds,
        "select_age_above": Plan::AGE,
        "filesystem": report.kept.filesystem,
        "seconds": rounded(report.seconds),
        "results": report.results.iter().map(|line| row(report, line)).collect::<Vec<_>>(),
        "predecessor": {
            "update_ms": 506.0,
            "directory_update_ms": 8.8,
            "pages_update_ms": 8.5,
            "sqlite_update_ms": 6.4,
            "select_ms": 4.1,
            "directory_select_ms": 0.91,
            "heap_bytes": 8_300_000,
        },
        "file": report.kept.file.to_string_lossy(),
        "file_bytes": report.check.file_bytes,
        "file_blocks": report.check.blocks,
        "kept": report.kept.work.as_ref().map(|work| work.to_string_lossy()),
        "verified": problems.is_empty(),
        "problems": problems,
    })
}

/// One engine at one workload. A figure that this system cannot count is null.
fn row(report: &Report, line: &Measured) -> Value {
    json!({
        "engine": line.engine,
        "workload": line.workload.name(),
        "median_ms": rounded(line.series.median_ms()),
        "min_ms": rounded(line.series.min_ms()),
        "ratio_to_sqlite": report.ratio(line).map(rounded),
        "syncs": line.series.median_of(|cost| cost.syncs),
        "bytes_written": line.series.median_of(|cost| cost.bytes_written),
        "heap_bytes": line.series.median_of(|cost| Some(cost.heap_bytes)),
        "heap_calls": line.series.median_of(|cost| Some(cost.heap_calls)),
        "durable": line.workload.durable(),
        "durability": line.workload.durability(),
        "settle_ms": rounded(line.settling.median_ms()),
        "settle_bytes_written": line.settling.median_of(|cost| cost.bytes_written),
        "samples": line.series.len(),
        "verified": line.problem.is_none(),
    })
}

/// Microseconds are enough.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
