//! `verify FILE`.

use crate::failure::{Exit, Failure, Outcome};
use crate::name::{self, JsonName};
use crate::opening;
use crate::output::{self, BAD, GOOD, Out};
use crate::progress::Progress;
use crate::size::{count, human};
use blockyard::{Damage, OpenError, Problem, Store, VerifyReport};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard verify notes.by\n  \
    blockyard verify notes.by --json | jq '.problems[].name'\n\n\
    Every page and every block is read and compared with its digest. The exit code is 0 when all is\n\
    well and 1 when anything is damaged; blocks that are not named in the report are whole.\n\
    --json prints one object: {\"clean\":…,\"blocks\":…,\"bytes\":…,\"pages\":…,\"leaked_pages\":…,\"problems\":[…]},\n\
    a problem being {\"name\" or \"name_hex\" if known,\"what\":…,\"offset\":…,\"message\":…}.")]
pub(crate) struct Args {
    /// The Blockyard file
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A report in JSON.
#[derive(Debug, Serialize)]
struct JsonReport {
    clean: bool,
    blocks: u64,
    bytes: u64,
    pages: u64,
    leaked_pages: u64,
    problems: Vec<JsonProblem>,
}

/// A problem in JSON.
#[derive(Debug, Serialize)]
struct JsonProblem {
    #[serde(flatten)]
    name: Option<JsonName>,
    what: String,
    offset: u64,
    message: String,
}

impl From<&Problem> for JsonProblem {
    fn from(problem: &Problem) -> Self {
        Self {
            name: problem.name.as_deref().map(JsonName::from),
            what: problem.damage.what.to_string(),
            offset: problem.damage.offset,
            message: problem.damage.to_string(),
        }
    }
}

/// Checks the file.
pub(super) fn run(args: &Args) -> Outcome {
    let (store, in_the_way) = open(args)?;
    let mut report = check(args, &store)?;
    if let Some(damage) = in_the_way
        && !report.problems.iter().any(|problem| problem.damage == damage)
    {
        report.problems.insert(0, Problem { name: None, damage });
    }
    let mut out = Out::new();
    if args.json { show_json(&report, &mut out) } else { show(&report, &mut out) }?;
    out.flush()?;
    if report.problems.is_empty() {
        return Ok(Exit::Fine);
    }
    output::complain(format_args!(
        "{} in {}; restore what is named above from a backup, `blockyard export` rescues the rest",
        count(report.problems.len() as u64, "problem", "problems"),
        args.file.display()
    ));
    Ok(Exit::Problem)
}

/// Opens the file. Damage that would keep it closed is given back, to be reported with the rest.
fn open(args: &Args) -> Outcome<(Store, Option<Damage>)> {
    match opening::for_reading(&args.file, false) {
        Ok(store) => Ok((store, None)),
        Err(refusal @ OpenError::Corrupted { .. }) => {
            let OpenError::Corrupted { damage } = refusal else { return Err(Failure::open(&args.file, &refusal)) };
            let store = opening::for_reading(&args.file, true).map_err(|_| Failure::open(&args.file, &refusal))?;
            Ok((store, Some(damage)))
        }
        Err(error) => Err(Failure::open(&args.file, &error)),
    }
}

fn check(args: &Args, store: &Store) -> Outcome<VerifyReport> {
    let progress = Progress::new("verify", Some(0));
    store
        .verify(|step| {
            progress.set(step.bytes, step.total_bytes);
            progress.message(|| format!("{} of {} blocks", step.blocks, step.total_blocks));
        })
        .map_err(|error| Failure::store(format_args!("cannot check all of {}", args.file.display()), &error))
}

fn show_json(report: &VerifyReport, out: &mut Out) -> Outcome<()> {
    out.json(&JsonReport {
        clean: report.problems.is_empty(),
        blocks: report.blocks,
        bytes: report.bytes,
        pages: report.pages,
        leaked_pages: report.leaked_pages,
        problems: report.problems.iter().map(JsonProblem::from).collect(),
    })
}

fn show(report: &VerifyReport, out: &mut Out) -> Outcome<()> {
    for Problem { name, damage } in &report.problems {
        let name = name.as_ref().map(|name| format!(" {}:", name::shown(name))).unwrap_or_default();
        out.line(format_args!("{}{name} {damage}", out.styled(BAD, "damaged")))?;
    }
    let verdict = if report.problems.is_empty() { out.styled(GOOD, "clean") } else { out.styled(BAD, "not clean") };
    let leaked = match report.leaked_pages {
        0 => String::new(),
        pages => format!(", {} lost to use", count(pages, "page", "pages")),
    };
    out.line(format_args!(
        "{verdict}: {} checked, {}, {}{leaked}",
        count(report.blocks, "block", "blocks"),
        human(report.bytes),
        count(report.pages, "page", "pages"),
    ))
}
