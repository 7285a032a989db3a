//! The file behind a path: found or made, locked, its directory synced.

use crate::error::{OpenError, Result};
use crate::options::OpenOptions;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

/// The error of a path.
pub(crate) fn error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source: Arc::new(source) }
}

/// Opens and locks the file, and says whether it is new. A creator that failed takes its file away:
/// what is locked then is no longer what the path names.
pub(crate) fn locked(options: &OpenOptions, path: &Path) -> Result<(File, bool), OpenError> {
    let io = |source| error(path, source);
    loop {
        let (file, fresh) = open(options, path)?;
        let locked = if options.read_only { file.try_lock_shared() } else { file.try_lock() };
        locked.map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::Locked(path.to_owned()),
            TryLockError::Error(error) => io(error),
        })?;
        let ours = file.metadata().map_err(io)?;
        match std::fs::metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => return Ok((file, fresh)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
    }
}

fn open(options: &OpenOptions, path: &Path) -> Result<(File, bool), OpenError> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(OpenError::NotBlockyard(path.to_owned()));
    }
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound(path.to_owned()),
        io::ErrorKind::AlreadyExists => OpenError::AlreadyExists(path.to_owned()),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            if !options.read_only && path.exists() =>
        {
            OpenError::ReadOnly
        }
        _ => error(path, source),
    };
    let mut how = File::options();
    how.read(true).write(!options.read_only);
    if options.create_new {
        return Ok((how.create_new(true).open(path).map_err(failed)?, true));
    }
    loop {
        match how.open(path) {
            Ok(file) => return Ok((file, false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && options.create && !options.read_only => {
            }
            Err(error) => return Err(failed(error)),
        }
        match how.clone().create_new(true).open(path) {
            Ok(file) => return Ok((file, true)),
            // A link to a file that is not there yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_symlink() => {
                return Ok((how.create(true).truncate(false).open(path).map_err(failed)?, false));
            }
            // Another creator was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Makes the file's name durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
