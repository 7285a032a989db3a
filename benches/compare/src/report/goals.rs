//! Where Blockyard has to stand, and where it stands.

use crate::report::words::{bytes, digits, time};
use crate::results::{Figure, Results, SizeResults};

/// One goal and what was measured.
pub(super) struct Goal {
    /// The work.
    pub(super) work: String,
    /// What is wanted.
    pub(super) wanted: &'static str,
    /// What was measured.
    pub(super) measured: String,
    /// Whether it was reached; None if part of it was not measured.
    pub(super) met: Option<bool>,
}

const OURS: &str = "blockyard";

/// A limit on one number; the number is missing if it was not measured.
struct Limit {
    what: String,
    value: Option<f64>,
    most: f64,
}

fn goal(work: &str, wanted: &'static str, limits: Vec<Limit>) -> Option<Goal> {
    // Nothing of it was measured: that is another run's matter.
    if limits.iter().all(|limit| limit.value.is_none()) {
        return None;
    }
    let part = |limit: &Limit| {
        let value = limit.value.map_or_else(|| "not measured".to_owned(), digits);
        format!("{} {value}", limit.what)
    };
    let measured = limits.iter().map(part).collect::<Vec<_>>().join(", ");
    let met = limits.iter().map(|limit| limit.value.map(|value| value <= limit.most));
    let met = met.collect::<Option<Vec<bool>>>().map(|all| all.into_iter().all(|it| it));
    Some(Goal { work: work.to_owned(), wanted, measured, met })
}

fn limit(what: &str, value: Option<f64>, most: f64) -> Limit {
    Limit { what: what.to_owned(), value, most }
}

fn to_floor(figure: Option<&Figure>) -> Option<f64> {
    figure.and_then(|figure| figure.to_floor).map(|ratio| ratio.median)
}

/// Against the best peer, with its name.
fn to_peer(figure: Option<&Figure>, most: f64) -> Limit {
    let name = figure.and_then(|figure| figure.best_peer.as_deref()).unwrap_or("the best peer");
    limit(&format!("× {name}"), figure.and_then(|figure| figure.to_best_peer).map(|ratio| ratio.median), most)
}

/// Our median against a named engine's.
fn against(size: Option<&SizeResults>, workload: &str, engine: &str, most: f64) -> Limit {
    let p50 = |engine: &str| size.and_then(|size| size.figure(workload, 0, engine)).map(|figure| figure.p50);
    limit(&format!("× {engine}"), p50(OURS).zip(p50(engine)).map(|(ours, theirs)| ours / theirs), most)
}

/// Every goal of which something was measured.
pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let size = |name: &str| results.sizes.iter().find(|size| size.name == name);
    let (large, small, old) = (size("4096"), size("256"), size("predecessor"));
    let of = |size: Option<&'_ SizeResults>, workload: &str| -> Option<Figure> {
        size.and_then(|size| size.figure(workload, 0, OURS)).cloned()
    };
    let mut all = Vec::new();
    all.extend(commits(&of(large, "single"), &of(small, "single")));
    all.extend(batches(large, &of(large, "batch"), &of(small, "batch"), &of(large, "relaxed")));
    all.extend(reads(large, &of(large, "read"), &of(large, "zero-copy")));
    all.extend(threads_and_space(large, &of(large, "threads-8")));
    all.extend(predecessor(old, &of(old, "batch")));
    all
}

fn commits(large: &Option<Figure>, small: &Option<Figure>) -> Vec<Goal> {
    let (large, small) = (large.as_ref(), small.as_ref());
    let pages = large.map(|figure| (figure.bytes - 4096.0) / 4096.0);
    let single = goal(
        "durable single commit, 4 KiB",
        "≤ 0.95 × floor, below every peer; 1 sync, at most 2 pages beyond the payload",
        vec![
            limit("× floor", to_floor(large), 0.95),
            to_peer(large, 1.0),
            limit("syncs", large.map(|figure| figure.syncs), 1.02),
            limit("pages beyond", pages, 2.0),
        ],
    );
    let tiny = goal(
        "durable single commit, 256 B",
        "≤ 0.9 × floor, below every peer",
        vec![limit("× floor", to_floor(small), 0.9), to_peer(small, 1.0)],
    );
    [single, tiny].into_iter().flatten().collect()
}

fn batches(
    size: Option<&SizeResults>,
    large: &Option<Figure>,
    small: &Option<Figure>,
    relaxed: &Option<Figure>,
) -> Vec<Goal> {
    let (large, small, relaxed) = (large.as_ref(), small.as_ref(), relaxed.as_ref());
    let payload = size.map_or(0.0, |size| size.length as f64) * 500.0;
    let calls = large.and_then(|figure| figure.heap_calls).map(|calls| calls / 500.0);
    let peak = large.and_then(|figure| figure.heap_peak).map(|peak| peak as f64 / payload);
    [
        goal(
            "500 in one durable batch, 4 KiB",
            "≤ 0.6 × floor and ≤ 0.5 × best peer",
            vec![limit("× floor", to_floor(large), 0.6), to_peer(large, 0.5)],
        ),
        goal("the same, 256 B", "≤ 0.4 × best peer", vec![to_peer(small, 0.4)]),
        goal(
            "500 relaxed and one sync, 4 KiB",
            "≤ 0.7 × floor",
            vec![limit("× floor", to_floor(relaxed), 0.7)],
        ),
        goal(
            "heap in a batch of 500 updates, 4 KiB",
            "no allocation an update after warm-up; peak ≤ the payload",
            vec![limit("calls an update", calls, 0.1), limit("peak in payloads", peak, 1.0)],
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn reads(size: Option<&SizeResults>, copied: &Option<Figure>, shown: &Option<Figure>) -> Vec<Goal> {
    let micros = |figure: &Option<Figure>| figure.as_ref().map(|figure| figure.p50 * 1e6);
    [
        goal(
            "point read warm, 4 KiB",
            "≤ 0.4 µs copied out, ≤ 0.15 µs without a copy",
            vec![limit("µs copied", micros(copied), 0.4), limit("µs without a copy", micros(shown), 0.15)],
        ),
        goal("scan of 40 MB, warm", "≤ LMDB", vec![against(size, "scan", "lmdb", 1.0)]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn threads_and_space(size: Option<&SizeResults>, eight: &Option<Figure>) -> Vec<Goal> {
    let eight = eight.as_ref();
    // Ratios are of times: a rate of 0.85 of the floor's is a time of 1 / 0.85.
    let share = to_floor(eight).map(|ratio| 1.0 / ratio);
    let threads = goal(
        "8 threads durable, 4 KiB",
        "≥ 0.85 × floor, ≤ 0.15 syncs a commit",
        vec![
            limit("floor's rate ÷ ours", share.map(|share| 1.0 / share), 1.0 / 0.85),
            limit("syncs a commit", eight.map(|figure| figure.syncs), 0.15),
        ],
    );
    let ours = size.and_then(|size| size.footprints.iter().find(|it| it.engine == OURS));
    let mebibytes = |count: u64| count as f64 / f64::from(1 << 20);
    let full = size.is_some_and(|size| size.records == 10_000);
    let ours = ours.filter(|_| full);
    let disk = goal(
        "disk for 39.1 MiB of values",
        "≤ 43 MiB, and so it stays",
        vec![
            limit("MiB loaded", ours.map(|it| mebibytes(it.loaded_disk)), 43.0),
            limit("MiB after all workloads", ours.map(|it| mebibytes(it.final_disk)), 43.0),
        ],
    );
    [threads, disk].into_iter().flatten().collect()
}

fn predecessor(size: Option<&SizeResults>, batch: &Option<Figure>) -> Vec<Goal> {
    let heap = batch.as_ref().and_then(|figure| figure.heap_bytes).map(|bytes| bytes / 1e6);
    [
        goal(
            "predecessor's table: 500 durable updates",
            "≤ SQLite ÷ 3",
            vec![against(size, "batch", "sqlite", 1.0 / 3.0)],
        ),
        goal(
            "predecessor's table: select",
            "≤ directory ÷ 3",
            vec![against(size, "scan", "directory", 1.0 / 3.0)],
        ),
        goal("predecessor's table: memory", "≤ 0.1 MB a batch", vec![limit("MB a batch", heap, 0.1)]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the predecessor measured on itself, beside what is measured here.
pub(super) fn predecessor_rows(results: &Results) -> Option<Vec<[String; 5]>> {
    let size = results.sizes.iter().find(|size| size.name == "predecessor")?;
    let cell = |workload: &str, engine: &str| {
        size.figure(workload, 0, engine).map_or_else(|| "–".to_owned(), |figure| time(figure.p50))
    };
    let heap = |engine: &str| {
        let figure = size.figure("batch", 0, engine);
        figure.and_then(|figure| figure.heap_bytes).map_or_else(|| "–".to_owned(), bytes)
    };
    let row = |what: &str, then: &str, of: &dyn Fn(&str) -> String| {
        [what.to_owned(), then.to_owned(), of(OURS), of("directory"), of("sqlite")]
    };
    Some(vec![
        row("update of 500, durable", "506 ms", &|engine| cell("batch", engine)),
        row("select over all records", "4.1 ms", &|engine| cell("scan", engine)),
        row("insert of 500, durable", "–", &|engine| cell("insert", engine)),
        row("memory for a batch of updates", "8.3 MB", &heap),
    ])
}
