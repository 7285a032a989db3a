//! Bars of one size: in each panel a series, in it a bar for each engine, as long as its time is of the
//! floor's, with the spread of the rounds.

use super::svg_page::Page;
use super::table::series;
use super::words::{digits, shown};
use crate::engines::Role;
use crate::results::{Figure, SizeResults, Spread};

const COLUMNS: usize = 2;
const PANEL: f64 = 520.0;
const BAR: f64 = 18.0;
const LABEL: f64 = 100.0;
const VALUE: f64 = 150.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 64.0;
/// Longer bars are cut off and say so: the short ones are what is compared.
const LONGEST: f64 = 5.0;

/// A bar: what it is as long as.
fn length(figure: &Figure, unit: f64) -> Spread {
    let rounds = figure.rounds;
    // The floor has no ratio to itself with a spread worth showing; engines have theirs within rounds.
    figure.to_floor.filter(|_| figure.engine != figure.floor).unwrap_or(Spread {
        median: rounds.median / unit,
        low: rounds.low / unit,
        high: rounds.high / unit,
    })
}

/// The picture of a size.
pub(super) fn draw(size: &SizeResults) -> String {
    let groups = series(size);
    let height = |group: &Vec<&Figure>| group.len() as f64 * BAR + 48.0;
    let rows: Vec<f64> =
        groups.chunks(COLUMNS).map(|row| row.iter().map(height).fold(0.0, f64::max)).collect();
    let width = COLUMNS as f64 * PANEL + 2.0 * MARGIN;
    let total = TOP + rows.iter().sum::<f64>() + MARGIN;
    let mut page = Page::new(width, total, &size.title);
    page.text((MARGIN, 26.0), "title", size.title.clone());
    let legend = "time against the floor's, or without a floor the quickest engine's (dashed: 1); shorter is quicker; the thin line is the spread of the rounds";
    page.text((MARGIN, 46.0), "quiet", legend);
    let mut y = TOP;
    for (row, row_height) in groups.chunks(COLUMNS).zip(rows) {
        for (column, group) in row.iter().enumerate() {
            panel(&mut page, (MARGIN + column as f64 * PANEL, y), group);
        }
        y += row_height;
    }
    page.finish()
}

fn panel(page: &mut Page, (x, y): (f64, f64), group: &[&Figure]) {
    let [first, ..] = group else { return };
    let floor = group.iter().find(|figure| figure.engine == figure.floor);
    // Without the floor the quickest engine is the measure.
    let engines = group.iter().filter(|figure| figure.role != Role::Floor);
    let quickest = engines.map(|figure| figure.rounds.median).fold(f64::INFINITY, f64::min);
    let unit = floor.map_or(quickest, |floor| floor.rounds.median);
    let lengths: Vec<Spread> = group.iter().map(|figure| length(figure, unit)).collect();
    let longest = lengths.iter().map(|it| it.median).fold(1.0, f64::max).min(LONGEST);
    let scale = (PANEL - LABEL - VALUE) / longest;
    page.text((x, y + 14.0), "panel", first.title.clone());
    let (left, top) = (x + LABEL, y + 22.0);
    for (number, (figure, spread)) in group.iter().zip(&lengths).enumerate() {
        bar(page, (left, top + number as f64 * BAR), figure, spread, scale, longest);
    }
    let one = left + scale;
    page.line((one, top), (one, top + group.len() as f64 * BAR), "unit");
    page.line((left, top), (left, top + group.len() as f64 * BAR), "rule");
}

fn bar(page: &mut Page, (x, y): (f64, f64), figure: &Figure, spread: &Spread, scale: f64, longest: f64) {
    let class = match figure.role {
        Role::Ours => "ours",
        Role::Peer => "peer",
        Role::Floor => "floor",
    };
    let middle = y + BAR / 2.0;
    page.text((x - 6.0, middle + 4.0), "end", figure.engine.clone());
    let end = x + spread.median.min(longest) * scale;
    page.rectangle((x, y + 3.0), (end - x, BAR - 6.0), class);
    let (low, high) = (x + spread.low.min(longest) * scale, x + spread.high.min(longest) * scale);
    if high - low > 1.0 {
        page.line((low, middle), (high, middle), "spread");
    }
    let cut = if spread.median > longest { " →" } else { "" };
    let label = format!("{}{cut} × {}", shown(figure.p50, figure.unit), digits(spread.median));
    page.text((end.max(high) + 6.0, middle + 4.0), "quiet", label);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::Unit;

    fn figure(engine: &str, role: Role, median: f64) -> Figure {
        let spread = Spread { median, low: median * 0.9, high: median * 1.2 };
        Figure {
            workload: "single".to_owned(),
            series: 0,
            title: "one durable commit".to_owned(),
            unit: Unit::Time,
            engine: engine.to_owned(),
            role,
            p50: median,
            p99: median,
            minimum: median,
            rounds: spread,
            samples: 5,
            to_floor: Some(Spread { median: median / 2e-4, low: median / 2e-4, high: median / 2e-4 }),
            to_best_peer: None,
            floor: "raw".to_owned(),
            best_peer: None,
            syncs: 1.0,
            bytes: 4096.0,
            writes: 1.0,
            heap_bytes: None,
            heap_calls: None,
            heap_peak: None,
        }
    }

    #[test]
    fn bars_stay_inside_the_page_and_name_their_values() {
        let figures = vec![
            figure("blockyard", Role::Ours, 1e-4),
            figure("slow", Role::Peer, 1.0),
            figure("raw", Role::Floor, 2e-4),
        ];
        let (name, title) = ("4096".to_owned(), "records & <more>".to_owned());
        let size = SizeResults { name, title, length: 4096, records: 1, footprints: Vec::new(), figures };
        let page = draw(&size);
        assert!(page.contains("100 µs × 0.50") && page.contains("→ × 5000"), "{page}");
        assert!(page.contains("records &amp; &lt;more&gt;") && page.contains("prefers-color-scheme: dark"));
        let widths =
            page.split("width=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse::<f64>().ok());
        assert!(widths.into_iter().all(|width| width <= 2.0 * PANEL + 2.0 * MARGIN));
    }
}
