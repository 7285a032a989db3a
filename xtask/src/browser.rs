//! `cargo xtask browser`: the shell for JavaScript. Its crate is checked, the npm package is built and packed,
//! and then tried as a package, under Node, and in Chromium and Firefox without a window.
//!
//! What happens in browsers is written in JavaScript, in `wasm-shell/test`; here are the tools that it needs
//! and their installation. Nothing that is built stays in the checkout but what git ignores.

mod bindgen;
mod node;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::child::{self, Echo};
use crate::setup::{self, debian};
use crate::tally::Tally;
use crate::toolchain::{TARGETS, Toolchain, build_folder};
use bindgen::{Bindgen, Kind};
use node::Node;

/// The shell's own workspace.
const FOLDER: &str = "wasm-shell";

const TRIPLE: &str = "wasm32-unknown-unknown";

/// Browsers, where they may be, and Debian's packages that they are in.
const BROWSERS: [(&str, [&str; 2], &str); 2] = [
    ("chromium", ["/usr/bin/chromium", "/usr/bin/google-chrome"], "chromium"),
    ("firefox", ["/usr/bin/firefox-esr", "/usr/bin/firefox"], "firefox-esr"),
];

/// Where to try the package.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Arguments {
    /// One browser only: chromium or firefox
    #[arg(long, value_parser = ["chromium", "firefox"])]
    browser: Option<String>,
    /// Only checks whose names hold this text
    #[arg(long)]
    only: Option<String>,
    /// Cut the workload at some of its writes instead of all
    #[arg(long)]
    quick: bool,
}

impl Arguments {
    /// Every browser and every check.
    pub(crate) fn all() -> Self {
        Self::default()
    }
}

/// Whatever takes longer than this hangs; it is ended with all that it has started.
const LIMIT: Duration = Duration::from_mins(40);

/// Builds the package and tries it.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let mut tally = Tally::default();
    require_browsers(shell, arguments.browser.as_deref())?;
    let node = Node::find(shell)?;
    let builds = build_folder(shell, FOLDER);
    let toolchain = require_toolchain(shell)?;
    let here = shell.push_dir(FOLDER);
    node.install(shell)?;
    let cargo = |cmd: Cmd<'_>| Ok(cmd.env("CARGO_TARGET_DIR", &builds).run()?);
    tally.record("crate: formatted", cargo(cmd!(shell, "cargo fmt --check")));
    tally.record(
        "bindgen: formatted",
        cargo(cmd!(shell, "cargo fmt --check --manifest-path bindgen/Cargo.toml")),
    );
    tally.record("crate: clippy", cargo(cmd!(shell, "cargo clippy --all-targets -- -D warnings")));
    tally.record("crate: its tests on the host", cargo(cmd!(shell, "cargo test --quiet --lib")));
    let bindgen = Bindgen::build(shell, &builds)?;
    let module = module(shell, &toolchain, &bindgen, &builds);
    let tests = tests(shell, &toolchain, &bindgen, &builds);
    let built = module.and_then(|()| Ok(node.command(shell, &["npm/build.mjs"]).run()?));
    drop(here);
    let is_built = built.is_ok();
    tally.record("the package builds", built);
    if is_built {
        tally.record("the package works", try_out(shell, &node, arguments, tests));
    }
    tally.finish()
}

/// Browsers from Debian's packages, where there are none.
fn require_browsers(shell: &Shell, only: Option<&str>) -> Result<()> {
    let missing: Vec<&'static str> = BROWSERS
        .into_iter()
        .filter(|(name, places, _)| {
            only.is_none_or(|only| only == *name) && !places.iter().any(|place| shell.path_exists(place))
        })
        .map(|(_, _, package)| package)
        .collect();
    if missing.is_empty() { Ok(()) } else { debian::require(shell, &missing) }
}

/// A toolchain that compiles for WebAssembly; where there is none the targets are installed.
fn require_toolchain(shell: &Shell) -> Result<Toolchain> {
    let target = TARGETS.into_iter().find(|target| target.triple == TRIPLE);
    let target = target.context("WebAssembly is one of the targets")?;
    if let Some(toolchain) = Toolchain::with_target(shell, target) {
        return Ok(toolchain);
    }
    setup::run(shell)?;
    Toolchain::with_target(shell, target).with_context(|| format!("no toolchain can compile for {TRIPLE}"))
}

/// The module, and the JavaScript that wasm-bindgen puts beside it.
fn module(shell: &Shell, toolchain: &Toolchain, bindgen: &Bindgen, builds: &Path) -> Result<()> {
    toolchain
        .cargo(shell)
        .args(["build", "--release", "--lib", "--target", TRIPLE])
        .env("CARGO_TARGET_DIR", builds)
        .run()?;
    let module = builds.join(TRIPLE).join("release/blockyard_wasm.wasm");
    bindgen.run(shell, &module, Path::new("pkg"), Kind::Package)
}

/// The crate's tests for browsers; the folder of what a page needs to run them.
fn tests(shell: &Shell, toolchain: &Toolchain, bindgen: &Bindgen, builds: &Path) -> Result<PathBuf> {
    let said = toolchain
        .cargo(shell)
        .args(["test", "--release", "--test", "browser", "--target", TRIPLE, "--no-run"])
        .args(["--message-format", "json"])
        .env("CARGO_TARGET_DIR", builds)
        .read()?;
    let (_, behind) =
        said.rsplit_once("\"executable\":\"").context("cargo names no module of the crate's tests")?;
    let (module, _) = behind.split_once('"').context("cargo's words end early")?;
    let folder = builds.join("tests-of-the-crate");
    bindgen.run(shell, Path::new(module), &folder, Kind::Tests)?;
    Ok(folder)
}

/// Runs what `wasm-shell/test` holds.
fn try_out(shell: &Shell, node: &Node, arguments: &Arguments, tests: Result<PathBuf>) -> Result<()> {
    // The command line's program, to read each other's files.
    cmd!(shell, "cargo build --quiet --package blockyard-cli").run()?;
    let program = build_folder(shell, "debug").join("blockyard");
    let mut words = vec!["wasm-shell/test/run.mjs"];
    words.extend(arguments.browser.as_deref());
    if let Some(only) = &arguments.only {
        words.extend(["--only", only]);
    }
    if arguments.quick {
        words.push("--quick");
    }
    let command = node.command(shell, &words).env("CLI", program).env("WASM_TESTS", tests?);
    let ended = child::run(command, LIMIT, Echo::Live)?;
    if ended.success {
        return Ok(());
    }
    // The end of a long log is what one sees: what failed is said again.
    let mut said: String =
        ended.output.lines().filter(|line| line.contains("FAILED")).map(|line| format!("\n{line}")).collect();
    if ended.timed_out {
        said += &format!("\nit was ended after {} minutes", LIMIT.as_secs() / 60);
    }
    if said.is_empty() {
        said = format!("\n{}", child::tail(&ended.output, 20));
    }
    bail!("not all checks passed{said}")
}
