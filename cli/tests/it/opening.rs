//! Files that cannot be opened: exit code 3, and nothing changed.

use crate::support::{Bench, Ran, noise};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

/// Every command on `file`, with arguments that would otherwise do.
fn every_command(bench: &Bench, file: &str) -> Vec<Ran> {
    bench.write("folder/x", "x");
    [
        &["put", file, "a", "folder/x"][..],
        &["get", file, "a"],
        &["ls", file],
        &["rm", file, "a"],
        &["mv", file, "a", "b"],
        &["stat", file],
        &["import", file, "folder"],
        &["export", file, "out"],
        &["verify", file],
        &["exec", file],
    ]
    .iter()
    .map(|args| bench.run(*args))
    .collect()
}

#[test]
fn what_is_not_a_blockyard_file_stays_as_it_is() {
    let bench = Bench::new();
    for (name, bytes) in [("text", b"hello".to_vec()), ("noise", noise(300_000, 3))] {
        bench.write(name, &bytes);
        for ran in every_command(&bench, name) {
            ran.fails(3, &[name]);
        }
        assert!(fs::read(bench.path(name)).expect("the file") == bytes, "{name}");
    }
}

#[test]
fn an_empty_file_is_none_until_import_makes_it_one() {
    let bench = Bench::new();
    bench.write("in/a", "x");
    // Zeros are what a creation that was cut short leaves behind.
    for (name, bytes) in [("empty", Vec::new()), ("zeros", vec![0; 100_000])] {
        bench.write(name, &bytes);
        bench.run(["ls", name]).fails(3, &[name]);
        bench.run(["exec", name]).fails(3, &[name]);
        assert!(fs::read(bench.path(name)).expect("the file") == bytes, "{name}");
        bench.run(["import", name, "in"]).fine();
        assert_eq!(bench.run(["ls", name]).fine().lines(), ["a"]);
    }
}

#[test]
fn a_missing_file_or_a_folder_is_3() {
    let bench = Bench::new();
    bench.run(["ls", "missing"]).fails(3, &["missing"]);
    bench.run(["exec", "missing"]).fails(3, &["missing"]);
    bench.run(["create", "no/such/folder.by"]).fails(3, &["folder.by"]);
    bench.run(["ls", "."]).fails(3, &[]);
    assert!(!bench.path("missing").exists());
}

#[test]
fn a_file_cut_short_is_3() {
    let bench = Bench::with_store();
    bench.put("a", noise(300_000, 1));
    let bytes = fs::read(bench.path("s.by")).expect("the store");
    fs::write(bench.path("cut.by"), &bytes[..bytes.len() / 1000]).expect("a cut store");
    bench.run(["ls", "cut.by"]).fails(3, &["cut.by"]);
}

#[test]
fn a_second_opener_is_told_so() {
    let bench = Bench::with_store();
    let mut first = bench.command(["exec", "s.by"]).stdin(Stdio::piped()).spawn().expect("the first opener");
    let mut stdin = first.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(first.stdout.take().expect("a pipe"));
    // The answer shows that the file is open.
    stdin.write_all(b"put a 1\ncommit\n").expect("commands");
    let mut line = String::new();
    stdout.read_line(&mut line).expect("an answer");
    assert!(line.starts_with("ok "), "{line}");
    for ran in every_command(&bench, "s.by") {
        ran.fails(3, &["s.by"]);
    }
    drop(stdin);
    assert_eq!(first.wait().expect("the first opener ends").code(), Some(0));
    assert_eq!(bench.run(["get", "s.by", "a"]).fine().stdout, b"1");
}

#[test]
fn readers_share_a_file() {
    let bench = Bench::with_store();
    bench.put("large", noise(8 << 20, 1));
    // Nobody reads what it writes, so it stands still with the file open.
    let mut reader = bench.command(["get", "s.by", "large"]).spawn().expect("a reader");
    let mut start = [0; 1];
    std::io::Read::read_exact(reader.stdout.as_mut().expect("a pipe"), &mut start).expect("the first byte");
    bench.run(["ls", "s.by"]).fine();
    bench.run(["verify", "s.by"]).fine();
    bench.feed(["put", "s.by", "b"], "x").fails(3, &["s.by"]);
    drop(reader.stdout.take());
    assert_eq!(reader.wait().expect("the reader ends").code(), Some(0), "a broken pipe is no error");
}

#[test]
fn usage_is_2() {
    let bench = Bench::with_store();
    for args in [
        &["frobnicate"][..],
        &["ls"],
        &["rm", "s.by"],
        &["put", "s.by", "a", "-", "--tag", "x"],
        &["ls", "--no"],
        &[],
    ] {
        assert_eq!(bench.run(args).code, 2, "{args:?}");
    }
    for args in
        [&["--help"][..], &["--version"], &["help", "exec"], &["import", "--help"], &["completions", "bash"]]
    {
        assert!(!bench.run(args).fine().stdout.is_empty(), "{args:?}");
    }
}
