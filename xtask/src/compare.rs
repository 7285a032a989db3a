//! `cargo xtask compare`: Blockyard beside other engines, measured by the package `benches/compare`, which is
//! a workspace of its own so that nobody else compiles the peers.
//!
//! Not a check: a figure fails nothing, and what it measures needs a quiet machine. With `--smoke` it is
//! one: every engine does every workload once, and every record is compared. With `--lint` it is another:
//! clippy and the comparison's own tests, which the other steps leave out because the peers take minutes to
//! compile.

use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::checks::run_each;
use crate::toolchain::build_folder;

/// The comparison's package, a workspace of its own.
const MANIFEST: &str = "benches/compare/Cargo.toml";

/// Where tables, charts and figures go.
const RESULTS: &str = "docs/benchmarks";

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Fewer rounds and workloads, within five minutes once it is compiled
    #[arg(long)]
    quick: bool,
    /// Each thing once, with few records, to see that it works; writes no results
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Measure nothing: clippy over the comparison, and its own tests; compiles the peers without optimisation
    #[arg(long, conflicts_with_all = ["quick", "smoke"])]
    lint: bool,
    /// Print the figures as JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Only these engines
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Only these workloads
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Only these sizes: 256, 4096, 65536, 16, stream, predecessor
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<String>,
    /// Timed rounds
    #[arg(long)]
    rounds: Option<u32>,
    #[command(flatten)]
    places: Places,
}

/// What else to measure.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum Command {
    /// How each cost grows with the number of records: hours, with the default of up to ten million
    Scale(Scale),
}

/// How each cost grows.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct Scale {
    /// Numbers of records
    #[arg(long, value_delimiter = ',')]
    records: Vec<u64>,
    /// Bytes of a value
    #[arg(long)]
    length: Option<usize>,
    /// Engines
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Random updates
    #[arg(long)]
    updates: Option<u64>,
    /// Bytes of cache
    #[arg(long)]
    cache: Option<usize>,
    /// Print the figures as JSON instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Where things lie.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct Places {
    /// Where the engines' files lie meanwhile [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where tables, charts and figures are written
    #[arg(long, default_value = RESULTS)]
    out: PathBuf,
    /// RocksDB too, with the system's library (Debian: librocksdb-dev and libclang-dev)
    #[arg(long)]
    rocksdb: bool,
}

/// The words of the comparison's own command line.
fn words(arguments: &Arguments) -> Vec<String> {
    let mut words = Vec::new();
    let flag = |words: &mut Vec<String>, name: &str, on: bool| words.extend(on.then(|| format!("--{name}")));
    let list = |words: &mut Vec<String>, name: &str, values: Vec<String>| {
        if !values.is_empty() {
            words.push(format!("--{name}={}", values.join(",")));
        }
    };
    let text = |value: &dyn ToString| vec![value.to_string()];
    let path = |path: &Path| vec![path.display().to_string()];
    let places = if let Some(Command::Scale(scale)) = &arguments.command {
        words.push("scale".to_owned());
        list(&mut words, "records", scale.records.iter().map(u64::to_string).collect());
        list(&mut words, "length", scale.length.iter().flat_map(|it| text(it)).collect());
        list(&mut words, "engines", scale.engines.clone());
        list(&mut words, "updates", scale.updates.iter().flat_map(|it| text(it)).collect());
        list(&mut words, "cache", scale.cache.iter().flat_map(|it| text(it)).collect());
        flag(&mut words, "json", scale.json);
        &scale.places
    } else {
        flag(&mut words, "quick", arguments.quick);
        flag(&mut words, "smoke", arguments.smoke);
        flag(&mut words, "json", arguments.json);
        list(&mut words, "engines", arguments.engines.clone());
        list(&mut words, "workloads", arguments.workloads.clone());
        list(&mut words, "sizes", arguments.sizes.clone());
        list(&mut words, "rounds", arguments.rounds.iter().flat_map(|it| text(it)).collect());
        &arguments.places
    };
    list(&mut words, "dir", places.dir.iter().flat_map(|it| path(it)).collect());
    if !arguments.smoke {
        list(&mut words, "out", path(&places.out));
    }
    words
}

/// No warning of clippy in the comparison, and its tests pass.
fn lint(shell: &Shell) -> Result<()> {
    let _folder = shell.push_env("CARGO_TARGET_DIR", build_folder(shell, "compare"));
    run_each([
        cmd!(shell, "cargo clippy --manifest-path {MANIFEST} --all-targets -- -D warnings"),
        cmd!(shell, "cargo test --manifest-path {MANIFEST}"),
    ])
}

/// Builds the comparison with optimisation and runs it.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    if arguments.lint {
        return lint(shell);
    }
    let words = words(arguments);
    let places = match &arguments.command {
        Some(Command::Scale(scale)) => &scale.places,
        None => &arguments.places,
    };
    let features: &[&str] = if places.rocksdb { &["--features", "rocksdb"] } else { &[] };
    let manifest = MANIFEST;
    let folder = build_folder(shell, "compare");
    let run =
        cmd!(shell, "cargo run --quiet --release --manifest-path {manifest} {features...} -- {words...}");
    let run = run.env("CARGO_TARGET_DIR", folder);
    // The library's place, for a crate that would otherwise compile RocksDB for an hour.
    let run = if places.rocksdb && std::env::var_os("ROCKSDB_LIB_DIR").is_none() {
        run.env("ROCKSDB_LIB_DIR", "/usr/lib/x86_64-linux-gnu")
    } else {
        run
    };
    Ok(run.run()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn words_of(line: &str) -> Vec<String> {
        let line = Line::try_parse_from(std::iter::once("compare").chain(line.split_whitespace()));
        words(&line.unwrap_or_else(|error| panic!("{error}")).arguments)
    }

    #[test]
    fn words_go_on_to_the_comparison_and_a_smoke_writes_nothing() {
        assert_eq!(words_of("--quick"), ["--quick", "--out=docs/benchmarks"]);
        assert_eq!(words_of("--smoke --engines redb,lmdb"), ["--smoke", "--engines=redb,lmdb"]);
        assert_eq!(
            words_of("scale --records 1000,2000 --cache 5 --out elsewhere"),
            ["scale", "--records=1000,2000", "--cache=5", "--out=elsewhere"]
        );
    }
}
