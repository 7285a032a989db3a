//! Tables in Markdown: goals, an overview of each size, every figure, footprints, settings.

use std::fmt::Write as _;

use super::goals;
use super::words::{bytes, digits, ratio, shown, time};
use crate::results::{Figure, Results, Setting, SizeResults};
use crate::workloads::Unit;

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let line = cells.into_iter().fold("|".to_owned(), |line, cell| line + " " + &cell + " |");
    text.push_str(&line);
    text.push('\n');
}

fn head(text: &mut String, cells: &[&str]) {
    row(text, cells.iter().map(|&cell| cell.to_owned()));
    row(text, cells.iter().map(|_| "---".to_owned()));
}

/// Everything; `charts` names each size's picture.
pub(super) fn markdown(results: &Results, charts: &[(String, String)]) -> String {
    let mut text = String::from("# Blockyard beside other engines\n\n");
    preface(&mut text, results);
    goal_table(&mut text, results);
    for size in &results.sizes {
        let chart = charts.iter().find(|(name, _)| *name == size.name).map(|(_, file)| file.as_str());
        one_size(&mut text, size, chart);
    }
    settings(&mut text, &results.settings);
    text
}

fn preface(text: &mut String, results: &Results) {
    let machine = &results.machine;
    let minutes = digits(results.seconds / 60.0);
    let _ = writeln!(
        text,
        "Written by `cargo xtask compare`, plan {}, in {minutes} minutes. {}, {} threads; {}; {}; load average {} when it began.\n",
        results.plan,
        machine.processor,
        machine.threads,
        machine.kernel,
        machine.file_system,
        digits(machine.load)
    );
    let _ = writeln!(
        text,
        "One process. The engines are all open and take turns in an order that changes; every round of a turn meets the \
         same moods of the disk. A ratio is taken within a round: its median, and in brackets the least and the most of \
         the rounds. Below 1 is quicker than what it is compared with. Each engine has {} of cache, as far as it has one. \
         Values are not compressible. Each record, every byte, was compared with what was written, before, during and \
         after. Heap traffic is from a round of its own; engines in C have a heap that is not seen.\n",
        bytes(results.cache as f64)
    );
    if let Some((median, best)) = unsteady(results) {
        let _ = writeln!(
            text,
            "**The disk was not steady:** a write and a sync in place took {} at best and {} in the median. A disk with a budget \
             answers in steps once that is spent, and then every engine with one sync takes as long. Ratios of this run say \
             little; the best times, and their ratio to the floor's best, say more.\n",
            time(best),
            time(median)
        );
    }
}

/// The floor's median and best durable write, if they lie far apart.
fn unsteady(results: &Results) -> Option<(f64, f64)> {
    const FAR: f64 = 4.0;
    let floors = results.sizes.iter().filter_map(|size| size.figure("single", 0, "raw"));
    let found = floors.map(|floor| (floor.p50, floor.minimum)).filter(|(median, best)| median / best > FAR);
    found.max_by(|(a, _), (b, _)| a.total_cmp(b))
}

fn goal_table(text: &mut String, results: &Results) {
    let goals = goals::goals(results);
    if !goals.is_empty() {
        text.push_str("## Where Blockyard has to stand\n\n");
        head(text, &["work", "goal", "measured", "reached"]);
        for goal in goals {
            let met = goal.met.map_or("partly measured", |met| if met { "yes" } else { "**no**" });
            row(text, [goal.work, goal.wanted.to_owned(), goal.measured, met.to_owned()]);
        }
        text.push('\n');
    }
    if let Some(rows) = goals::predecessor_rows(results) {
        text.push_str("## The predecessor's table\n\n");
        head(text, &["work", "the predecessor, then", "blockyard", "directory", "sqlite"]);
        rows.into_iter().for_each(|cells| row(text, cells));
        text.push('\n');
    }
}

/// Each series once, in order.
pub(super) fn series(size: &SizeResults) -> Vec<Vec<&Figure>> {
    let mut groups: Vec<Vec<&Figure>> = Vec::new();
    for figure in &size.figures {
        match groups.last_mut() {
            Some(group) if group[0].workload == figure.workload && group[0].series == figure.series => {
                group.push(figure);
            }
            _ => groups.push(vec![figure]),
        }
    }
    groups
}

fn one_size(text: &mut String, size: &SizeResults, chart: Option<&str>) {
    let _ = writeln!(text, "## {}\n", capital(&size.title));
    if let Some(chart) = chart {
        let _ = writeln!(text, "![{}]({chart})\n", size.title);
    }
    for group in series(size) {
        one_series(text, &group);
    }
    footprints(text, size);
}

fn capital(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn one_series(text: &mut String, group: &[&Figure]) {
    let [first, ..] = group else { return };
    let _ = writeln!(text, "### {}\n", capital(&first.title));
    let heap = group.iter().any(|figure| figure.heap_bytes.is_some());
    let written = group.iter().any(|figure| figure.bytes > 0.0 || figure.syncs > 0.0);
    let latency = first.unit == Unit::Time;
    let to_floor = format!("to {}", first.floor);
    let mut names = vec!["engine", "median"];
    names.extend(latency.then_some("p99"));
    let best_to_floor = format!("best to {}'s", first.floor);
    names.extend(["best", &to_floor, "to the best peer", &best_to_floor]);
    let floor = group.iter().find(|figure| figure.engine == first.floor).map(|floor| floor.minimum);
    if written {
        names.extend(["syncs", "written"]);
    }
    if heap {
        names.extend(["heap", "heap calls", "heap peak"]);
    }
    head(text, &names);
    for figure in group {
        let mut cells = vec![figure.engine.clone(), shown(figure.p50, figure.unit)];
        cells.extend(latency.then(|| shown(figure.p99, figure.unit)));
        cells.push(shown(figure.minimum, figure.unit));
        cells.push(ratio(figure.to_floor.filter(|_| figure.engine != figure.floor)));
        let peer = figure.best_peer.as_deref().unwrap_or_default();
        cells.push(figure.to_best_peer.map_or_else(|| "–".to_owned(), |it| ratio(Some(it)) + " " + peer));
        let best = floor.filter(|_| figure.engine != figure.floor).map(|floor| figure.minimum / floor);
        cells.push(best.map_or_else(|| "–".to_owned(), digits));
        if written {
            cells.extend([digits(figure.syncs), bytes(figure.bytes)]);
        }
        if heap {
            cells.push(figure.heap_bytes.map_or_else(|| "not seen".to_owned(), bytes));
            cells.push(figure.heap_calls.map_or_else(|| "–".to_owned(), digits));
            cells.push(figure.heap_peak.map_or_else(|| "–".to_owned(), |peak| bytes(peak as f64)));
        }
        row(text, cells);
    }
    text.push('\n');
}

fn footprints(text: &mut String, size: &SizeResults) {
    let payload = size.records as f64 * size.length as f64;
    if size.records == 0 {
        return;
    }
    let _ = writeln!(text, "### What {} of values take up\n", bytes(payload));
    let names = [
        "engine",
        "heap in use after the load",
        "files",
        "on disk",
        "files after all workloads",
        "on disk",
        "writes not seen",
    ];
    head(text, &names);
    for it in &size.footprints {
        let heap = it.live_heap.map_or_else(|| "in C, not seen".to_owned(), |heap| bytes(heap as f64));
        let missed = it.uncounted.map_or_else(|| "–".to_owned(), |missed| bytes(missed as f64));
        let sizes = [it.loaded_length, it.loaded_disk, it.final_length, it.final_disk];
        let sizes = sizes.map(|size| bytes(size as f64));
        row(text, [it.engine.clone(), heap].into_iter().chain(sizes).chain([missed]));
    }
    text.push('\n');
}

fn settings(text: &mut String, settings: &[Setting]) {
    text.push_str("## Settings\n\nDurable means the same for all: the change survives a power cut when the call returns.\n\n");
    settings_table(text, settings);
}

/// The settings alone.
pub(crate) fn settings_table(text: &mut String, settings: &[Setting]) {
    head(text, &["engine", "version", "durable", "relaxed, and its sync", "reads", "other"]);
    for it in settings {
        let version = it.version.clone().unwrap_or_else(|| "–".to_owned());
        row(text, [&it.engine, &version, &it.durable, &it.relaxed, &it.reads, &it.other].map(Clone::clone));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_as_many_cells_in_every_row() {
        let mut text = String::new();
        head(&mut text, &["a", "b"]);
        row(&mut text, ["1".to_owned(), "2".to_owned()]);
        assert_eq!(text, "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
        assert_eq!(capital("a scan"), "A scan");
    }
}
