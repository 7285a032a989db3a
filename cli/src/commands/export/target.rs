//! Where a block goes in the exported folder, if it may go there at all.
//!
//! 1. A path that is given out lies below the root, whatever the name.
//! 2. No folder on the way to it is a symbolic link.
//! 3. It is neither the store nor a folder.

use crate::name;
use crate::opening::Identity;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The folder that is exported into.
pub(super) struct Folder {
    root: PathBuf,
    /// The store that is exported, not to be written over.
    own: Option<Identity>,
    /// The folder made or checked last: names come in order, so the next often needs the same.
    checked: PathBuf,
}

impl Folder {
    /// Exports go to `root`, which exists; `own` is the store.
    pub(super) fn new(root: PathBuf, own: Option<Identity>) -> Self {
        Self { checked: root.clone(), root, own }
    }

    /// The path for the block `name`, its folders made; or why there is none.
    pub(super) fn place(&mut self, name: &[u8]) -> Result<PathBuf, String> {
        let mut parts = parts(name)?;
        let file = parts.pop().ok_or_else(|| "its name is empty; rename it first".to_owned())?;
        let mut folder = self.root.clone();
        folder.extend(&parts);
        if folder != self.checked {
            self.make(&parts)?;
            self.checked.clone_from(&folder);
        }
        folder.push(file);
        self.check_file(&folder)?;
        Ok(folder)
    }

    fn make(&self, parts: &[&OsStr]) -> Result<(), String> {
        let mut folder = self.root.clone();
        for part in parts {
            folder.push(part);
            make_one(&folder)?;
        }
        Ok(())
    }

    fn check_file(&self, path: &Path) -> Result<(), String> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        if metadata.is_dir() {
            return Err(format!("{} is a folder; move it away or rename the block", path.display()));
        }
        if self.own.is_some() && Identity::of_metadata(&metadata) == self.own {
            return Err(format!("{} is the store itself; export to another folder", path.display()));
        }
        Ok(())
    }
}

/// Makes `folder`, in a folder already checked, unless it is there.
fn make_one(folder: &Path) -> Result<(), String> {
    let at = folder.display();
    match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(metadata) if metadata.is_symlink() => Err(format!(
            "{at} is a symbolic link and may lead elsewhere; move it away or export to another folder"
        )),
        Ok(_) => Err(format!("{at} is a file and cannot hold files; rename one of the two blocks")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir(folder).map_err(|error| format!("cannot make the folder {at}: {error}"))
        }
        Err(error) => Err(format!("{at}: {error}")),
    }
}

/// The parts of a name between slashes, each fit to be a file's name.
fn parts(name: &[u8]) -> Result<Vec<&OsStr>, String> {
    name.split(|byte| *byte == b'/')
        .map(|part| part_of_path(part).map_err(|reason| format!("{reason}; rename it first")))
        .collect()
}

fn part_of_path(part: &[u8]) -> Result<&OsStr, String> {
    if part.is_empty() {
        return Err("its name starts or ends with `/`, or has an empty part".to_owned());
    }
    if part.contains(&0) {
        return Err("its name has a NUL".to_owned());
    }
    let text = os_text(part).ok_or_else(|| "its name is not UTF-8, which this system needs".to_owned())?;
    // `.`, `..` and, elsewhere, drives and other separators are not one normal part.
    let mut components = Path::new(text).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == text => Ok(text),
        _ => Err(format!("its name has the part `{}`, which leads elsewhere", name::shown(part))),
    }
}

#[cfg(unix)]
fn os_text(bytes: &[u8]) -> Option<&OsStr> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn os_text(bytes: &[u8]) -> Option<&OsStr> {
    str::from_utf8(bytes).ok().map(OsStr::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let names: [&[u8]; 12] = [
            b"",
            b"/",
            b"/etc/passwd",
            b"..",
            b"../x",
            b"a/../../x",
            b"a/..",
            b"a//b",
            b"a/",
            b".",
            b"a/./b",
            b"a\0b",
        ];
        for name in names {
            assert!(parts(name).is_err(), "{}", name::shown(name));
        }
    }

    #[test]
    fn odd_names_are_kept() {
        let names: [&[u8]; 6] = [b"a", b"a/b/c", b"...", b"..a/b..", b" ", b"\xff/\n"];
        for name in names {
            let joined = parts(name)
                .expect("a fit name")
                .iter()
                .map(|part| part.as_encoded_bytes())
                .collect::<Vec<_>>();
            assert_eq!(joined.join(&b'/'), name);
        }
    }
}
