//! Pipes, colours and quiet.

use crate::support::{Bench, Ran, noise};
use std::io::Read as _;

/// Runs `args` and stops reading after the first bytes.
fn hang_up(bench: &Bench, args: &[&str]) -> Ran {
    let mut child = bench.command(args).spawn().expect("the program starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 16]).expect("some output");
    drop(stdout);
    Ran::of(child)
}

#[test]
fn a_broken_pipe_is_not_an_error() {
    let bench = Bench::new();
    for index in 0..3000 {
        bench.write(format!("in/a rather long name, so that the listing is long/{index:0100}"), "x");
    }
    bench.write("in/large", noise(4 << 20, 1));
    bench.run(["import", "s.by", "in"]).fine();
    hang_up(&bench, &["get", "s.by", "large"]).fine();
    hang_up(&bench, &["ls", "s.by"]).fine();
    hang_up(&bench, &["ls", "s.by", "--json"]).fine();
    hang_up(&bench, &["ls", "s.by", "--long", "--reverse"]).fine();
}

#[test]
fn damage_is_told_even_when_nobody_reads_the_report() {
    let bench = Bench::with_store();
    bench.put("a", noise(2 << 20, 1));
    let mut bytes = std::fs::read(bench.path("s.by")).expect("the store");
    let needle = &noise(2 << 20, 1)[5000..5064];
    let at = bytes.windows(64).position(|window| window == needle).expect("the bytes");
    bytes[at] ^= 1;
    std::fs::write(bench.path("s.by"), bytes).expect("the damaged store");
    let mut child = bench.command(["verify", "s.by"]).spawn().expect("the program starts");
    drop(child.stdout.take());
    assert_eq!(Ran::of(child).code, 1);
}

#[test]
fn there_is_no_colour_without_a_terminal() {
    let bench = Bench::with_store();
    bench.put("a", "x");
    for args in
        [&["ls", "s.by", "--long"][..], &["stat", "s.by"], &["verify", "s.by"], &["get", "s.by", "none"]]
    {
        let ran = bench.run(args);
        assert!(!ran.stdout.contains(&0x1b) && !ran.stderr.contains('\x1b'), "{args:?}: {ran:?}");
    }
}

#[test]
fn colour_can_be_forced_and_no_color_wins_nothing_back() {
    let bench = Bench::with_store();
    let forced =
        Ran::of(bench.command(["verify", "s.by"]).env("CLICOLOR_FORCE", "1").spawn().expect("a run"));
    assert!(forced.stdout.contains(&0x1b), "{forced:?}");
    let plain = Ran::of(bench.command(["verify", "s.by"]).env("NO_COLOR", "1").spawn().expect("a run"));
    assert!(!plain.stdout.contains(&0x1b), "{plain:?}");
}
