//! exec: the protocol, and what `ok` promises.

use crate::support::{Bench, Ran, noise};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A session held open.
struct Talk {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Talk {
    fn new(bench: &Bench) -> Self {
        let mut child = bench.command(["exec", "s.by"]).stdin(Stdio::piped()).spawn().expect("a session");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, stdin, stdout }
    }

    fn say(&mut self, lines: &str) {
        self.stdin.write_all(lines.as_bytes()).expect("commands");
    }

    fn ask(&mut self, line: &str) -> String {
        self.say(&format!("{line}\n"));
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("an answer");
        answer.trim_end_matches('\n').to_owned()
    }

    fn commit(&mut self) -> u64 {
        let answer = self.ask("commit");
        answer
            .strip_prefix("ok ")
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("{answer}"))
    }

    fn kill(mut self) {
        self.child.kill().expect("the session is killed");
        self.child.wait().expect("the session has ended");
    }
}

#[test]
fn a_session_answers_line_by_line() {
    let bench = Bench::with_store();
    let mut talk = Talk::new(&bench);
    assert_eq!(talk.ask("get a"), "missing");
    talk.say("put a one two  three \n");
    assert_eq!(talk.ask("get a"), "value one two  three ");
    let first = talk.commit();
    talk.say("del a\nput b\nput c x\nput c y\n");
    assert_eq!(talk.ask("get a"), "missing");
    assert_eq!(talk.ask("get b"), "value ");
    assert_eq!(talk.ask("get c"), "value y");
    let second = talk.commit();
    assert!(second > first);
    assert!(talk.commit() >= second, "an empty commit is durable as well");
    assert_eq!(talk.ask("get a"), "missing");
    drop(talk.stdin);
    assert_eq!(talk.child.wait().expect("the session ends").code(), Some(0));
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["b", "c"]);
}

#[test]
fn errors_take_one_line_and_the_session_goes_on() {
    let bench = Bench::with_store();
    bench.put("lines", "a\nb");
    bench.put("large", noise(2 << 20, 1));
    let mut talk = Talk::new(&bench);
    for line in ["hello", "put", "put  x", "get", "get a b", "del", "commit now", "get lines", "get large"] {
        let answer = talk.ask(line);
        assert!(answer.starts_with("error "), "{line}: {answer}");
    }
    let answer = talk.ask(&format!("put {} x", "n".repeat(3000)));
    assert!(answer.starts_with("error ") && answer.contains("3000"), "{answer}");
    talk.say("put a 1\n");
    talk.commit();
    assert_eq!(talk.ask("get a"), "value 1");
    drop(talk.stdin);
    assert_eq!(talk.child.wait().expect("the session ends").code(), Some(1));
}

#[test]
fn what_was_ok_survives_kill_9_and_what_was_not_is_absent() {
    let bench = Bench::with_store();
    let mut sequence = 0;
    for round in 0..5 {
        let mut talk = Talk::new(&bench);
        for index in 0..20 {
            talk.say(&format!("put {round}/{index} value {round} {index}\n"));
            if index % 5 == 4 {
                let next = talk.commit();
                assert!(next > sequence, "sequences go on after a crash: {next} after {sequence}");
                sequence = next;
            }
        }
        talk.say("put lost never\ndel 0/0\n");
        // The answer shows that the session has read the lines before it.
        assert_eq!(talk.ask("get lost"), "value never");
        talk.kill();
        assert_eq!(bench.run(["ls", "s.by"]).fine().lines().len(), 20 * (round + 1));
        assert_eq!(bench.run(["get", "s.by", "0/0"]).fine().stdout, b"value 0 0");
        let last = format!("{round}/19");
        assert_eq!(bench.run(["get", "s.by", &last]).fine().text(), format!("value {round} 19"));
        bench.run(["verify", "s.by"]).fine();
    }
}

#[test]
fn changes_without_a_commit_are_dropped_with_a_note() {
    let bench = Bench::with_store();
    let ran = bench.feed(["exec", "s.by"], "put a 1\ncommit\nput b 2\ndel a");
    assert_eq!(ran.code, 0);
    assert!(ran.text().starts_with("ok "), "{ran:?}");
    assert!(ran.stderr.contains("2 changes"), "{ran:?}");
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["a"]);
}

#[test]
fn text_is_bytes_and_lines_are_bounded() {
    let bench = Bench::with_store();
    let mut input = b"put a \xff\x00\r\nget a\nput b ".to_vec();
    input.resize(input.len() + (1 << 20), b'x');
    input.extend(b"\nput c 1\ncommit\n");
    let ran = bench.feed(["exec", "s.by"], &input);
    assert_eq!(ran.code, 1);
    let mut answers = ran.stdout.split(|byte| *byte == b'\n');
    assert_eq!(answers.next(), Some(&b"value \xff\x00\r"[..]));
    assert!(answers.next().expect("an answer").starts_with(b"error the line is longer"));
    assert!(answers.next().expect("an answer").starts_with(b"ok "));
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["a", "c"]);
}

#[test]
fn a_full_batch_is_refused_and_can_be_committed() {
    let bench = Bench::with_store();
    let text = "t".repeat(1000 << 10);
    let mut talk = Talk::new(&bench);
    for index in 0..8 {
        talk.say(&format!("put {index} {text}\n"));
    }
    assert!(talk.ask(&format!("put 8 {text}")).starts_with("error the batch is full"));
    talk.commit();
    talk.say(&format!("put 8 {text}\n"));
    talk.commit();
    drop(talk.stdin);
    let mut rest = String::new();
    talk.stdout.read_to_string(&mut rest).expect("the end");
    assert_eq!(rest, "");
    talk.child.wait().expect("the session ends");
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines().len(), 9);
}

/// Commands behind an answer that nobody read any more were not carried out, and the exit code said that all was fine.
#[test]
fn a_session_whose_answers_nobody_reads_does_not_say_that_all_was_done() {
    let bench = Bench::with_store();
    let mut child = bench.command(["exec", "s.by"]).stdin(Stdio::piped()).spawn().expect("a session");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"put a 1\ncommit\nput b 2\ncommit\nput c 3\ncommit\n").expect("the commands");
    drop(stdin);
    Ran::of(child).fails(1, &["nobody reads", "not carried out"]);
    assert_eq!(bench.run(["ls", "s.by"]).fine().lines(), ["a"]);
}
