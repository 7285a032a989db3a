//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Blockyard beside other engines and beside what the disk can do.
#[derive(Debug, Parser)]
#[command(name = "blockyard-compare", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

/// What else there is.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How each cost grows with the number of records
    Scale(Scale),
    /// One engine with one number of records, in a process of its own
    #[command(hide = true)]
    ScaleStep(ScaleStep),
    /// Commits until it is killed
    #[command(hide = true)]
    ScaleCommit(ScaleCommit),
}

/// The comparison.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Fewer rounds and workloads, within five minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Each thing once, with few records, to see that it works; no figure means anything
    #[arg(long, conflicts_with = "quick")]
    pub(crate) smoke: bool,
    /// Print the figures as JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// Only these engines
    #[arg(long, value_delimiter = ',')]
    pub(crate) engines: Vec<String>,
    /// Only these workloads
    #[arg(long, value_delimiter = ',')]
    pub(crate) workloads: Vec<String>,
    /// Only these sizes: 256, 4096, 65536, 16, stream, predecessor
    #[arg(long, value_delimiter = ',')]
    pub(crate) sizes: Vec<String>,
    /// Timed rounds [default: 7, with --quick 5]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// Where the engines' files lie meanwhile [default: the system's temporary folder]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Write tables, charts and figures into this folder
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// Bytes of a value, unless another number is wanted.
pub(crate) const SCALE_LENGTH: usize = 256;

/// How each cost grows.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// Numbers of records
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000,10000000")]
    pub(crate) records: Vec<u64>,
    /// Bytes of a value, a multiple of eight
    #[arg(long, default_value_t = SCALE_LENGTH)]
    pub(crate) length: usize,
    /// Engines
    #[arg(long, value_delimiter = ',', default_value = "blockyard,redb,sqlite,lmdb,fjall,canopydb,regolith")]
    pub(crate) engines: Vec<String>,
    /// Random updates, 500 in a batch, after which the files are measured
    #[arg(long, default_value_t = 500_000)]
    pub(crate) updates: u64,
    /// Bytes of cache
    #[arg(long, default_value_t = 8 << 20)]
    pub(crate) cache: usize,
    /// Print the figures as JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the engines' files lie meanwhile [default: the system's temporary folder]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Write tables, curves and figures into this folder
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// One engine with one number of records.
#[derive(Debug, Args)]
pub(crate) struct ScaleStep {
    #[arg(long)]
    pub(crate) engine: String,
    #[arg(long)]
    pub(crate) records: u64,
    #[arg(long)]
    pub(crate) length: usize,
    #[arg(long)]
    pub(crate) updates: u64,
    #[arg(long)]
    pub(crate) cache: usize,
    #[arg(long)]
    pub(crate) folder: PathBuf,
}

/// Commits until it is killed.
#[derive(Debug, Args)]
pub(crate) struct ScaleCommit {
    #[arg(long)]
    pub(crate) engine: String,
    #[arg(long)]
    pub(crate) records: u64,
    #[arg(long)]
    pub(crate) length: usize,
    #[arg(long)]
    pub(crate) cache: usize,
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// The version of the first commit
    #[arg(long)]
    pub(crate) version: u32,
}
