//! `cargo xtask browser`: the shell for JavaScript. Its crate is checked, the npm package is built and packed,
//! and then tried as a package, under Node, and in Chromium and Firefox without a window.
//!
//! What happens in browsers is written in JavaScript, in `wasm-shell/test`; here are the tools that it needs
//! and their installation. Nothing that is built stays in the checkout but what git ignores.

mod bindgen;
mod node;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::setup::debian;
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

/// Builds the package and tries it.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let mut tally = Tally::default();
    require_browsers(shell, arguments.browser.as_deref())?;
    let node = Node::find(shell)?;
    let builds = build_folder(shell, FOLDER);
    let Some(toolchain) = wasm_toolchain(shell) else {
        bail!("no toolchain can compile for {TRIPLE}; run `cargo xtask setup`");
    };
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
    let built = module.and_then(|()| node.run(shell, &["npm/build.mjs"], &[]));
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

fn wasm_toolchain(shell: &Shell) -> Option<Toolchain> {
    let target = TARGETS.into_iter().find(|target| target.triple == TRIPLE)?;
    Toolchain::with_target(shell, target)
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
    node.run(shell, &words, &[("CLI", program), ("WASM_TESTS", tests?)])
}
