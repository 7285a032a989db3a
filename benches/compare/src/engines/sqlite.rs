//! SQLite, by rusqlite, with its source compiled in.

use anyhow::Result;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};

pub(super) const KIND: Kind = Kind {
    name: "sqlite",
    package: Some("rusqlite"),
    role: Role::Peer,
    zero_copy: true,
    on_disk: true,
    rust_heap: false,
    settings: Settings {
        durable: "journal_mode=WAL, synchronous=FULL",
        relaxed: "synchronous=NORMAL, then a commit of one counter with synchronous=FULL, which syncs the log",
        reads: "one read transaction; the column's bytes where SQLite holds them; prepared statements",
        other: "one connection writes, behind a lock (its busy handler would sleep); a connection for each reading thread; records under 200 bytes WITHOUT ROWID, as its documentation advises",
    },
    open,
};

struct Sqlite {
    opening: Opening,
    writer: Mutex<Writer>,
}

/// The connection that writes.
struct Writer {
    connection: Connection,
    /// Whether its commits are durable.
    full: bool,
}

impl Writer {
    /// The connection, with commits as wanted.
    fn with(&mut self, full: bool) -> Result<&mut Connection> {
        if self.full != full {
            let statement = if full { "PRAGMA synchronous=FULL" } else { "PRAGMA synchronous=NORMAL" };
            self.connection.execute_batch(statement)?;
            self.full = full;
        }
        Ok(&mut self.connection)
    }
}

fn connect(opening: &Opening) -> Result<Connection> {
    let connection = Connection::open(opening.path("sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -((opening.cache >> 10) as i64))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn open(opening: &Opening) -> Result<Box<dyn Engine>> {
    let writer = connect(opening)?;
    let rowid = if opening.length < 200 { " WITHOUT ROWID" } else { "" };
    writer.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS records (name BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL){rowid};
         CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY, count INTEGER NOT NULL);
         INSERT OR IGNORE INTO counter VALUES (0, 0);"
    ))?;
    Ok(Box::new(Sqlite {
        opening: opening.clone(),
        writer: Mutex::new(Writer { connection: writer, full: true }),
    }))
}

impl Engine for Sqlite {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(Access { writer: &self.writer, reader: connect(&self.opening)? }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.writer.into_inner().connection.close().map_err(|(_, error)| error.into())
    }
}

struct Access<'a> {
    writer: &'a Mutex<Writer>,
    reader: Connection,
}

const PUT: &str = "INSERT OR REPLACE INTO records VALUES (?1, ?2)";
const DELETE: &str = "DELETE FROM records WHERE name = ?1";

impl Session for Access<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.writer.lock().with(true)?.prepare_cached(PUT)?.execute(params![key, value])?;
        Ok(())
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.writer.lock().with(false)?.prepare_cached(PUT)?.execute(params![key, value])?;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let mut writer = self.writer.lock();
        writer.with(true)?.prepare_cached("UPDATE counter SET count = count + 1")?.execute([])?;
        Ok(())
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        let mut writer = self.writer.lock();
        let transaction = writer.with(durable)?.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut put = transaction.prepare_cached(PUT)?;
            let mut delete = transaction.prepare_cached(DELETE)?;
            for change in changes {
                match *change {
                    Change::Put(key, value) => put.execute(params![key, value])?,
                    Change::Delete(key) => delete.execute(params![key])?,
                };
            }
        }
        Ok(transaction.commit()?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.writer.lock().with(true)?.prepare_cached(DELETE)?.execute(params![key])?;
        Ok(())
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        let transaction = self.reader.transaction()?;
        work(&mut Rows(&transaction))?;
        Ok(transaction.finish()?)
    }
}

struct Rows<'a>(&'a Connection);

impl Reader for Rows<'_> {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let mut length = 0;
        let found = self.show(key, &mut |value| {
            length = value.len();
            buffer[..length].copy_from_slice(value);
        })?;
        Ok(found.then_some(length))
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let mut statement = self.0.prepare_cached("SELECT value FROM records WHERE name = ?1")?;
        let found = statement.query_row(params![key], |row| {
            see(row.get_ref(0)?.as_blob()?);
            Ok(())
        });
        Ok(found.optional()?.is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let (query, from): (_, &[u8]) = match span {
            Span::Forward => ("SELECT name, value FROM records WHERE name >= ?1 ORDER BY name", &[]),
            Span::Backward => ("SELECT name, value FROM records WHERE name >= ?1 ORDER BY name DESC", &[]),
            Span::Prefix(from) | Span::From(from) => {
                ("SELECT name, value FROM records WHERE name >= ?1 ORDER BY name", from)
            }
        };
        let mut statement = self.0.prepare_cached(query)?;
        let mut rows = statement.query(params![from])?;
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_blob()?;
            if matches!(span, Span::Prefix(prefix) if !name.starts_with(prefix)) {
                break;
            }
            if !visit(name, row.get_ref(1)?.as_blob()?) {
                break;
            }
        }
        Ok(())
    }
}
