//! Lines of a session and the commands in them.

use std::io::{self, BufRead, Read as _};

/// Bytes that a line may have.
pub(super) const MAX_LINE: usize = 1 << 20;

/// What the input had next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line, without its end.
    Line,
    /// A line that is longer than [`MAX_LINE`], passed over.
    TooLong,
    /// Nothing more.
    End,
}

/// Reads the next line into `line`, without its `\n`. The last line need not have one.
pub(super) fn read(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Next> {
    line.clear();
    let limit = MAX_LINE as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(Next::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > MAX_LINE {
        input.skip_until(b'\n')?;
        return Ok(Next::TooLong);
    }
    Ok(Next::Line)
}

/// A command of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Set a block.
    Put(&'a [u8], &'a [u8]),
    /// Remove a block.
    Del(&'a [u8]),
    /// Answer with a block.
    Get(&'a [u8]),
    /// Make the batch durable.
    Commit,
}

impl<'a> Command<'a> {
    /// The command in `line`, none if it is blank; or what is wrong with it.
    pub(super) fn parse(line: &'a [u8]) -> Result<Option<Self>, &'static str> {
        let (verb, rest) = split(line);
        match verb.trim_ascii_end() {
            b"" if rest.trim_ascii().is_empty() => Ok(None),
            b"put" => {
                let (name, text) = split(rest);
                if name.is_empty() {
                    Err("put needs a name: put NAME TEXT")
                } else {
                    Ok(Some(Self::Put(name, text)))
                }
            }
            b"del" => one_name(rest).map(|name| Some(Self::Del(name))).ok_or("del needs one name: del NAME"),
            b"get" => one_name(rest).map(|name| Some(Self::Get(name))).ok_or("get needs one name: get NAME"),
            b"commit" if rest.trim_ascii().is_empty() => Ok(Some(Self::Commit)),
            b"commit" => Err("commit stands alone"),
            _ => Err("unknown command; there are: put NAME TEXT, del NAME, get NAME, commit"),
        }
    }
}

/// What comes before the first space, and what after it.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    (first, rest.get(1..).unwrap_or_default())
}

fn one_name(rest: &[u8]) -> Option<&[u8]> {
    let name = rest.trim_ascii_end();
    (!name.is_empty() && !name.contains(&b' ')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_parse() {
        let good: [(&[u8], Option<Command<'_>>); 11] = [
            (b"put a text with  spaces ", Some(Command::Put(b"a", b"text with  spaces "))),
            (b"put a", Some(Command::Put(b"a", b""))),
            (b"put a ", Some(Command::Put(b"a", b""))),
            (b"put a  x", Some(Command::Put(b"a", b" x"))),
            (b"put \xff \xfe", Some(Command::Put(b"\xff", b"\xfe"))),
            (b"del a", Some(Command::Del(b"a"))),
            (b"get a\r", Some(Command::Get(b"a"))),
            (b"commit", Some(Command::Commit)),
            (b"commit\r", Some(Command::Commit)),
            (b"", None),
            (b"  ", None),
        ];
        for (line, command) in good {
            assert_eq!(Command::parse(line), Ok(command), "{}", line.escape_ascii());
        }
        for line in
            [&b"put"[..], b"put  x", b"del", b"del a b", b"get", b"get a b", b"commit now", b"PUT a b", b"x"]
        {
            assert!(Command::parse(line).is_err(), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn long_lines_are_passed_over() {
        let mut text = vec![b'x'; MAX_LINE];
        text.push(b'\n');
        text.extend(vec![b'y'; MAX_LINE + 1]);
        text.extend(b"\nlast");
        let (mut input, mut line) = (io::BufReader::new(&text[..]), Vec::new());
        assert_eq!(read(&mut input, &mut line).expect("line"), Next::Line);
        assert_eq!(line.len(), MAX_LINE);
        assert_eq!(read(&mut input, &mut line).expect("line"), Next::TooLong);
        assert_eq!(read(&mut input, &mut line).expect("line"), Next::Line);
        assert_eq!(line, b"last");
        assert_eq!(read(&mut input, &mut line).expect("end"), Next::End);
    }
}
