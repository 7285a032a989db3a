//! A copy of the tree that may be changed, with builds of its own.
//!
//! Only files that differ are written, here and by a patch, so that cargo builds anew only what changed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::child::{self, Echo, Ended};
use crate::toolchain::build_folder;

/// Where the copy and its builds are.
pub(crate) struct Scratch<'a> {
    shell: &'a Shell,
    pub(crate) tree: PathBuf,
    pub(crate) builds: PathBuf,
    /// Two runs in one copy would undo each other's changes; unlocked when it is closed.
    _lock: File,
}

impl<'a> Scratch<'a> {
    /// The workspace's files as they are now, committed or not, in the folder of that name.
    pub(crate) fn new(shell: &'a Shell, name: &str) -> Result<Self> {
        let folder = build_folder(shell, name);
        std::fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().with_context(|| format!("another run is at work in {}", folder.display()))?;
        let (tree, builds) = (folder.join("tree"), folder.join("builds"));
        let scratch = Self { shell, tree, builds, _lock: lock };
        scratch.refresh()?;
        Ok(scratch)
    }

    /// Makes the copy what the workspace is now.
    pub(crate) fn refresh(&self) -> Result<()> {
        let root = self.shell.current_dir();
        let list = cmd!(self.shell, "git ls-files -z --cached --others --exclude-standard");
        let list = list.quiet().read().context("git cannot list the files of the workspace")?;
        let names: BTreeSet<&Path> =
            list.split('\0').filter(|name| !name.is_empty()).map(Path::new).collect();
        ensure!(!names.is_empty(), "git knows no file of the workspace");
        let mut kept = BTreeSet::new();
        for name in names {
            let from = root.join(name);
            // Deleted and not yet committed so, or another repository.
            if from.is_file() {
                copy(&from, &self.tree.join(name))?;
                kept.insert(self.tree.join(name));
            }
        }
        remove_others(&self.tree, &kept)
    }

    /// Runs a command in the copy.
    pub(crate) fn run(&self, command: Cmd<'_>, limit: Duration, echo: Echo) -> Result<Ended> {
        self.run_until(command, limit, echo, |_| false)
    }

    /// As [`run`](Self::run), to a line that is `enough`.
    pub(crate) fn run_until(
        &self,
        command: Cmd<'_>,
        limit: Duration,
        echo: Echo,
        enough: impl Fn(&str) -> bool,
    ) -> Result<Ended> {
        let command = command
            .env("CARGO_TARGET_DIR", &self.builds)
            // Nobody debugs these builds.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUST_BACKTRACE", "0")
            // Of tests that bring out a hang: here many hang.
            .env("BLOCKYARD_PATIENCE", "8")
            .env("CARGO_TERM_COLOR", "never");
        let mut command = std::process::Command::from(command);
        command.current_dir(&self.tree);
        child::run_until(command, limit, echo, enough)
    }

    /// Applies a patch, the other way round if it is to be taken back; the error is what git said.
    pub(crate) fn apply(&self, patch: &Path, reverse: bool) -> Result<()> {
        let git = self.git().arg("apply").args(reverse.then_some("--reverse")).arg(patch);
        let ended = git.ignore_status().output()?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr).trim());
        Ok(())
    }

    /// Git in the copy, which belongs to no repository.
    fn git(&self) -> Cmd<'a> {
        let above = self.tree.parent().unwrap_or(&self.tree);
        let git = cmd!(self.shell, "git").arg("-C").arg(&self.tree);
        git.env("GIT_CEILING_DIRECTORIES", above).quiet()
    }
}

/// Copies a file unless the same bytes are there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if std::fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

/// Removes what an earlier copy left and the workspace no longer has. Cargo writes its lock file itself.
fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (from, to) = (folder.path().join("from"), folder.path().join("copy/to"));
        std::fs::write(&from, "new").expect("written");
        copy(&from, &to).expect("copied");
        let written = |path: &Path| std::fs::metadata(path).and_then(|it| it.modified()).expect("there");
        let (first, kept) = (written(&to), BTreeSet::from([to.clone()]));
        copy(&from, &to).expect("the same");
        assert_eq!(written(&to), first);
        std::fs::write(folder.path().join("copy/old"), "left over").expect("written");
        remove_others(&folder.path().join("copy"), &kept).expect("removed");
        let left: Vec<_> = std::fs::read_dir(folder.path().join("copy")).expect("there").flatten().collect();
        assert_eq!(left.len(), 1);
    }
}
