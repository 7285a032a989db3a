//! SQLite as its users would use it: a table with an integer key, prepared statements, WAL,
//! synchronous=FULL.
//!
//! The bundled build syncs by `fsync` where Debian's uses `fdatasync`. Tried with the one in place
//! of the other, in alternating runs: the single updates took 1.1 to 1.2 times what the slots took
//! in the same run, with either, as the log is overwritten in place.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, params};

use super::{Engine, Workload};
use crate::demo::count;
use crate::demo::rows::{Row, Selection, encode};

const TABLE: &str = "CREATE TABLE records (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL,
    age INTEGER NOT NULL, salary INTEGER NOT NULL, created TEXT NOT NULL)";
const INSERT: &str =
    "INSERT INTO records (id, name, email, age, salary, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
/// Only the columns that change, which is the least that SQLite has to do.
const UPDATE: &str = "UPDATE records SET age = ?2, salary = ?3 WHERE id = ?1";
const SELECT: &str = "SELECT name, email, age, salary, created FROM records WHERE age > ?1";
const EVERYTHING: &str = "SELECT id, name, email, age, salary, created FROM records ORDER BY id";

/// A commit that leaves the records alone.
const TOUCH: &str = "UPDATE touched SET times = times + 1";
/// What it touches.
const TOUCHED: &str = "CREATE TABLE touched (times INTEGER NOT NULL); INSERT INTO touched VALUES (0)";
/// SQLite folds its log in when it has grown to 1,000 frames, then overwrites it from the start: so
/// long it is in the long run.
const FRAMES_OF_A_LONG_LOG: usize = 1_100;

struct Sqlite {
    /// The log has its final length.
    log_is_long: bool,
    connection: Connection,
}

/// Starts the engine.
pub(super) fn start(directory: &Path) -> Result<Box<dyn Engine>> {
    count::count_sqlite();
    let path = directory.join("demo.sqlite");
    let connection = Connection::open(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    anyhow::ensure!(mode == "wal", "SQLite does not take WAL here but {mode}");
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute(TABLE, [])?;
    connection.execute_batch(TOUCHED)?;
    Ok(Box::new(Sqlite { connection, log_is_long: false }))
}

impl Sqlite {
    fn update_one(&self, row: &Row) -> Result<()> {
        let changed =
            self.connection.prepare_cached(UPDATE)?.execute(params![row.id, row.age, row.salary])?;
        anyhow::ensure!(changed == 1, "SQLite changed {changed} rows instead of one");
        Ok(())
    }

    /// Commits without a sync, the last one with: its sync of the log covers all frames before it.
    fn update_relaxed(&self, rows: &[Rc<Row>]) -> Result<()> {
        let Some((last, others)) = rows.split_last() else { return Ok(()) };
        self.connection.pragma_update(None, "synchronous", "NORMAL")?;
        for row in others {
            self.update_one(row)?;
        }
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.update_one(last)
    }
}

impl Engine for Sqlite {
    fn load(&mut self, rows: &[Rc<Row>]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for row in rows {
                insert.execute(params![row.id, row.name, row.email, row.age, row.salary, row.created])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn update(&mut self, workload: Workload, rows: &[Rc<Row>]) -> Result<()> {
        match workload {
            Workload::UpdateBatch => {
                let transaction = self.connection.unchecked_transaction()?;
                rows.iter().try_for_each(|row| self.update_one(row))?;
                transaction.commit()?;
                Ok(())
            }
            Workload::UpdateSingle => rows.iter().try_for_each(|row| self.update_one(row)),
            Workload::UpdateBuffered => self.update_relaxed(rows),
            Workload::Load | Workload::Select => bail!("{} is not an update", workload.name()),
        }
    }

    fn select(&mut self, age: u8) -> Result<Selection> {
        let mut found = Selection::default();
        let mut select = self.connection.prepare_cached(SELECT)?;
        let mut rows = select.query([age])?;
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column)?.as_str().map(str::len).map_err(rusqlite::Error::from);
            found.add(row.get(3)?, text(0)? + text(1)? + text(4)?);
        }
        Ok(found)
    }

    fn read_all(&mut self, visit: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
        let mut everything = self.connection.prepare_cached(EVERYTHING)?;
        let mut rows = everything.query([])?;
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
            let id = row.get(0)?;
            visit(id, &encode(id, row.get(3)?, row.get(4)?, [text(1)?, text(2)?, text(5)?]));
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(0))?;
        anyhow::ensure!(busy == 0, "SQLite's checkpoint was refused");
        Ok(())
    }

    /// A log that has just been folded in costs the next commit a second sync, for the log's new
    /// header, and one that is still short grows under the next commits, which makes their syncs
    /// dearer. A program at work meets neither often, so it is done here: SQLite is measured at its
    /// best.
    fn prepare(&mut self) -> Result<()> {
        if !self.log_is_long {
            self.connection.pragma_update(None, "synchronous", "NORMAL")?;
            for _ in 0..FRAMES_OF_A_LONG_LOG {
                self.connection.prepare_cached(TOUCH)?.execute([])?;
            }
            self.connection.pragma_update(None, "synchronous", "FULL")?;
            self.settle()?;
            self.log_is_long = true;
        }
        self.connection.prepare_cached(TOUCH)?.execute([])?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}
