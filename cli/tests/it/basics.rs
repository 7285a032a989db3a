//! create, put, get, rm, mv, stat.

use crate::support::{Bench, noise};
use std::fs;

#[test]
fn a_block_of_any_size_comes_back() {
    let bench = Bench::with_store();
    for (name, length) in
        [("empty", 0), ("small", 17), ("page", 4096), ("chunk", 1 << 20), ("large", (5 << 20) + 3)]
    {
        let value = noise(length, length as u64);
        bench.put(name, &value);
        assert!(bench.run(["get", "s.by", name]).fine().stdout == value, "{name}");
    }
    bench.run(["verify", "s.by"]).fine();
}

#[test]
fn put_reads_a_file_and_get_writes_one() {
    let bench = Bench::with_store();
    let value = noise(3 << 20, 1);
    bench.write("in.bin", &value);
    bench.run(["put", "s.by", "b", "in.bin", "--tag", "77"]).fine();
    bench.run(["get", "s.by", "b", "-o", "out.bin"]).fine();
    assert!(fs::read(bench.path("out.bin")).expect("the output") == value);
    let stat = bench.run(["stat", "s.by", "b", "--json"]).fine().json();
    assert_eq!(stat["tag"], 77);
    assert_eq!(stat["length"], 3 << 20);
}

#[test]
fn put_replaces() {
    let bench = Bench::with_store();
    bench.put("a", "one");
    bench.put("a", "two");
    assert_eq!(bench.run(["get", "s.by", "a"]).fine().stdout, b"two");
}

#[test]
fn put_creates_no_file() {
    let bench = Bench::new();
    bench.feed(["put", "missing.by", "a"], "x").fails(3, &["missing.by"]);
    assert!(!bench.path("missing.by").exists());
}

#[test]
fn put_of_a_missing_or_unfit_input_stores_nothing() {
    let bench = Bench::with_store();
    fs::create_dir(bench.path("folder")).expect("a folder");
    bench.run(["put", "s.by", "a", "nowhere"]).fails(1, &["nowhere"]);
    bench.run(["put", "s.by", "a", "folder"]).fails(1, &["folder", "import"]);
    bench.run(["put", "s.by", "a", "s.by"]).fails(1, &["the store itself"]);
    assert_eq!(bench.run(["ls", "s.by"]).fine().stdout, b"");
}

#[test]
fn names_that_cannot_be_are_usage() {
    let bench = Bench::with_store();
    let long = "n".repeat(5000);
    bench.feed(["put", "s.by", ""], "x").fails(2, &["empty"]);
    bench.feed(["put", "s.by", &long], "x").fails(2, &["5000", "shorter"]);
    bench.put("n".repeat(255), "x");
}

#[test]
fn get_of_a_missing_block_is_1_and_leaves_the_output_alone() {
    let bench = Bench::with_store();
    bench.write("out", "before");
    bench.run(["get", "s.by", "no\nsuch"]).fails(1, &[r"no\x0asuch"]);
    bench.run(["get", "s.by", "none", "-o", "out"]).fails(1, &["none"]);
    assert_eq!(fs::read(bench.path("out")).expect("the output"), b"before");
}

#[test]
fn get_never_writes_over_the_store() {
    let bench = Bench::with_store();
    bench.put("a", "x");
    bench.run(["get", "s.by", "a", "-o", "s.by"]).fails(1, &["the store itself"]);
    assert_eq!(bench.run(["get", "s.by", "a"]).fine().stdout, b"x");
}

#[cfg(unix)]
#[test]
fn get_writes_to_a_device_without_replacing_it() {
    use std::os::unix::fs::FileTypeExt as _;
    let bench = Bench::with_store();
    bench.put("a", "x");
    bench.run(["get", "s.by", "a", "-o", "/dev/null"]).fine();
    assert!(fs::metadata("/dev/null").expect("the device").file_type().is_char_device());
}

#[test]
fn rm_removes_what_is_there_and_tells_what_is_not() {
    let bench = Bench::with_store();
    for name in ["a", "b", "c"] {
        bench.put(name, name);
    }
    bench.run(["rm", "s.by", "a", "nope", "c"]).fails(1, &["nope"]);
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["b"]);
    bench.run(["rm", "s.by", "b"]).fine();
    bench.run(["rm", "s.by", "b"]).fails(1, &["b"]);
}

#[test]
fn mv_renames_and_replaces() {
    let bench = Bench::with_store();
    let value = noise(2 << 20, 9);
    bench.put("a", &value);
    bench.put("b", "old");
    bench.run(["mv", "s.by", "a", "b"]).fine();
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["b"]);
    assert!(bench.run(["get", "s.by", "b"]).fine().stdout == value);
    bench.run(["mv", "s.by", "a", "c"]).fails(1, &["a"]);
    bench.run(["mv", "s.by", "b", ""]).fails(2, &["empty"]);
    bench.run(["verify", "s.by"]).fine();
}

#[test]
fn create_takes_sizes_and_refuses_impossible_ones() {
    let bench = Bench::new();
    bench
        .run(["create", "t.by", "--page-size", "512", "--journal-size", "64K", "--chunk-size", "16KiB"])
        .fine();
    let stat = bench.run(["stat", "t.by", "--json"]).fine().json();
    assert_eq!(stat["page_size"], 512);
    assert_eq!(stat["journal_bytes"], 64 << 10);
    for bad in [["--page-size", "1000"], ["--journal-size", "1"], ["--chunk-size", "64M"]] {
        bench.run(["create", "u.by", bad[0], bad[1]]).fails(2, &[]);
        assert!(!bench.path("u.by").exists(), "{bad:?}");
    }
}

#[test]
fn create_never_replaces() {
    let bench = Bench::with_store();
    bench.put("a", "x");
    bench.run(["create", "s.by"]).fails(3, &["s.by", "exists"]);
    assert_eq!(bench.run(["get", "s.by", "a"]).fine().stdout, b"x");
}

#[test]
fn a_store_of_small_pages_works_as_any_other() {
    let bench = Bench::new();
    bench.run(["create", "s.by", "--page-size", "512", "--journal-size", "16K", "--chunk-size", "4K"]).fine();
    let value = noise(300_000, 5);
    bench.put("large", &value);
    for index in 0..30 {
        bench.put(format!("small/{index}"), "x".repeat(index * 10));
    }
    assert!(bench.run(["get", "s.by", "large"]).fine().stdout == value);
    assert_eq!(bench.run(["ls", "s.by", "small/"]).fine().lines().len(), 30);
    bench.run(["verify", "s.by"]).fine();
}

#[test]
fn stat_has_figures_for_people_and_machines() {
    let bench = Bench::with_store();
    bench.put("a", "12345");
    let people = bench.run(["stat", "s.by"]).fine();
    for word in ["s.by", "page size", "blocks", "sequence", "4 KiB"] {
        assert!(people.text().contains(word), "{word}: {}", people.text());
    }
    let stat = bench.run(["stat", "s.by", "--json"]).fine().json();
    assert_eq!(stat["blocks"], 1);
    assert_eq!(stat["value_bytes"], 5);
    let length = fs::metadata(bench.path("s.by")).expect("the store").len();
    assert_eq!(stat["file_bytes"], length);
    assert_eq!(stat["sequence"], stat["durable_sequence"]);

    let block = bench.run(["stat", "s.by", "a"]).fine();
    // SHA-256 of 12345.
    let digest = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5";
    assert!(block.text().contains(digest), "{}", block.text());
    let block = bench.run(["stat", "s.by", "a", "--json"]).fine().json();
    assert_eq!(
        (&block["name"], &block["length"], &block["digest"]),
        (&"a".into(), &5.into(), &digest.into())
    );
    bench.run(["stat", "s.by", "b"]).fails(1, &["b"]);
}
