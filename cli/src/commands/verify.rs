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
    --json prints one object: {\"clean\":…,\"blocks\":…,\"bytes\":…,\"pages\":…,\"leaked_pages\":…,\n\
    \"torn_tail\":…,\"problem_count\":…,\"problems\":[…]},\n\
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
    torn_tail: bool,
    problem_count: u64,
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
            message: problem.message.clone(),
        }
    }
}

impl From<&Damage> for JsonProblem {
    fn from(damage: &Damage) -> Self {
        Self { name: None, what: damage.what.to_string(), offset: damage.offset, message: damage.to_string() }
    }
}

/// What was found, with what was in the way of opening the file.
struct Findings {
    report: VerifyReport,
    in_the_way: Option<Damage>,
    /// A commit that was cut short, and never answered durable, lies at the journal's end.
    torn_tail: bool,
}

impl Findings {
    /// Problems in all, listed or not.
    fn count(&self) -> u64 {
        self.report.problem_count + u64::from(self.in_the_way.is_some())
    }
}

/// Checks the file.
pub(super) fn run(args: &Args) -> Outcome {
    let (store, in_the_way) = open(args)?;
    let findings =
        Findings { report: check(args, &store)?, in_the_way, torn_tail: store.recovery().torn_tail };
    let mut out = Out::new();
    let told = if args.json { show_json(&findings, &mut out) } else { show(&findings, &mut out) };
    // The exit code tells of damage even when nobody reads the report.
    output::even_if_gone(told.and_then(|()| out.flush()))?;
    if findings.count() == 0 {
        return Ok(Exit::Fine);
    }
    output::complain(format_args!(
        "{} in {}; restore what is named above from a backup, `blockyard export` rescues the rest",
        count(findings.count(), "problem", "problems"),
        args.file.display()
    ));
    Ok(Exit::Problem)
}

/// Opens the file. Damage that would keep it closed is given back, to be reported with the rest.
fn open(args: &Args) -> Outcome<(Store, Option<Damage>)> {
    let refusal = match opening::for_reading(&args.file, false) {
        Ok(store) => return Ok((store, None)),
        Err(error) => error,
    };
    let told = Failure::open(&args.file, &refusal);
    let OpenError::Corrupted(damage) = refusal else { return Err(told) };
    match opening::for_reading(&args.file, true) {
        Ok(store) => Ok((store, Some(damage))),
        Err(_) => Err(told),
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

fn show_json(findings: &Findings, out: &mut Out) -> Outcome<()> {
    let Findings { report, in_the_way, .. } = findings;
    out.json(&JsonReport {
        clean: findings.count() == 0,
        blocks: report.blocks,
        bytes: report.bytes,
        pages: report.pages,
        leaked_pages: report.leaked_pages,
        torn_tail: findings.torn_tail,
        problem_count: findings.count(),
        problems: in_the_way
            .iter()
            .map(JsonProblem::from)
            .chain(report.problems.iter().map(JsonProblem::from))
            .collect(),
    })
}

fn show(findings: &Findings, out: &mut Out) -> Outcome<()> {
    let Findings { report, in_the_way, .. } = findings;
    let damaged = out.styled(BAD, "damaged");
    if let Some(damage) = in_the_way {
        out.line(format_args!("{damaged} {damage}"))?;
    }
    for problem in &report.problems {
        let name = problem.name.as_ref().map(|name| format!(" {}:", name::shown(name))).unwrap_or_default();
        out.line(format_args!("{damaged}{name} {}", problem.message))?;
    }
    let unlisted = report.problem_count.saturating_sub(report.problems.len() as u64);
    if unlisted > 0 {
        out.line(format_args!("… and {}", count(unlisted, "problem more", "problems more")))?;
    }
    if findings.torn_tail {
        out.line("note: the last commit was cut short; it was never answered durable and will be dropped")?;
    }
    let verdict =
        if findings.count() == 0 { out.styled(GOOD, "clean") } else { out.styled(BAD, "not clean") };
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
