//! A flipped byte is found and named, and takes nothing else with it.

use crate::support::{Bench, noise};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

/// Where the bytes of `needle` lie in the store.
fn place(bench: &Bench, needle: &[u8]) -> usize {
    let bytes = fs::read(bench.path("s.by")).expect("the store");
    bytes.windows(needle.len()).position(|window| window == needle).expect("the bytes are in the file")
}

fn flip(bench: &Bench, at: usize) {
    let mut bytes = fs::read(bench.path("s.by")).expect("the store");
    bytes[at] ^= 0x10;
    fs::write(bench.path("s.by"), bytes).expect("the damaged store");
}

/// Blocks `first`, `large` (3 MiB, damaged in its second chunk) and `other`.
fn damaged() -> (Bench, Vec<u8>) {
    let bench = Bench::with_store();
    let value = noise(3 << 20, 7);
    bench.put("first", "fine");
    bench.put("large", &value);
    bench.put("other", noise(200_000, 8));
    let at = place(&bench, &value[(1 << 20) + 5000..][..64]);
    flip(&bench, at);
    (bench, value)
}

#[test]
fn get_ends_before_the_damage_and_names_the_block() {
    let (bench, value) = damaged();
    let got = bench.run(["get", "s.by", "large"]).fails(1, &["large"]);
    assert!(got.stdout.len() < value.len() && value.starts_with(&got.stdout), "only bytes that were checked");
    bench.write("out", "before");
    bench.run(["get", "s.by", "large", "-o", "out"]).fails(1, &["large"]);
    assert_eq!(fs::read(bench.path("out")).expect("the output"), b"before");
    let left: Vec<_> = fs::read_dir(bench.path("")).expect("the folder").collect();
    assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");
}

#[test]
fn the_rest_stays_readable() {
    let (bench, _) = damaged();
    assert_eq!(bench.run(["get", "s.by", "first"]).fine().stdout, b"fine");
    assert!(bench.run(["get", "s.by", "other"]).fine().stdout == noise(200_000, 8));
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["first", "large", "other"]);
}

#[test]
fn verify_names_the_block_and_the_place() {
    let (bench, _) = damaged();
    let report = bench.run(["verify", "s.by"]).fails(1, &["1 problem", "s.by"]);
    assert!(report.text().contains("large") && !report.text().contains("other"), "{}", report.text());

    let report = bench.run(["verify", "s.by", "--json"]).fails(1, &[]).json();
    assert_eq!(report["clean"], false);
    let problems = report["problems"].as_array().expect("problems");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0]["name"], "large");
    assert_eq!(problems[0]["what"], "block");
    assert!(problems[0]["offset"].as_u64().expect("a place") > 0);
}

#[test]
fn export_rescues_the_rest() {
    let (bench, _) = damaged();
    bench.run(["export", "s.by", "out"]).fails(1, &["large"]);
    assert_eq!(fs::read(bench.path("out/first")).expect("a file"), b"fine");
    assert!(fs::read(bench.path("out/other")).expect("a file") == noise(200_000, 8));
    assert!(!bench.path("out/large").exists());
}

#[test]
fn a_clean_file_verifies_clean() {
    let bench = Bench::with_store();
    bench.put("a", noise(2 << 20, 1));
    assert!(bench.run(["verify", "s.by"]).fine().text().starts_with("clean: 1 block checked, 2 MiB"));
    let report = bench.run(["verify", "s.by", "--json"]).fine().json();
    assert_eq!(
        (&report["clean"], &report["blocks"], &report["bytes"]),
        (&true.into(), &1.into(), &(2 << 20).into())
    );
    assert_eq!(report["problems"], serde_json::json!([]));
}

/// A store of 2,000 blocks with a damaged registry page in the middle.
fn with_a_damaged_registry_page() -> Bench {
    let bench = Bench::new();
    for index in 0..2000 {
        bench.write(format!("in/block-{index:04}"), format!("value {index}"));
    }
    bench.run(["import", "s.by", "in"]).fine();
    let mut bytes = fs::read(bench.path("s.by")).expect("the store");
    let places: Vec<usize> = bytes
        .windows(10)
        .enumerate()
        .filter(|(_, window)| window == b"value 1000")
        .map(|(at, _)| at)
        .collect();
    // Earlier copies of the page may lie in free space; they do not matter.
    for at in places {
        bytes[at] ^= 1;
    }
    fs::write(bench.path("s.by"), bytes).expect("the damaged store");
    bench
}

#[test]
fn blocks_on_both_sides_of_a_damaged_registry_page_are_reached() {
    let bench = with_a_damaged_registry_page();
    let report = bench.run(["verify", "s.by", "--json"]).fails(1, &["1 problem"]).json();
    assert_eq!(report["problems"][0]["what"], "registry page");

    let forward = bench.run(["ls", "s.by"]).fails(1, &["registry page", "cannot list all"]);
    let mut lines = forward.lines();
    assert!(lines.len() > 1900 && lines.is_sorted(), "only the page's blocks are missing: {}", lines.len());
    assert_eq!((lines[0], lines[lines.len() - 1]), ("block-0000", "block-1999"));
    let backward = bench.run(["ls", "s.by", "--reverse"]).fails(1, &["registry page"]);
    lines.reverse();
    assert_eq!(backward.lines(), lines);
    let prefixed = bench.run(["ls", "s.by", "block-1"]).fails(1, &["registry page"]);
    assert_eq!(prefixed.lines().last(), Some(&"block-1999"));
    assert!(prefixed.lines().iter().all(|line| line.starts_with("block-1")));
    bench.run(["ls", "s.by", "block-19"]).fine();
    assert_eq!(bench.run(["get", "s.by", "block-1999"]).fine().stdout, b"value 1999");
    bench.run(["get", "s.by", "block-1000"]).fails(1, &["registry page"]);

    bench.run(["export", "s.by", "out"]).fails(1, &["registry page"]);
    assert_eq!(fs::read_dir(bench.path("out")).expect("the export").count(), lines.len());
}

#[test]
fn verify_covers_what_was_not_folded_in_before_a_crash() {
    let bench = Bench::with_store();
    let value = noise(300_000, 1);
    bench.write("in", &value);
    let mut child = bench.command(["exec", "s.by"]).stdin(Stdio::piped()).spawn().expect("a session");
    let mut stdin = child.stdin.take().expect("a pipe");
    let text: Vec<u8> = value.iter().map(|byte| byte & 0x3f | 0x40).collect();
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
    // The second commit says that the first is durable, so that this is not taken for a torn tail.
    for commands in [&[b"put large ", &text[..], b"\ncommit\n"].concat()[..], b"put after it\ncommit\n"] {
        stdin.write_all(commands).expect("commands");
        answers.read_line(&mut String::new()).expect("an answer");
    }
    child.kill().expect("the session is killed");
    child.wait().expect("the session has ended");
    flip(&bench, place(&bench, &text[1000..1064]));
    bench.run(["get", "s.by", "large"]).fails(1, &["large"]);
    let report = bench.run(["verify", "s.by", "--json"]).fails(1, &["1 problem"]).json();
    assert_eq!(report["problems"][0]["name"], "large");
}

/// Stores of one block with a byte flipped in one of the superblock slots, which come first in the
/// file (docs/FORMAT.md).
fn flipped_slots() -> impl Iterator<Item = Bench> {
    [8, 4096 + 8, 8192 + 8, 12288 + 8].into_iter().map(|at| {
        let bench = Bench::with_store();
        bench.put("a", "value");
        flip(&bench, at);
        bench
    })
}

#[test]
fn one_good_superblock_copy_is_enough() {
    for bench in flipped_slots() {
        assert_eq!(bench.run(["get", "s.by", "a"]).fine().stdout, b"value");
        bench.put("b", "more");
        assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["a", "b"]);
    }
}

#[test]
fn verify_reports_a_damaged_superblock_copy() {
    for bench in flipped_slots() {
        let report = bench.run(["verify", "s.by", "--json"]).fails(1, &["1 problem"]).json();
        assert_eq!(report["problems"][0]["what"], "superblock");
    }
}
