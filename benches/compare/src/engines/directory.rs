//! A directory with a file for each record, replaced by rename: how programs keep records without an engine.
//! Only in the predecessor's table.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};

pub(super) const KIND: Kind = Kind {
    name: "directory",
    package: None,
    role: Role::Peer,
    zero_copy: false,
    on_disk: true,
    rust_heap: true,
    settings: Settings {
        durable: "each record in a new file, one syncfs for all of a batch, renamed over the old ones, the directory synced; a batch is not atomic",
        relaxed: "written and renamed; then syncfs",
        reads: "open and read",
        other: "",
    },
    open,
};

struct Directory {
    path: PathBuf,
    /// The same, open, to be synced.
    handle: File,
}

fn open(opening: &Opening) -> Result<Box<dyn Engine>> {
    let path = opening.path("records");
    fs::create_dir_all(&path)?;
    let handle = File::open(&path)?;
    Ok(Box::new(Directory { path, handle }))
}

impl Directory {
    /// A record's file; a name's slash has no place in a file's.
    fn file(&self, key: &[u8]) -> Result<PathBuf> {
        Ok(self.path.join(std::str::from_utf8(key)?.replace('/', "-")))
    }

    fn write_new(&self, key: &[u8], value: &[u8]) -> Result<(PathBuf, PathBuf)> {
        let home = self.file(key)?;
        let fresh = home.with_extension("new");
        fs::write(&fresh, value)?;
        Ok((fresh, home))
    }

    fn names(&self) -> Result<Vec<String>> {
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry?.file_name().into_string().ok().context("a file that is no record")
        };
        let mut names: Vec<String> = fs::read_dir(&self.path)?.map(name).collect::<Result<_>>()?;
        names.sort_unstable();
        Ok(names)
    }
}

impl Engine for Directory {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Session for &Directory {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch(&[Change::Put(key, value)], true)
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let (fresh, home) = self.write_new(key, value)?;
        Ok(fs::rename(fresh, home)?)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(rustix::fs::syncfs(&self.handle)?)
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        let mut moves = Vec::with_capacity(changes.len());
        for change in changes {
            match *change {
                Change::Put(key, value) => moves.push(self.write_new(key, value)?),
                Change::Delete(key) => match fs::remove_file(self.file(key)?) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                },
            }
        }
        if durable {
            rustix::fs::syncfs(&self.handle)?;
        }
        for (fresh, home) in moves {
            match fs::rename(fresh, home) {
                // A record that is twice in a batch has one new file.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        if durable { Ok(self.handle.sync_all()?) } else { Ok(()) }
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.batch(&[Change::Delete(key)], true)
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        work(self)
    }
}

impl Reader for &Directory {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let mut file = match File::open(self.file(key)?) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut length = 0;
        loop {
            match file.read(&mut buffer[length..])? {
                0 => return Ok(Some(length)),
                more => length += more,
            }
        }
    }

    fn show(&mut self, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<bool> {
        anyhow::bail!("a file shows nothing without a copy")
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let mut names = self.names()?;
        if matches!(span, Span::Backward) {
            names.reverse();
        }
        let mut value = Vec::new();
        for name in names {
            let key = name.replace('-', "/").into_bytes();
            let wanted = match span {
                Span::Forward | Span::Backward => true,
                Span::Prefix(prefix) => key.starts_with(prefix),
                Span::From(from) => key.as_slice() >= from,
            };
            if !wanted {
                continue;
            }
            value.clear();
            File::open(self.path.join(name))?.read_to_end(&mut value)?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}
