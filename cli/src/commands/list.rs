//! `ls FILE [PREFIX]`.

use crate::failure::{Exit, Failure, Outcome};
use crate::listing::Listing;
use crate::name::{self, BlockName, JsonName};
use crate::opening::Source;
use crate::output::{DIM, Out};
use blockyard::{Item, Metadata};
use serde::Serialize;

/// Digits of a digest that the long form shows; JSON has all 64.
const SHORT_DIGEST: usize = 16;

/// Arguments of `ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard ls notes.by\n  \
    blockyard ls notes.by 2026/ --long --reverse --limit 10\n  \
    blockyard ls notes.by --json | jq -r .name\n\n\
    With --json every block is one object on a line of its own (JSON Lines), as they stream:\n  \
    {\"name\":…,\"length\":…,\"sequence\":…,\"tag\":…,\"chunks\":…,\"digest\":…}\n\
    and \"name_hex\" instead of \"name\" where a name is not UTF-8.\n\
    People see a backslash in a name as \\\\, and bytes that are not UTF-8 or would disturb a terminal as \\xNN.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Only blocks whose names start like this
    #[arg(value_parser = name::parser())]
    prefix: Option<BlockName>,
    /// Show length, sequence, tag and digest as well
    #[arg(short, long)]
    long: bool,
    /// Print JSON Lines
    #[arg(long, conflicts_with = "long")]
    json: bool,
    /// Last name first
    #[arg(short, long)]
    reverse: bool,
    /// Show this many at most
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
}

/// A block in JSON.
#[derive(Debug, Serialize)]
pub(super) struct JsonBlock {
    #[serde(flatten)]
    name: JsonName,
    length: u64,
    sequence: u64,
    tag: u64,
    chunks: u64,
    digest: String,
}

impl JsonBlock {
    /// The block called `name`.
    pub(super) fn new(name: &[u8], metadata: &Metadata) -> Self {
        Self {
            name: name.into(),
            length: metadata.length,
            sequence: metadata.sequence.0,
            tag: metadata.tag,
            chunks: metadata.chunks,
            digest: metadata.digest.to_string(),
        }
    }
}

/// Lists the blocks.
pub(super) fn run(args: &Args) -> Outcome {
    let store = args.source.open()?;
    let prefix = args.prefix.as_ref().map_or(&[][..], |prefix| &prefix.0);
    let mut out = Out::new();
    if args.long {
        heading(&mut out)?;
    }
    let mut exit = Exit::Fine;
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut blocks = Listing::new(&store, prefix, args.reverse);
    while left > 0
        && let Some(block) = blocks.next()
    {
        match block {
            Ok(block) => {
                show(args, &block, &mut out)?;
                left -= 1;
            }
            Err(error) => {
                // What was listed so far goes out before the message.
                out.flush()?;
                Failure::store(format_args!("cannot list all of {}", args.source.file.display()), &error)
                    .report();
                exit = Exit::Problem;
            }
        }
    }
    out.flush()?;
    Ok(exit)
}

fn heading(out: &mut Out) -> Outcome<()> {
    let titles =
        format!("{:>14} {:>10} {:>10} {:<SHORT_DIGEST$}  NAME", "LENGTH", "SEQUENCE", "TAG", "DIGEST");
    out.line(out.styled(DIM, titles))
}

fn show(args: &Args, block: &Item, out: &mut Out) -> Outcome<()> {
    if args.json {
        out.json(&JsonBlock::new(block.name(), &block.metadata()))
    } else if args.long {
        long(block, out)
    } else {
        out.line(name::shown(block.name()))
    }
}

fn long(block: &Item, out: &mut Out) -> Outcome<()> {
    let metadata = block.metadata();
    let digest = metadata.digest.to_string();
    out.line(format_args!(
        "{:>14} {:>10} {:>10} {:<SHORT_DIGEST$.SHORT_DIGEST$}  {}",
        metadata.length,
        metadata.sequence.0,
        metadata.tag,
        digest,
        name::shown(block.name())
    ))
}
