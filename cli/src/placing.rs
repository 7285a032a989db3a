//! Putting a file in its place in one step: written beside it under a temporary name, then renamed.
//!
//! So a reader sees the old file or the whole new one, and a failure or a power cut leaves the old one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempPath};

/// A file on its way to its place. Dropped before [`finish`](Self::finish), it leaves nothing.
pub(crate) enum Placing {
    /// A regular file: a temporary one beside `target`, which it will replace.
    Renamed {
        /// What is written.
        file: NamedTempFile,
        /// Where it will lie.
        target: PathBuf,
        /// The permissions of the file that it replaces, if it keeps them.
        permissions: Option<Permissions>,
    },
    /// A device, a pipe or the like: written directly, as it must not be replaced.
    Direct(File),
}

impl Placing {
    /// A new file at `target` in an existing folder.
    pub(crate) fn new(target: PathBuf) -> io::Result<Self> {
        let file = builder().tempfile_in(folder_of(&target))?;
        Ok(Self::Renamed { file, target, permissions: None })
    }

    /// What a user named as output: links are followed, permissions of a file that is replaced stay,
    /// and what is not a regular file is written directly.
    pub(crate) fn over(path: &Path) -> io::Result<Self> {
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::new(path.to_owned()),
            metadata => metadata?,
        };
        if !metadata.is_file() {
            return OpenOptions::new().write(true).open(path).map(Self::Direct);
        }
        let mut placing = Self::new(fs::canonicalize(path)?)?;
        if let Self::Renamed { permissions, .. } = &mut placing {
            *permissions = Some(metadata.permissions());
        }
        Ok(placing)
    }

    /// Puts the file in its place.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Renamed { file, target, permissions } => {
                if let Some(permissions) = permissions {
                    file.as_file().set_permissions(permissions)?;
                }
                // A power cut leaves the file that is there or the whole new one, and none without its bytes.
                if fs::symlink_metadata(&target).is_ok() {
                    file.as_file().sync_data()?;
                }
                file.persist(target).map_err(|error| error.error)?;
                Ok(())
            }
            Self::Direct(_) => Ok(()),
        }
    }
}

impl Write for Placing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Renamed { file, .. } => file.as_file_mut().write(bytes),
            Self::Direct(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that somebody else writes, on its way to a place where there is none yet. Dropped before
/// [`finish`](Self::finish), it leaves nothing.
pub(crate) struct Fresh {
    file: TempPath,
    target: PathBuf,
}

impl Fresh {
    /// An empty file beside `target`, which must not be there.
    pub(crate) fn beside(target: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(target).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = builder().tempfile_in(folder_of(target))?.into_temp_path();
        Ok(Self { file, target: target.to_owned() })
    }

    /// Where it lies until then.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Puts it in its place, for a power cut too; it was synced.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.persist_noclobber(&self.target).map_err(|error| error.error)?;
        File::open(folder_of(&self.target))?.sync_all()
    }
}

/// The folder that a file lies in.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Temporary files that end up with the permissions that any new file would get.
#[cfg(unix)]
fn builder() -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".blockyard-").suffix(".part").permissions(Permissions::from_mode(0o666));
    builder
}

/// Temporary files.
#[cfg(not(unix))]
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".blockyard-").suffix(".part");
    builder
}
