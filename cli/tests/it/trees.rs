//! import and export.

use crate::support::{Bench, noise};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Every file below `folder` with its contents.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).expect("a path below").to_owned();
                files.insert(relative, fs::read(path).expect("a file"));
            }
        }
    }
    files
}

/// Files of many sizes, with odd names among them.
fn plant(bench: &Bench) {
    for index in 0..700_usize {
        bench.write(format!("in/many/{}/{index}.txt", index % 7), noise(index * 13 % 3000, index as u64));
    }
    bench.write("in/empty", "");
    bench.write("in/large", noise((3 << 20) + 1, 1));
    bench.write("in/just small", noise(128 << 10, 2));
    bench.write("in/just large", noise((128 << 10) + 1, 3));
    bench.write("in/odd/…/grün 日本", "x");
    bench.write("in/odd/-dash", "x");
    bench.write("in/odd/back\\slash", "x");
    bench.write("in/odd/new\nline", "x");
    bench.write(Path::new("in/odd").join(OsStr::from_bytes(b"\xff\xfe")), "not UTF-8");
    bench.write(format!("in/{}/{}", "d".repeat(200), "f".repeat(200)), "long");
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let bench = Bench::new();
    plant(&bench);
    let report = bench.run(["import", "s.by", "in", "--json"]).fine().json();
    let planted = tree(&bench.path("in"));
    assert_eq!(report["files"], planted.len());
    assert_eq!(report["bytes"], planted.values().map(Vec::len).sum::<usize>());
    assert_eq!((&report["skipped"], &report["failed"]), (&0.into(), &0.into()));
    let report = bench.run(["export", "s.by", "out", "--json"]).fine().json();
    assert_eq!(report["files"], planted.len());
    assert!(tree(&bench.path("out")) == planted);
    bench.run(["verify", "s.by"]).fine();

    // Once more, over what is there, changes nothing.
    assert_eq!(bench.run(["import", "s.by", "in"]).fine().stdout, b"");
    assert_eq!(bench.run(["export", "s.by", "out"]).fine().stdout, b"");
    assert!(tree(&bench.path("out")) == planted);
    bench.run(["verify", "s.by"]).fine();
    let mode = fs::metadata(bench.path("out/empty")).expect("a file").permissions().mode();
    let expected = fs::metadata(bench.path("in/empty")).expect("a file").permissions().mode();
    assert_eq!(mode, expected, "a file gets the permissions of any new file");
}

#[test]
fn a_prefix_goes_on_and_comes_off() {
    let bench = Bench::new();
    bench.write("in/a/b", "1");
    bench.write("in/c", "2");
    bench.run(["import", "s.by", "in", "--prefix", "p/"]).fine();
    bench.run(["import", "s.by", "in/", "--prefix", "q-"]).fine();
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["p/a/b", "p/c", "q-a/b", "q-c"]);
    bench.run(["export", "s.by", "kept", "p/"]).fine();
    assert_eq!(tree(&bench.path("kept")).len(), 2);
    assert_eq!(fs::read(bench.path("kept/p/a/b")).expect("a file"), b"1");
    bench.run(["export", "s.by", "stripped", "p/", "--strip"]).fine();
    assert!(tree(&bench.path("stripped")) == tree(&bench.path("in")));
}

#[test]
fn import_tells_what_it_skips() {
    let bench = Bench::new();
    bench.write("in/file", "x");
    symlink("file", bench.path("in/link")).expect("a link");
    symlink("/", bench.path("in/root")).expect("a link");
    let fifo = std::process::Command::new("mkfifo").arg(bench.path("in/pipe")).stdin(Stdio::null()).status();
    assert!(fifo.expect("mkfifo").success());
    let ran = bench.run(["import", "s.by", "in", "--json"]);
    assert_eq!(ran.code, 0);
    for path in ["in/link", "in/root", "in/pipe"] {
        assert!(ran.stderr.contains(path), "{path}: {}", ran.stderr);
    }
    assert_eq!((&ran.json()["files"], &ran.json()["skipped"]), (&1.into(), &3.into()));
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["file"]);
}

#[test]
fn import_leaves_the_store_itself_out() {
    let bench = Bench::new();
    bench.write("in/file", "x");
    let ran = bench.run(["import", "in/s.by", "in"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("the store itself"), "{}", ran.stderr);
    assert_eq!(bench.run(["ls", "in/s.by"]).fine().lines(), ["file"]);
}

#[test]
fn import_goes_on_after_a_file_it_cannot_store() {
    let bench = Bench::new();
    let folder = PathBuf::from("in").join("d".repeat(250)).join("d".repeat(250)).join("d".repeat(250));
    bench.write(folder.join("too long a name"), "x");
    bench.write(folder.join("too long a name as well"), noise(200_000, 1));
    bench.write("in/fine", "x");
    let ran = bench.run(["import", "s.by", "in", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 2, "{ran:?}");
    let report = ran.json();
    assert_eq!((&report["files"], &report["failed"], &report["bytes"]), (&1.into(), &2.into(), &1.into()));
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["fine"]);
}

#[test]
fn import_of_what_is_no_folder_creates_nothing() {
    let bench = Bench::new();
    bench.write("file", "x");
    bench.run(["import", "s.by", "nowhere"]).fails(1, &["nowhere"]);
    bench.run(["import", "s.by", "file"]).fails(1, &["file", "put"]);
    assert!(!bench.path("s.by").exists());
}

#[test]
fn hostile_names_do_not_leave_the_folder() {
    let bench = Bench::with_store();
    let absolute = bench.path("absolute").into_os_string();
    let hostile =
        ["../escaped", "a/../../escaped", "..", ".", "a//b", "a/", "x/.", "x/./y"].map(OsString::from);
    for name in hostile.iter().chain([&absolute]) {
        bench.put(name, "hostile");
    }
    bench.put("fine/file", "fine");
    bench.put("fine/file/below a file", "no");
    bench.put("zebra", "last");
    // A NUL cannot be given as an argument.
    let nul = bench.feed(["exec", "s.by"], b"put nul\0name x\ncommit\n");
    assert_eq!(nul.code, 0, "{nul:?}");

    let before = tree(&bench.path(""));
    let ran = bench.run(["export", "s.by", "out", "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr.lines().count(), hostile.len() + 3, "{}", ran.stderr);
    assert_eq!((&ran.json()["files"], &ran.json()["failed"]), (&2.into(), &(hostile.len() + 3).into()));
    let exported = tree(&bench.path("out"));
    assert_eq!(exported.keys().collect::<Vec<_>>(), [Path::new("fine/file"), Path::new("zebra")]);
    assert_eq!(exported[Path::new("fine/file")], b"fine");
    fs::remove_dir_all(bench.path("out")).expect("the export goes");
    assert!(tree(&bench.path("")) == before, "nothing outside the folder");
}

#[test]
fn export_goes_through_no_symbolic_link() {
    let bench = Bench::with_store();
    bench.put("link/file", "x");
    bench.put("plain", "new");
    fs::create_dir_all(bench.path("elsewhere")).expect("a folder");
    fs::create_dir_all(bench.path("out")).expect("a folder");
    symlink("../elsewhere", bench.path("out/link")).expect("a link");
    bench.write("target", "old");
    symlink("../target", bench.path("out/plain")).expect("a link");
    bench.run(["export", "s.by", "out"]).fails(1, &["link/file", "symbolic link"]);
    assert_eq!(fs::read_dir(bench.path("elsewhere")).expect("a folder").count(), 0);
    assert_eq!(fs::read(bench.path("target")).expect("the target"), b"old");
    assert_eq!(fs::read(bench.path("out/plain")).expect("a file"), b"new");
}

#[test]
fn export_never_writes_over_the_store() {
    let bench = Bench::with_store();
    bench.put("s.by", "trap");
    bench.put("t", "x");
    bench.run(["export", "s.by", "."]).fails(1, &["the store itself"]);
    assert_eq!(bench.run(["get", "s.by", "s.by"]).fine().stdout, b"trap");
    assert_eq!(fs::read(bench.path("t")).expect("a file"), b"x");
}

#[test]
fn export_over_folders_and_files_in_the_way_is_reported() {
    let bench = Bench::with_store();
    bench.put("a", "x");
    bench.put("b/c", "x");
    bench.write("out/a/already", "1");
    bench.write("out/b", "2");
    let ran = bench.run(["export", "s.by", "out"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (1, 2), "{ran:?}");
    assert_eq!(tree(&bench.path("out")).len(), 2);
}

/// Runs a command to its end and gives the most memory that it ever held, in bytes.
fn peak_memory(bench: &Bench, args: &[&str]) -> u64 {
    let mut child = bench.command(args).stdout(Stdio::null()).spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("the program runs").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(child.wait().expect("the program ends").success(), "{args:?}");
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_small_whatever_the_sizes() {
    const LIMIT: u64 = 64 << 20;
    let bench = Bench::new();
    bench.write("in/large", noise(192 << 20, 1));
    for index in 0..400_u64 {
        bench.write(format!("in/small/{index}"), noise(100_000, index));
    }
    for args in [
        &["import", "s.by", "in"][..],
        &["put", "s.by", "again", "in/large"],
        &["get", "s.by", "large"],
        &["verify", "s.by"],
        &["export", "s.by", "out", "large"],
        &["ls", "s.by", "--json"],
    ] {
        let peak = peak_memory(&bench, args);
        assert!(0 < peak && peak < LIMIT, "{args:?} held {} MiB", peak >> 20);
    }
    assert!(fs::read(bench.path("out/large")).expect("the export") == noise(192 << 20, 1));
}
