//! The figures for people.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use comfy_table::{Attribute, Cell, CellAlignment, Color, LineStyle, Table, TableStyle};

use super::{PREDECESSOR, Report};
use crate::demo::Plan;
use crate::demo::engines::{ALL, Workload};
use crate::demo::rounds::Measured;
use crate::size::{count, grouped, human};

/// A line under the header, nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Where there is nothing to say.
const NOTHING: &str = "–";

const HEADER: [&str; 10] = [
    "engine",
    "median ms",
    "min ms",
    "× SQLite",
    "syncs",
    "written",
    "heap",
    "heap calls",
    "settle ms",
    "durable",
];

/// Prints the report.
pub(crate) fn print(report: &Report) -> Result<()> {
    let stdout = std::io::stdout();
    let colours = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
    stdout.lock().write_all(text(report, colours)?.as_bytes())?;
    Ok(())
}

/// The whole text.
pub(super) fn text(report: &Report, colours: bool) -> Result<String> {
    let mut text = String::new();
    let plan = report.plan;
    let filesystem = report.kept.filesystem.as_deref().unwrap_or("an unknown file system");
    let (records, updates) = (grouped(plan.records.into()), grouped(plan.updates.into()));
    writeln!(
        text,
        "{records} records, {updates} random updates, {} on {filesystem}, interleaved.",
        count(report.rounds.into(), "round", "rounds")
    )?;
    if filesystem == "tmpfs" {
        writeln!(
            text,
            "This is memory, not a disk: syncs cost nothing here. Choose a directory on a disk with --dir."
        )?;
    }
    for workload in Workload::ALL {
        writeln!(text, "\n{}", title(workload, report, colours))?;
        writeln!(text, "{}", table(report, workload, colours))?;
    }
    text.push_str(&legend(report)?);
    text.push_str(&ending(report)?);
    Ok(text)
}

fn title(workload: Workload, report: &Report, colours: bool) -> String {
    let updates = grouped(report.plan.updates.into());
    let what = match workload {
        Workload::Load => format!("{} records stored, durable together", grouped(report.plan.records.into())),
        Workload::UpdateBatch => format!("{updates} updates made durable together"),
        Workload::UpdateSingle => format!("{updates} updates, each durable before the next"),
        Workload::UpdateBuffered => format!("{updates} relaxed updates and one sync at the end"),
        Workload::Select => format!("all records read, those with age > {} returned", Plan::AGE),
    };
    let name = workload.name();
    if colours { format!("\x1b[1m{name}\x1b[0m · {what}") } else { format!("{name} · {what}") }
}

fn table(report: &Report, workload: Workload, colours: bool) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    if colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(HEADER);
    let best = report.of(workload).map(|line| line.series.median_ms()).fold(f64::INFINITY, f64::min);
    for line in report.of(workload) {
        table.add_row(row(report, line, best, colours));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn row(report: &Report, line: &Measured, best: f64, colours: bool) -> Vec<Cell> {
    let median = line.series.median_ms();
    let mut cells = vec![Cell::new(line.engine), Cell::new(milliseconds(median))];
    if colours && line.engine.starts_with("blockyard-") {
        cells[0] = Cell::new(line.engine).add_attribute(Attribute::Bold);
    }
    if colours && median <= best {
        cells[1] = Cell::new(milliseconds(median)).fg(Color::Green);
    }
    let durable = if line.workload.durable() { "yes" } else { NOTHING };
    cells.extend([
        Cell::new(milliseconds(line.series.min_ms())),
        Cell::new(report.ratio(line).map_or_else(unknown, |ratio| format!("{ratio:.2}"))),
        Cell::new(line.series.median_of(|cost| cost.syncs).map_or_else(unknown, grouped)),
        Cell::new(line.series.median_of(|cost| cost.bytes_written).map_or_else(unknown, human)),
        Cell::new(line.series.median_of(|cost| Some(cost.heap_bytes)).map_or_else(unknown, human)),
        Cell::new(line.series.median_of(|cost| Some(cost.heap_calls)).map_or_else(unknown, grouped)),
        Cell::new(if line.workload.durable() {
            milliseconds(line.settling.median_ms())
        } else {
            NOTHING.to_owned()
        }),
        match &line.problem {
            None => Cell::new(durable),
            Some(_) if colours => Cell::new("WRONG").fg(Color::Red),
            Some(_) => Cell::new("WRONG"),
        },
    ]);
    cells
}

fn legend(report: &Report) -> Result<String> {
    let mut text = String::from("\n");
    for kind in &ALL {
        writeln!(text, "  {:18} {}", kind.name, kind.about)?;
    }
    writeln!(
        text,
        "  {:18} what the engine put off: its journal folded into its home after the clock stopped",
        "settle ms"
    )?;
    writeln!(
        text,
        "\nblockyard-old knows no batch: the same runs are its figures in both tables of durable updates."
    )?;
    writeln!(text, "{PREDECESSOR}")?;
    writeln!(text, "All of this took {:.1} s.", report.seconds)?;
    Ok(text)
}

fn ending(report: &Report) -> Result<String> {
    let mut text = String::from("\n");
    let (check, file) = (&report.check, report.kept.file.display());
    let problems = report.problems();
    for problem in &problems {
        writeln!(text, "WRONG: {problem}")?;
    }
    if problems.is_empty() {
        writeln!(
            text,
            "Verified: every engine agrees with the model after every workload; the Blockyard file was opened again, \
             all its {} blocks ({}) match their digests and the model, byte for byte.",
            grouped(check.blocks),
            human(check.bytes)
        )?;
    }
    writeln!(
        text,
        "The file lies at {file} ({}). Look into it: blockyard ls --long {file}",
        human(check.file_bytes)
    )?;
    if let Some(work) = &report.kept.work {
        writeln!(text, "The files of all engines are kept in {}", work.display())?;
    }
    Ok(text)
}

fn unknown() -> String {
    "n/a".to_owned()
}

/// Three digits that matter.
fn milliseconds(ms: f64) -> String {
    match ms {
        _ if ms >= 100.0 => format!("{ms:.0}"),
        _ if ms >= 10.0 => format!("{ms:.1}"),
        _ if ms >= 1.0 => format!("{ms:.2}"),
        _ => format!("{ms:.3}"),
    }
}
