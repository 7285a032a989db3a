// Engines behind one face: put, batch, get, scan, blob; each answers when what it was given is durable.
import Dexie from "dexie";
import { get, set, setMany } from "idb-keyval";
import { open } from "blockyard";

async function blockyard(name, options) {
  const yard = await open(name, options);
  return {
    put: (key, value) => yard.put(key, value),
    batch: (records) => {
      const batch = yard.batch();
      for (const [key, value] of records) batch.put(key, value);
      return batch.commit();
    },
    get: (key) => yard.get(key),
    async scan() {
      let bytes = 0;
      for await (const { value } of yard.list({ prefix: "k/", values: true })) bytes += value.length;
      return bytes;
    },
    blob: (value) => yard.putStream("blob", value),
    close: () => yard.close(),
    destroy: () => yard.destroy(),
  };
}

/** Answers of a worker, one after the other. */
function remote(worker, open) {
  const waiting = [];
  worker.onmessage = ({ data }) => {
    const { resolve, reject } = waiting.shift();
    if (data.error) reject(new Error(data.error));
    else resolve(data.value);
  };
  worker.onerror = (event) => waiting.shift()?.reject(new Error(event.message));
  const ask = (what, argument) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    worker.postMessage({ what, argument });
  });
  return ask("open", open).then(() => ({
    put: (key, value) => ask("put", [key, value]),
    batch: (records) => ask("batch", records),
    get: (key) => ask("get", key),
    scan: () => ask("scan"),
    blob: (value) => ask("blob", value),
    close: () => ask("close").then(() => worker.terminate()),
    destroy: () => ask("destroy").then(() => worker.terminate()),
  }));
}

const raw = (name) => remote(new Worker(new URL("./raw-worker.js", import.meta.url), { type: "module" }), name);
const sqlite = (name) => remote(new Worker(new URL("./sqlite-worker.js", import.meta.url), { type: "module" }), name);

/** idb-keyval over a store whose transactions are strict: its own are as the browser likes. */
async function keyval(name) {
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open(name);
    request.onupgradeneeded = () => request.result.createObjectStore("kv");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const store = async (mode, work) => work(database.transaction("kv", mode, { durability: "strict" }).objectStore("kv"));
  return {
    put: (key, value) => set(key, value, store),
    batch: (records) => setMany(records, store),
    get: (key) => get(key, store),
    scan: () => store("readonly", (kv) => new Promise((resolve, reject) => {
      const request = kv.getAll(IDBKeyRange.bound("k/", "k0"));
      request.onsuccess = () => resolve(request.result.reduce((sum, value) => sum + value.length, 0));
      request.onerror = () => reject(request.error);
    })),
    blob: (value) => set("blob", value, store),
    close: async () => database.close(),
    destroy: () => new Promise((resolve) => {
      database.close();
      indexedDB.deleteDatabase(name).onsuccess = resolve;
    }),
  };
}

async function dexie(name) {
  const database = new Dexie(name, { chromeTransactionDurability: "strict" });
  database.version(1).stores({ kv: "" });
  await database.open();
  const { kv } = database;
  return {
    put: (key, value) => kv.put(value, key),
    batch: (records) => kv.bulkPut(records.map(([, value]) => value), records.map(([key]) => key)),
    get: (key) => kv.get(key),
    scan: async () => (await kv.where(":id").startsWith("k/").toArray()).reduce((sum, value) => sum + value.length, 0),
    blob: (value) => kv.put(value, "blob"),
    close: async () => database.close(),
    destroy: () => database.delete(),
  };
}

export const ENGINES = { blockyard, "raw handle": raw, "idb-keyval": keyval, dexie, "sqlite-wasm": sqlite };
