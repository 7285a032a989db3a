//! Writes docs/benchmarks/layers.md from what the benches left in criterion's folder:
//! `layers-report CRITERION_HOME FILE`. Called by `cargo xtask bench`.

mod criterion;
mod words;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use blockyard_benches::figures::{Ladder, Row, Step};
use criterion::Measured;
use words::{kib, machine, time, volume};

/// What is in the table of layers, in the order in which a commit comes by.
const LAYERS: [(&str, &str); 8] = [
    ("digest", "SHA-256"),
    ("queue", "the commit queue: a leader that does nothing"),
    ("journal", "the journal: admit, place, digest and write one record; memory, no overlay"),
    ("free map", "the free map: handing out pages of 512 bytes and writing them; a scan"),
    ("fold", "folding changes into the tree: a whole checkpoint, in memory"),
    ("tree", "the tree: pages at hand"),
    ("open", "opening, in memory: the ring is read once, with a journal three times more"),
    ("shell", "the library over memory: all of it but the disk"),
];

/// The predecessor's own figures: its time in milliseconds, if it told one.
fn predecessor(work: &str) -> &'static str {
    match work {
        work if work.starts_with("500 updates") => "506 ms, 8.3 MB of heap",
        work if work.starts_with("select") => "4.1 ms",
        _ => "–",
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(out)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("two words are needed: criterion's folder and the file to write");
    };
    let measured = criterion::read(&folder)?;
    let table: Vec<Row> = kept(&folder, "predecessor")?;
    let text = report(&measured, &table, &kept(&folder, "fixes")?)?;
    std::fs::write(&out, text).with_context(|| format!("cannot write {}", out.display()))
}

/// Figures that a bench kept.
fn kept<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> Result<T> {
    let path = folder.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run the bench `{name}` first", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn report(measured: &[Measured], table: &[Row], ladder: &Ladder) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "# What each layer costs\n")?;
    writeln!(text, "Written by `cargo xtask bench`; do not edit. Measured on {}.\n", machine())?;
    writeln!(
        text,
        "Times are medians with the 95 % interval of the median, as criterion finds them (the five fixes: \
         with the least and the greatest round). A ratio to the disk and to other engines is what \
         `cargo xtask compare` measures; these tables are for seeing where a change costs. A disk whose budget is \
         spent answers each sync in steps of milliseconds: then look at the least times and at the counts.\n"
    )?;
    layers(&mut text, measured)?;
    predecessors_table(&mut text, measured, table)?;
    fixes(&mut text, ladder)?;
    Ok(text)
}

fn layers(text: &mut String, measured: &[Measured]) -> Result<()> {
    writeln!(text, "## Layers\n")?;
    for (group, title) in LAYERS {
        let members: Vec<&Measured> = measured.iter().filter(|it| it.group == group).collect();
        if members.is_empty() {
            continue;
        }
        writeln!(text, "### {}\n", capital(title))?;
        writeln!(text, "| {group} | of | median | interval | throughput |\n|---|---|---|---|---|")?;
        for it in members {
            let rate = it.throughput.map_or_else(|| "–".to_owned(), |per| volume(per, it.median));
            let (low, high) = it.interval;
            let (function, value) = (&it.function, &it.value);
            let (median, low, high) = (time(it.median), time(low), time(high));
            writeln!(text, "| {function} | {value} | {median} | {low} to {high} | {rate} |")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// A title at the head of a section.
fn capital(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn predecessors_table(text: &mut String, measured: &[Measured], table: &[Row]) -> Result<()> {
    writeln!(text, "## The predecessor's table\n")?;
    writeln!(
        text,
        "5,000 records of 176 bytes; what was written is folded in between the rounds, untimed. Heap and \
         device are counted in warm rounds on a file: an average round's.\n"
    )?;
    writeln!(
        text,
        "| work | on a file | in memory | the predecessor | heap: calls | bytes | peak | syncs | writes | bytes |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    )?;
    for row in table {
        let place = |place: &str| {
            let found = measured
                .iter()
                .find(|it| it.group == format!("predecessor, {place}") && it.value == row.name);
            found.map_or_else(
                || "–".to_owned(),
                |it| format!("{} ({} to {})", time(it.median), time(it.interval.0), time(it.interval.1)),
            )
        };
        let cost = &row.cost;
        writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} | {} | {} | {:.1} | {:.1} | {} |",
            row.name,
            place("on a file"),
            place("in memory"),
            predecessor(&row.name),
            cost.heap(|heap| heap.calls),
            kib(cost.heap(|heap| heap.bytes)),
            kib(cost.heap(|heap| heap.peak)),
            cost.count(|counts| counts.syncs),
            cost.count(|counts| counts.writes),
            kib(cost.count(|counts| counts.bytes)),
        )?;
    }
    writeln!(text)?;
    Ok(())
}

const LADDER_HEAD: &str = "| driver | 500 updates, ms | least to greatest | gain | hoped, ms | its gain | syncs | writes | \
     written | read back | heap: calls | bytes | 500 new records of 4 KiB, ms | growths |\n\
     |---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

fn fixes(text: &mut String, ladder: &Ladder) -> Result<()> {
    writeln!(text, "## The five fixes\n")?;
    writeln!(
        text,
        "One engine, Blockyard's, driven as its predecessor worked (`benches/src/driver.rs` says how), and the \
         predecessor's five fixes switched on one after another by options: checkpoint at every update or \
         journal; every write read back or not; a sync an update or one for many; growth by as little as the engine \
         can or by its default steps; fresh or pooled buffers. The drivers take turns in every round. The predecessor measured 506 ms \
         and hoped for 150, 80, 50 and 30 ms; for the fifth fix, which is about memory, it named no time. Gains \
         are factors to the line above.\n"
    )?;
    writeln!(text, "{LADDER_HEAD}")?;
    let mut above: Option<&Step> = None;
    for step in &ladder.steps {
        let factor = |now: Option<f64>, before: Option<f64>| {
            now.zip(before).map_or_else(|| "–".to_owned(), |(now, before)| format!("{:.2}", before / now))
        };
        let gain = factor(Some(step.update.times.median()), above.map(|above| above.update.times.median()));
        let hope = factor(step.hoped, above.and_then(|above| above.hoped));
        ladder_line(text, step, &gain, &hope)?;
        above = Some(step);
    }
    writeln!(
        text,
        "\nWhat a fix gains depends on those before it, so here each alone is left off (without pooled buffers: \
         the last line but one above). The gain is the factor from such a line to all five.\n"
    )?;
    writeln!(text, "{LADDER_HEAD}")?;
    let all = ladder.steps.last().map_or(f64::NAN, |step| step.update.times.median());
    for step in &ladder.without {
        ladder_line(text, step, &format!("{:.2}", step.update.times.median() / all), "–")?;
    }
    Ok(())
}

fn ladder_line(text: &mut String, step: &Step, gain: &str, hope: &str) -> Result<()> {
    let (update, insert) = (&step.update, &step.insert);
    let (least, most) = update.times.range();
    writeln!(
        text,
        "| {} | {:.2} | {least:.2} to {most:.2} | {gain} | {} | {hope} | {:.1} | {:.1} | {} | {} | {:.0} | {} | {:.2} | {:.1} |",
        step.title,
        update.times.median(),
        step.hoped.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0}")),
        update.count(|counts| counts.syncs),
        update.count(|counts| counts.writes),
        kib(update.count(|counts| counts.bytes)),
        kib(update.count(|counts| counts.read_back)),
        update.heap(|heap| heap.calls),
        kib(update.heap(|heap| heap.bytes)),
        insert.times.median(),
        insert.count(|counts| counts.growths),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_benches::driver::Fixes;
    use blockyard_benches::figures::{Cost, Times};

    fn step(title: &str, hoped: Option<f64>, ms: f64) -> Step {
        let update = Cost { times: Times(vec![ms, ms * 2.0, ms / 2.0]), ..Cost::default() };
        Step { title: title.to_owned(), fixes: Fixes::first(0), hoped, update, insert: Cost::default() }
    }

    #[test]
    fn gains_are_factors_to_the_line_above() {
        let steps = vec![step("old", Some(506.0), 400.0), step("new", Some(150.0), 100.0)];
        let ladder = Ladder { steps, without: vec![step("all but one", None, 300.0)] };
        let mut text = String::new();
        fixes(&mut text, &ladder).expect("text");
        assert!(text.contains("| old | 400.00 | 200.00 to 800.00 | – | 506 | – |"), "{text}");
        assert!(text.contains("| new | 100.00 | 50.00 to 200.00 | 4.00 | 150 | 3.37 |"), "{text}");
        assert!(text.contains("| all but one | 300.00 | 150.00 to 600.00 | 3.00 | – | – |"), "{text}");
    }

    #[test]
    fn a_row_finds_its_times_in_both_places() {
        let at = |group: &str, median: f64| Measured {
            group: group.to_owned(),
            function: String::new(),
            value: "work".to_owned(),
            median,
            interval: (median, median),
            throughput: None,
        };
        let measured = [at("predecessor, on a file", 2e6), at("predecessor, in memory", 1e6)];
        let row = Row { name: "work".to_owned(), cost: Cost::default() };
        let mut text = String::new();
        predecessors_table(&mut text, &measured, &[row]).expect("text");
        assert!(text.contains("| work | 2.00 ms (2.00 ms to 2.00 ms) | 1.00 ms (1.00 ms"), "{text}");
    }
}
