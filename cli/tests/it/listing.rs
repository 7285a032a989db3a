//! ls.

use crate::support::Bench;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

fn bench() -> Bench {
    let bench = Bench::with_store();
    for (name, value) in [("b/2", "22"), ("a", ""), ("b/10", "x"), ("c", "333"), ("b", "1")] {
        bench.put(name, value);
    }
    bench
}

#[test]
fn ls_is_in_the_order_of_names() {
    let bench = bench();
    let ls = |args: &[&str]| bench.run([&["ls", "s.by"], args].concat()).fine().text().to_owned();
    assert_eq!(ls(&[]), "a\nb\nb/10\nb/2\nc\n");
    assert_eq!(ls(&["b/"]), "b/10\nb/2\n");
    assert_eq!(ls(&["--reverse"]), "c\nb/2\nb/10\nb\na\n");
    assert_eq!(ls(&["b", "--reverse", "--limit", "2"]), "b/2\nb/10\n");
    assert_eq!(ls(&["--limit", "0"]), "");
    assert_eq!(ls(&["zzz"]), "");
}

#[test]
fn ls_long_is_a_table() {
    let long = bench().run(["ls", "s.by", "b", "--long"]).fine();
    let lines = long.lines();
    assert!(lines[0].contains("LENGTH") && lines[0].ends_with("NAME"), "{lines:?}");
    assert_eq!(lines.len(), 4);
    let last: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!((last[0], last[4]), ("2", "b/2"));
    // SHA-256 of 22.
    assert!("785f3ec7eb32f30b90cd0fcf3657d388b5ff4297f2f9716ff66e9b69c05ddd09".starts_with(last[3]));
}

#[test]
fn ls_json_is_one_object_a_line() {
    let lines = bench().run(["ls", "s.by", "--json", "--reverse"]).fine().json_lines();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["name"], "c");
    assert_eq!(lines[0]["length"], 3);
    assert_eq!(lines[0]["tag"], 0);
    for line in &lines {
        assert_eq!(line["digest"].as_str().expect("a digest").len(), 64);
        assert!(line["sequence"].is_u64() && line["chunks"].is_u64());
    }
}

#[test]
fn odd_names_are_escaped_for_people_and_lossless_for_machines() {
    let bench = Bench::with_store();
    for name in [&b"\xff\xfe"[..], b"line\nbreak", b"back\\slash", "grün".as_bytes()] {
        bench.put(OsString::from_vec(name.to_vec()), "x");
    }
    let lines = bench.run(["ls", "s.by"]).fine();
    assert_eq!(lines.lines(), [r"back\\slash", "grün", r"line\x0abreak", r"\xff\xfe"]);
    let json = bench.run(["ls", "s.by", "--json"]).fine().json_lines();
    assert_eq!(json[2]["name"], "line\nbreak");
    assert_eq!(json[3]["name_hex"], "fffe");
    assert!(json[3].get("name").is_none());
    let got = bench.run([OsString::from("get"), "s.by".into(), OsString::from_vec(b"\xff\xfe".to_vec())]);
    assert_eq!(got.fine().stdout, b"x");
}
