//! What goes to standard output and standard error.
//!
//! Colour appears only on a terminal and never when `NO_COLOR` is set. A reader of standard output
//! that goes away ends the command quietly ([`Failure::Hangup`]), but for `exec`; a standard error that refuses
//! bytes is ignored, as nobody is left to tell.

use crate::failure::{Failure, Outcome};
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};

const BUFFER_BYTES: usize = 64 << 10;

/// Style of `blockyard:` before an error.
const ALARM: Style = AnsiColor::Red.on_default().bold();
/// Style of `blockyard:` before a note.
const REMARK: Style = AnsiColor::Yellow.on_default();

/// Standard output, buffered.
pub(crate) struct Out {
    inner: BufWriter<StdoutLock<'static>>,
    coloured: bool,
}

impl Out {
    /// Locks standard output.
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        let coloured = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        Self { inner: BufWriter::with_capacity(BUFFER_BYTES, stdout.lock()), coloured }
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, text: impl Display) -> Outcome<()> {
        writeln!(self.inner, "{text}").map_err(|error| Failure::stdout(&error))
    }

    /// Writes one JSON value on a line of its own.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Outcome<()> {
        serde_json::to_writer(&mut self.inner, value)
            .map_err(io::Error::from)
            .and_then(|()| self.inner.write_all(b"\n"))
            .map_err(|error| Failure::stdout(&error))
    }

    /// Writes lines of a label and a value, aligned.
    pub(crate) fn fields(&mut self, fields: &[(&str, String)]) -> Outcome<()> {
        let width = fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in fields {
            let label = self.styled(DIM, format_args!("{label:<width$}"));
            self.line(format_args!("{label}  {value}"))?;
        }
        Ok(())
    }

    /// `text` in `style`, if standard output takes colour.
    pub(crate) fn styled<T: Display>(&self, style: Style, text: T) -> String {
        if self.coloured { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// Hands everything written so far to whoever reads it. Call it last: dropping loses errors.
    pub(crate) fn flush(&mut self) -> Outcome<()> {
        self.inner.flush().map_err(|error| Failure::stdout(&error))
    }
}

/// `told`, but a reader that has gone is no reason to stop: for reports whose exit code counts.
pub(crate) fn even_if_gone(told: Outcome<()>) -> Outcome<()> {
    match told {
        Err(Failure::Hangup) => Ok(()),
        told => told,
    }
}

/// Style of labels and headings.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Style of what is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Style of what is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// Tells an error in one line on standard error.
pub(crate) fn complain(message: impl Display) {
    tell(ALARM, message);
}

/// Tells something worth knowing in one line on standard error.
pub(crate) fn remark(message: impl Display) {
    tell(REMARK, message);
}

fn tell(style: Style, message: impl Display) {
    // Whatever the message quotes, it stays one line.
    let message = message.to_string().replace(['\n', '\r'], " ");
    let _ = writeln!(anstream::stderr(), "{style}blockyard:{style:#} {message}");
}
