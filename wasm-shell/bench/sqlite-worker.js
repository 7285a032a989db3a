// SQLite over its pool of handles, synchronous=FULL.
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";

let pool;
let database;

const work = {
  async open(name) {
    const sqlite3 = await sqlite3InitModule({ print() {}, printErr() {} });
    pool = await sqlite3.installOpfsSAHPoolVfs({ name });
    database = new pool.OpfsSAHPoolDb(`/${name}.db`);
    database.exec("PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; CREATE TABLE IF NOT EXISTS kv (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID");
  },
  put([key, value]) {
    database.exec({ sql: "INSERT OR REPLACE INTO kv VALUES (?, ?)", bind: [key, value] });
  },
  batch(records) {
    database.transaction(() => {
      const statement = database.prepare("INSERT OR REPLACE INTO kv VALUES (?, ?)");
      try {
        for (const record of records) statement.bind(record).stepReset();
      } finally {
        statement.finalize();
      }
    });
  },
  get: (key) => database.selectValue("SELECT value FROM kv WHERE name = ?", [key]),
  scan: () => database.selectValues("SELECT value FROM kv WHERE name >= 'k/' AND name < 'k0'").reduce((sum, value) => sum + value.length, 0),
  async blob(blob) {
    database.exec({ sql: "INSERT OR REPLACE INTO kv VALUES ('blob', ?)", bind: [new Uint8Array(await blob.arrayBuffer())] });
  },
  close() {
    database.close();
    pool.pauseVfs?.();
  },
  async destroy() {
    database.close();
    await pool.removeVfs();
  },
};

onmessage = async ({ data: { what, argument } }) => {
  try {
    const value = await work[what](argument);
    postMessage({ value }, value instanceof Uint8Array ? [value.buffer] : []);
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
