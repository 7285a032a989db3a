//! copy.

use crate::support::{Bench, noise};
use std::fs;

/// The files in the bench's folder.
fn files(bench: &Bench) -> Vec<String> {
    let entries = fs::read_dir(bench.path("")).expect("the folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_has_the_blocks_and_takes_sizes_of_its_own() {
    let bench = Bench::with_store();
    bench.put("small", "value");
    bench.put("large", noise(3 << 20, 1));
    bench.run(["copy", "s.by", "copy.by", "--page-size", "512", "--journal-size", "64K"]).fine();
    bench.run(["verify", "copy.by"]).fine();
    assert_eq!(bench.run(["ls", "copy.by"]).fine().lines(), ["large", "small"]);
    assert!(bench.run(["get", "copy.by", "large"]).fine().stdout == noise(3 << 20, 1));
    let stat = bench.run(["stat", "copy.by", "--json"]).fine().json();
    assert_eq!(stat["page_size"], 512);
    bench.run(["copy", "copy.by", "again.by"]).fine();
    assert_eq!(bench.run(["stat", "again.by", "--json"]).fine().json()["page_size"], 512);
    assert_eq!(files(&bench), ["again.by", "copy.by", "s.by"], "nothing else is left");
}

#[test]
fn what_is_there_is_never_overwritten() {
    let bench = Bench::with_store();
    bench.put("name", "value");
    bench.write("there", "precious");
    bench.run(["copy", "s.by", "there"]).fails(1, &["there", "exists"]);
    bench.run(["copy", "s.by", "s.by"]).fails(1, &["s.by", "exists"]);
    assert_eq!(fs::read(bench.path("there")).expect("the file"), b"precious");
    assert_eq!(bench.run(["get", "s.by", "name"]).fine().stdout, b"value");
    assert_eq!(files(&bench), ["s.by", "there"]);
}

#[test]
fn a_copy_that_fails_leaves_nothing() {
    let bench = Bench::with_store();
    let value = noise(200_000, 1);
    bench.put("fine", "value");
    bench.put("hurt", &value);
    bench.run(["copy", "s.by", "new.by", "--page-size", "1000"]).fails(2, &["1000"]);
    bench.run(["copy", "s.by", "missing/new.by"]).fails(1, &["missing/new.by"]);
    let mut file = fs::read(bench.path("s.by")).expect("the store");
    let at =
        file.windows(64).position(|window| *window == value[5000..5064]).expect("the bytes are in the file");
    file[at] ^= 1;
    fs::write(bench.path("s.by"), file).expect("the damaged store");
    bench.run(["copy", "s.by", "new.by"]).fails(1, &["does not match", "verify"]);
    assert_eq!(files(&bench), ["s.by"]);
}
