//! The headings and tables of a Markdown text, which is all that the format check reads of it.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A heading of level 1 to 6 at a line.
    Heading { line: usize, level: u8, content: Cell },
    /// A table whose header stands at a line.
    Table { line: usize, rows: Vec<Row> },
}

/// A row of a table; the first one is the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: usize,
    pub(crate) cells: Vec<Cell>,
}

/// The text of a heading or of a table's cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    /// All of it, without marks.
    pub(crate) text: String,
    /// The parts in backticks.
    pub(crate) code: Vec<String>,
}

/// The headings and tables of a text in order; what stands in code blocks is neither.
pub(crate) fn items(text: &str) -> Vec<Item> {
    let mut reader = Reader { text, items: Vec::new(), rows: Vec::new(), cell: Cell::default() };
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        reader.take(&event, range.start);
    }
    reader.items
}

struct Reader<'a> {
    text: &'a str,
    items: Vec<Item>,
    rows: Vec<Row>,
    cell: Cell,
}

impl Reader<'_> {
    fn take(&mut self, event: &Event<'_>, at: usize) {
        match event {
            Event::Start(Tag::Heading { .. } | Tag::TableCell) => self.cell = Cell::default(),
            Event::Start(Tag::Table(_)) => self.rows.clear(),
            Event::Start(Tag::TableHead | Tag::TableRow) => {
                let line = self.line(at);
                self.rows.push(Row { line, cells: Vec::new() });
            }
            Event::Text(text) => self.cell.text.push_str(text),
            Event::Code(text) => {
                self.cell.text.push_str(text);
                self.cell.code.push(text.to_string());
            }
            Event::End(TagEnd::TableCell) => {
                let cell = std::mem::take(&mut self.cell);
                self.rows.last_mut().into_iter().for_each(|row| row.cells.push(cell.clone()));
            }
            Event::End(TagEnd::Table) => {
                let rows = std::mem::take(&mut self.rows);
                self.items.push(Item::Table { line: self.line(at), rows });
            }
            Event::End(TagEnd::Heading(level)) => {
                let content = std::mem::take(&mut self.cell);
                self.items.push(Item::Heading { line: self.line(at), level: number(*level), content });
            }
            _ => {}
        }
    }

    /// The line, counted from 1, on which a byte of the text stands.
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }
}

fn number(level: HeadingLevel) -> u8 {
    level as u8
}
