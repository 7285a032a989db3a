//! The points as curves: each cost over the number of records, both in powers of ten.

use svg::node::element::{Circle, Polyline};

use super::{Point, Results};
use crate::report::svg_page::{Page, place};
use crate::report::words::{bytes, time};

/// What is drawn: a title, the cost, and how it is written.
type Curve = (&'static str, fn(&Point) -> Option<f64>, fn(f64) -> String);

const CURVES: &[Curve] = &[
    ("opening after a clean close", |point| Some(point.open_clean), time),
    ("opening after kill -9", |point| Some(point.open_killed), time),
    ("a point read of any record", |point| Some(point.read), time),
    ("a record of a scan over all", |point| Some(point.scan), time),
    ("a durable commit", |point| Some(point.single), time),
    ("500 updates in a durable batch", |point| Some(point.batch), time),
    ("loading a record", |point| Some(point.load), time),
    (
        "disk for a byte of values, after the updates",
        |point| Some(point.final_disk as f64 / point.payload as f64),
        ratio,
    ),
    ("memory of the process, without files", |point| point.resident.map(|size| size as f64), bytes),
];

/// Colours that show on both grounds; the first is ours.
const COLOURS: &[&str] = &[
    "#0969da", "#d1242f", "#1a7f37", "#bf8700", "#8250df", "#bc4c00", "#1b7c83", "#bf3989", "#6e7781",
    "#57606a",
];

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 230.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 70.0;

fn ratio(value: f64) -> String {
    format!("× {}", crate::report::words::digits(value))
}

/// The picture.
pub(super) fn draw(results: &Results) -> String {
    let mut engines: Vec<&str> = Vec::new();
    for point in &results.points {
        if !engines.contains(&point.engine.as_str()) {
            engines.push(&point.engine);
        }
    }
    let rows = CURVES.len().div_ceil(2) as f64;
    let mut page =
        Page::new(2.0 * WIDTH + 2.0 * MARGIN, TOP + rows * HEIGHT + MARGIN, "cost by number of records");
    page.text((MARGIN, 26.0), "title", "Cost by number of records");
    let mut x = MARGIN;
    for (engine, colour) in engines.iter().zip(COLOURS.iter().cycle()) {
        page.add(Circle::new().set("cx", x + 5.0).set("cy", 44.0).set("r", 5).set("fill", *colour));
        page.text((x + 14.0, 48.0), "", (*engine).to_owned());
        x += 110.0;
    }
    for (number, curve) in CURVES.iter().enumerate() {
        let at = (MARGIN + (number % 2) as f64 * WIDTH, TOP + (number / 2) as f64 * HEIGHT);
        panel(&mut page, at, curve, &engines, results);
    }
    page.finish()
}

/// From the values' powers of ten to places.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    length: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, start: f64, length: f64) -> Option<Self> {
        let powers: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
        let low = powers.iter().copied().reduce(f64::min)?.floor();
        let high = powers.iter().copied().reduce(f64::max)?.ceil().max(low + 1.0);
        Some(Self { low, high, start, length })
    }

    fn place(&self, value: f64) -> f64 {
        self.start + (value.log10() - self.low) / (self.high - self.low) * self.length
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10f64.powi(power))
    }
}

fn panel(
    page: &mut Page,
    (x, y): (f64, f64),
    (title, cost, write): &Curve,
    engines: &[&str],
    results: &Results,
) {
    page.text((x, y + 14.0), "panel", *title);
    let points = || results.points.iter().filter_map(|point| cost(point).map(|cost| (point, cost)));
    let across = Axis::over(points().map(|(point, _)| point.records as f64), x + 80.0, WIDTH - 120.0);
    let up = Axis::over(points().map(|(_, cost)| cost), y + HEIGHT - 36.0, -(HEIGHT - 66.0));
    let (Some(across), Some(up)) = (across, up) else { return };
    let end = across.start + across.length;
    for value in up.powers() {
        page.line((across.start, up.place(value)), (end, up.place(value)), "rule");
        page.text((across.start - 6.0, up.place(value) + 4.0), "quiet end", write(value));
    }
    for value in across.powers() {
        page.text((across.place(value), up.start + 18.0), "quiet middle", format!("{value:e}"));
    }
    for (engine, colour) in engines.iter().zip(COLOURS.iter().cycle()) {
        let places: Vec<(f64, f64)> = points()
            .filter(|(point, cost)| point.engine == **engine && *cost > 0.0)
            .map(|(point, cost)| (place(across.place(point.records as f64)), place(up.place(cost))))
            .collect();
        let line = places.iter().map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" ");
        let width = if *engine == "blockyard" { 3.5 } else { 1.5 };
        let curve = Polyline::new().set("points", line).set("class", "curve").set("stroke", *colour);
        page.add(curve.set("style", format!("stroke-width: {width}")));
        for (x, y) in places {
            page.add(Circle::new().set("cx", x).set("cy", y).set("r", 2.5).set("fill", *colour));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::point;
    use super::*;
    use crate::results::Machine;

    #[test]
    fn every_engine_has_a_curve_in_every_panel_that_knows_it() {
        let machine = Machine {
            processor: String::new(),
            threads: 1,
            kernel: String::new(),
            file_system: String::new(),
            load: 0.0,
        };
        let points = [1000, 10_000]
            .into_iter()
            .flat_map(|records| [point("blockyard", records), point("other", records)]);
        let results = Results { machine, length: 256, cache: 1, updates: 1, points: points.collect() };
        let page = draw(&results);
        assert_eq!(page.matches("<polyline").count(), 2 * CURVES.len(), "{page}");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
