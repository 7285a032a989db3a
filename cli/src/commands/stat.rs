//! `stat FILE [NAME]`.

use super::list::JsonBlock;
use crate::failure::{Exit, Failure, Outcome};
use crate::name::{self, BlockName};
use crate::opening::Source;
use crate::output::Out;
use crate::size::{both, count, grouped};
use blockyard::{Metadata, RecoveryReport, Stats};
use serde::Serialize;

/// Arguments of `stat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard stat notes.by\n  \
    blockyard stat notes.by today.md\n  \
    blockyard stat notes.by --json | jq .blocks\n\n\
    --json prints one object.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// A block, instead of the whole file
    #[arg(value_parser = name::parser())]
    name: Option<BlockName>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Figures of a file in JSON.
#[derive(Debug, Serialize)]
struct JsonStats {
    file: String,
    file_bytes: u64,
    page_size: u64,
    journal_bytes: u64,
    journal_used: u64,
    used_bytes: u64,
    free_bytes: u64,
    fragmentation: f64,
    blocks: u64,
    value_bytes: u64,
    sequence: u64,
    durable_sequence: u64,
    journal_records_replayed: u64,
    torn_tail_dropped: bool,
}

/// Shows the figures.
pub(super) fn run(args: &Args) -> Outcome {
    let store = args.source.open()?;
    let mut out = Out::new();
    match &args.name {
        Some(BlockName(name)) => {
            let doing = || format!("cannot look up {}", name::shown(name));
            let metadata = store
                .metadata(name)
                .map_err(|error| Failure::store(doing(), &error))?
                .ok_or_else(|| Failure::not_found(name, &args.source.file))?;
            show_block(args, name, &metadata, &mut out)?;
        }
        None => {
            let doing = format!("cannot read the figures of {}", args.source.file.display());
            let stats = store.stats().map_err(|error| Failure::store(doing, &error))?;
            show_file(args, &stats, store.recovery(), &mut out)?;
        }
    }
    out.flush()?;
    Ok(Exit::Fine)
}

fn show_block(args: &Args, name: &[u8], metadata: &Metadata, out: &mut Out) -> Outcome<()> {
    if args.json {
        return out.json(&JsonBlock::new(name, metadata));
    }
    out.fields(&[
        ("name", name::shown(name).to_string()),
        ("length", both(metadata.length)),
        ("chunks", grouped(metadata.chunks)),
        ("sequence", metadata.sequence.to_string()),
        ("tag", metadata.tag.to_string()),
        ("digest", metadata.digest.to_string()),
    ])
}

fn show_file(args: &Args, stats: &Stats, recovery: &RecoveryReport, out: &mut Out) -> Outcome<()> {
    if args.json {
        return out.json(&JsonStats {
            file: args.source.file.to_string_lossy().into_owned(),
            file_bytes: stats.file_bytes,
            page_size: stats.page_size,
            journal_bytes: stats.journal_bytes,
            journal_used: stats.journal_used,
            used_bytes: stats.used_bytes,
            free_bytes: stats.free_bytes,
            fragmentation: stats.fragmentation,
            blocks: stats.blocks,
            value_bytes: stats.value_bytes,
            sequence: stats.sequence.0,
            durable_sequence: stats.durable_sequence.0,
            journal_records_replayed: recovery.records,
            torn_tail_dropped: recovery.torn_tail,
        });
    }
    let mut fields = vec![
        ("file", args.source.file.display().to_string()),
        ("length", both(stats.file_bytes)),
        ("used", both(stats.used_bytes)),
        ("free inside", both(stats.free_bytes)),
        ("fragmentation", format!("{:.1} %", stats.fragmentation * 100.0)),
        ("page size", both(stats.page_size)),
        ("journal", format!("{}, {} in use", both(stats.journal_bytes), both(stats.journal_used))),
        ("blocks", grouped(stats.blocks)),
        ("bytes in blocks", both(stats.value_bytes)),
        ("sequence", format!("{}, {} durable", stats.sequence, stats.durable_sequence)),
    ];
    if recovery.records > 0 || recovery.torn_tail {
        let replayed = count(recovery.records, "journal record", "journal records");
        let torn = if recovery.torn_tail { ", a torn tail dropped" } else { "" };
        fields.push(("recovery", format!("{replayed} replayed{torn}")));
    }
    out.fields(&fields)
}
