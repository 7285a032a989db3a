//! What strace saw of the child that works on the recorded file: its calls that change the file, its syncs,
//! and what it told, in the order in which they happened.
//!
//! 1. A call counts when it returned; what the child told counts when it began to tell it.
//! 2. The engine makes its changes one after the other, whichever thread makes them, so that their order is
//!    the log's.

use std::collections::HashMap;

use anyhow::{Context as _, Result};

use crate::report::Line;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Told(Line),
    Wrote {
        offset: u64,
        length: u64,
    },
    Synced,
    /// The file has this length at least.
    Grew(u64),
}

/// Reads the trace of a child that works on the file at `path`.
pub(super) fn parse(trace: &str, path: &str) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    // The beginnings of calls that another thread interrupted in the trace.
    let mut begun: HashMap<&str, &str> = HashMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("write(") {
            events.extend(told(rest)?.map(Event::Told));
            continue;
        }
        if let Some(beginning) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread, beginning);
            continue;
        }
        let (call, result) = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let Some(beginning) = begun.remove(thread) else { continue };
                (beginning, resumed)
            }
            None => (rest, rest),
        };
        if call.contains(path) && is_success(result) {
            events.extend(change(call).with_context(|| format!("the trace has {line:?}"))?);
        }
    }
    Ok(events)
}

fn is_success(result: &str) -> bool {
    let returned = result.rsplit_once(" = ").and_then(|(_, value)| value.split(' ').next());
    returned.and_then(|value| value.parse::<i64>().ok()).is_some_and(|value| value >= 0)
}

/// The line that the child wrote.
fn told(call: &str) -> Result<Option<Line>> {
    let text = call.split_once('"').and_then(|(_, rest)| rest.split_once("\\n\""));
    text.map(|(text, _)| text.parse()).transpose()
}

/// The change that a call made; its numbers are its last arguments.
fn change(call: &str) -> Result<Option<Event>> {
    let numbers = || -> Result<Vec<u64>> {
        let arguments = call.rsplit_once(") = ").map_or(call, |(arguments, _)| arguments);
        let words = arguments.trim_end().trim_end_matches(')').rsplit(", ").map(str::trim).take(2);
        words.map(|word| word.parse().with_context(|| format!("{word:?} is no number"))).collect()
    };
    let name = call.split('(').next().unwrap_or_default();
    Ok(match name {
        "pwrite64" => {
            let numbers = numbers()?;
            Some(Event::Wrote { offset: numbers[0], length: numbers[1] })
        }
        "fallocate" => {
            let numbers = numbers()?;
            Some(Event::Grew(numbers[0] + numbers[1]))
        }
        "ftruncate" => {
            let length = call.split_once(", ").map(|(_, rest)| rest);
            let digits = length.and_then(|rest| rest.split(|it: char| !it.is_ascii_digit()).next());
            Some(Event::Grew(digits.context("no length")?.parse()?))
        }
        "fdatasync" | "fsync" => Some(Event::Synced),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_two_threads_come_out_in_the_order_of_their_ends() {
        let trace = r#"10 write(3</pipe>, "try 0 1\n", 8) = 8
10 pwrite64(4</x/store>, "ab\")"..., 512, 1024) = 512
11 pwrite64(4</x/store>, "c"..., 4096, 8192 <unfinished ...>
10 fdatasync(4</x/store> <unfinished ...>
11 <... pwrite64 resumed>) = 4096
10 <... fdatasync resumed>) = 0
10 write(3</pipe>, "ack 0 1 1 durable\n", 18 <unfinished ...>
10 fallocate(4</x/store>, 0, 8192, 4096) = -1 EOPNOTSUPP (Operation not supported)
10 ftruncate(4</x/store>, 12288)     = 0
10 fsync(5</x>) = 0
"#;
        let expected = [
            Event::Told(Line::Try { thread: 0, ordinal: 1 }),
            Event::Wrote { offset: 1024, length: 512 },
            Event::Wrote { offset: 8192, length: 4096 },
            Event::Synced,
            Event::Told(Line::Ack { thread: 0, ordinal: 1, sequence: 1, durable: true }),
            Event::Grew(12_288),
        ];
        assert_eq!(parse(trace, "</x/store>").expect("a trace"), expected);
    }
}
