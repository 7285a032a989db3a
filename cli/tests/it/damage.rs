//! A flipped byte is found and named, and takes nothing else with it.

use crate::support::{Bench, noise};
use std::fs;

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

#[test]
fn a_damaged_superblock_copy_is_reported_or_refused_but_never_passed_over() {
    let bench = Bench::with_store();
    bench.put("a", "value");
    let clean = fs::read(bench.path("s.by")).expect("the store");
    // The slots come first in the file (docs/FORMAT.md).
    for at in [8, 4096 + 8, 8192 + 8, 12288 + 8] {
        fs::write(bench.path("s.by"), &clean).expect("the store");
        flip(&bench, at);
        let verify = bench.run(["verify", "s.by"]);
        assert!(matches!(verify.code, 1 | 3), "byte {at}: {verify:?}");
        assert_eq!(bench.run(["get", "s.by", "a"]).fine().stdout, b"value", "byte {at}: one copy is enough");
    }
}
