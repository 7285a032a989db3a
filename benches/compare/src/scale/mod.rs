//! How each cost grows with the number of records: every engine and number in a process of its own, so that
//! its memory is its own.

mod curves;
mod killed;
mod step;
mod table;

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::arguments;
use crate::count::Calls;
use crate::engines::{Kind, chosen};
use crate::results::Machine;
use crate::turn::Slot;

pub(crate) use killed::commit;
pub(crate) use step::run as step;

/// What one engine came to with one number of records. Times in seconds, sizes in bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    /// The engine.
    pub(crate) engine: String,
    /// How many records.
    pub(crate) records: u64,
    /// Bytes of their values together.
    pub(crate) payload: u64,
    /// Loading one record, in order.
    pub(crate) load: f64,
    /// Disk blocks after the load.
    pub(crate) loaded_disk: u64,
    /// Opening after a clean close: the median.
    pub(crate) open_clean: f64,
    /// Opening after kill -9 in the middle of durable commits: the median.
    pub(crate) open_killed: f64,
    /// The longest of those.
    pub(crate) open_killed_most: f64,
    /// Syncs of opening after a clean close, the most of all.
    pub(crate) open_clean_syncs: u64,
    /// Syncs of opening after kill -9, the most of all.
    pub(crate) open_killed_syncs: u64,
    /// A point read of any record: the median.
    pub(crate) read: f64,
    /// One in a hundred took longer.
    pub(crate) read_p99: f64,
    /// A record of a scan over all of them, every byte added up.
    pub(crate) scan: f64,
    /// A durable commit: the median.
    pub(crate) single: f64,
    /// 500 updates in one durable batch: the median.
    pub(crate) batch: f64,
    /// One update of all the random updates, 500 in a durable batch.
    pub(crate) update: f64,
    /// Length of the files after them.
    pub(crate) final_length: u64,
    /// Disk blocks after them.
    pub(crate) final_disk: u64,
    /// Heap in use after the reads; None if it is not Rust's.
    pub(crate) live_heap: Option<u64>,
    /// Memory of the process that is not a file's, after the reads.
    pub(crate) resident: Option<u64>,
    /// The same after the updates.
    pub(crate) resident_final: Option<u64>,
}

/// All points.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Bytes of a value.
    pub(crate) length: usize,
    /// Bytes of cache.
    pub(crate) cache: usize,
    /// Random updates.
    pub(crate) updates: u64,
    /// By number of records, then engine.
    pub(crate) points: Vec<Point>,
}

/// Runs every engine with every number of records.
pub(crate) fn run(scale: &arguments::Scale) -> Result<()> {
    ensure!(
        scale.length >= 16 && scale.length.is_multiple_of(8),
        "a value has 16 bytes at least, and a multiple of eight"
    );
    ensure!(scale.records.iter().all(|&records| records >= 1000), "1,000 records are the fewest");
    let kinds: Vec<Kind> = chosen(&scale.engines)?.into_iter().filter(|kind| kind.on_disk).collect();
    let folder = crate::place(scale.dir.as_deref())?;
    let machine = crate::machine::describe(folder.path());
    let program = std::env::current_exe().context("this program has no file")?;
    let mut points = Vec::new();
    for &records in &scale.records {
        for kind in &kinds {
            eprintln!("{} with {records} records", kind.name);
            let place = folder.path().join(format!("{}-{records}", kind.name));
            std::fs::create_dir_all(&place)?;
            let mut command = Command::new(&program);
            command.arg("scale-step").args(["--engine", kind.name]);
            command.args(["--records", &records.to_string(), "--length", &scale.length.to_string()]);
            command.args(["--updates", &scale.updates.to_string(), "--cache", &scale.cache.to_string()]);
            let output = command.arg("--folder").arg(&place).stderr(Stdio::inherit()).output()?;
            ensure!(output.status.success(), "{} failed with {records} records", kind.name);
            points.push(serde_json::from_slice(&output.stdout).context("a step said something else")?);
            std::fs::remove_dir_all(&place)?;
        }
    }
    let (length, cache, updates) = (scale.length, scale.cache, scale.updates);
    let results = Results { machine, length, cache, updates, points };
    if let Some(out) = &scale.out {
        std::fs::create_dir_all(out)?;
        let name = file_name(scale.length);
        std::fs::write(out.join(&name).with_extension("svg"), curves::draw(&results))?;
        let text = table::markdown(&results, Some(&format!("{name}.svg")));
        std::fs::write(out.join(&name).with_extension("md"), text)?;
        let figures = serde_json::to_string_pretty(&results)? + "\n";
        std::fs::write(out.join(&name).with_extension("json"), figures)?;
    }
    if scale.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        println!("{}", table::markdown(&results, None));
    }
    Ok(())
}

/// Where results with values of this length go: those of the default length have the plain name.
fn file_name(length: usize) -> String {
    if length == arguments::SCALE_LENGTH { "scale".to_owned() } else { format!("scale-{length}") }
}

/// How openings went.
#[derive(Clone, Debug, Default)]
struct Openings {
    seconds: Vec<f64>,
    /// The most syncs that one of them made.
    syncs: u64,
}

impl Openings {
    /// Opens an engine that is closed.
    fn open(&mut self, slot: &mut Slot) -> Result<()> {
        let (calls, start) = (Calls::now(), Instant::now());
        slot.open_again()?;
        self.seconds.push(start.elapsed().as_secs_f64());
        self.syncs = self.syncs.max(Calls::now().since(calls).syncs);
        Ok(())
    }
}

/// The median of some times.
fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    crate::results::quantile(seconds, 0.5)
}
