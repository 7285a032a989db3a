//! Where the demo works, and what it leaves behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The name under which the last Blockyard file is left.
const LEFT: &str = "blockyard-demo.by";

/// The directory in which a run works.
pub(crate) struct Place {
    base: PathBuf,
    work: TempDir,
    keep: bool,
}

/// What a run leaves behind.
pub(crate) struct Kept {
    /// The Blockyard file of the last round.
    pub(crate) file: PathBuf,
    /// The files of all engines, if they were to be kept.
    pub(crate) work: Option<PathBuf>,
    /// The kind of file system all files lay on, if it can be told (`ext4`, `tmpfs`).
    pub(crate) filesystem: Option<String>,
}

impl Place {
    /// A fresh directory in `directory`, or in the system's temporary directory.
    pub(crate) fn make(directory: Option<&Path>, keep: bool) -> Result<Self> {
        let base = directory.map_or_else(std::env::temp_dir, Path::to_path_buf);
        fs::create_dir_all(&base).with_context(|| format!("cannot make {}", base.display()))?;
        let mut work = tempfile::Builder::new()
            .prefix("blockyard-demo-")
            .tempdir_in(&base)
            .with_context(|| format!("cannot make a directory in {}", base.display()))?;
        work.disable_cleanup(keep);
        Ok(Self { base, work, keep })
    }

    /// An empty directory for an engine in a round.
    pub(crate) fn engine(&self, round: u32, engine: &str) -> Result<PathBuf> {
        let path = self.round(round).join(engine);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Removes an engine's files of a round that is over, and lets the file system finish with
    /// that.
    pub(crate) fn clear(&self, round: u32, engine: &str) -> Result<()> {
        let path = self.round(round).join(engine);
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        File::open(self.work.path())?.sync_all()?;
        Ok(())
    }

    /// Leaves the Blockyard file where the user finds it, and removes the rest unless it is to be
    /// kept.
    pub(crate) fn settle(mut self, file: PathBuf) -> Result<Kept> {
        let filesystem = filesystem(&self.base);
        if self.keep {
            return Ok(Kept { file, work: Some(self.work.path().to_path_buf()), filesystem });
        }
        let left = self.base.join(LEFT);
        if fs::rename(&file, &left).is_ok() {
            return Ok(Kept { file: left, work: None, filesystem });
        }
        // Somebody else's file of that name in a shared directory: ours stays where it is.
        self.work.disable_cleanup(true);
        Ok(Kept { file, work: Some(self.work.path().to_path_buf()), filesystem })
    }

    fn round(&self, round: u32) -> PathBuf {
        self.work.path().join(format!("round-{round}"))
    }
}

/// The kind of the file system a path lies on.
fn filesystem(path: &Path) -> Option<String> {
    kind_in(&fs::read_to_string("/proc/self/mounts").ok()?, &path.canonicalize().ok()?)
}

/// The kind of the innermost mount that holds the path; of two on the same place the later one is
/// on top.
fn kind_in(mounts: &str, path: &Path) -> Option<String> {
    let fields = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let holding = fields.filter(|(place, _)| path.starts_with(place));
    holding.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_names_the_file_system() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk xfs rw 0 0\n";
        let kind = |path: &str| kind_in(mounts, Path::new(path));
        assert_eq!(kind("/home/x").as_deref(), Some("ext4"));
        assert_eq!(kind("/tmp/x").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/tmp/disk/x").as_deref(), Some("xfs"));
        assert_eq!(kind("/tmpfile").as_deref(), Some("ext4"));
    }

    #[test]
    fn the_blockyard_file_stays_and_the_rest_goes() {
        let base = tempfile::tempdir().expect("a directory");
        let place = Place::make(Some(base.path()), false).expect("a place");
        let file = place.engine(0, "x").expect("a directory").join("demo.by");
        fs::write(&file, "bytes").expect("written");
        let kept = place.settle(file).expect("settled");
        assert_eq!(kept.file, base.path().join(LEFT));
        assert_eq!(kept.work, None);
        assert_eq!(fs::read_dir(base.path()).expect("listed").count(), 1);
    }

    #[test]
    fn everything_stays_when_asked() {
        let base = tempfile::tempdir().expect("a directory");
        let place = Place::make(Some(base.path()), true).expect("a place");
        let file = place.engine(0, "x").expect("a directory").join("demo.by");
        fs::write(&file, "bytes").expect("written");
        let kept = place.settle(file.clone()).expect("settled");
        assert_eq!(kept.file, file);
        assert!(file.exists() && kept.work.is_some_and(|work| work.exists()));
    }
}
