// Rounds in which the engines take turns; medians of each kind of work.
import { ENGINES } from "./engines.js";

const RECORD = 4096;
const RECORDS = 500;
const BLOB = 100 << 20;

function bytes(seed, length) {
  const out = new Uint8Array(length);
  let state = (seed + 1) * 2654435761;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[at] = state;
  }
  return out;
}

const key = (index) => `k/${String(index).padStart(5, "0")}`;

/** Times `work`, `times` times over, and pushes the milliseconds of each. */
async function time(into, times, work) {
  for (let index = 0; index < times; index++) {
    const since = performance.now();
    await work(index);
    into.push(performance.now() - since);
  }
}

/** Calls that take less than the clock can tell, as one. */
async function many(into, times, each, work) {
  for (let index = 0; index < times; index++) {
    const since = performance.now();
    for (let inner = 0; inner < each; inner++) await work(index * each + inner);
    into.push((performance.now() - since) / each);
  }
}

/** After so many milliseconds an engine that answers nothing is given up for this round. */
const LIMIT = 150_000;

/** Few names, over and over. */
async function again(store, into) {
  for (let index = 0; index < 50; index++) await store.get(key(index));
  await many(into, 10, 200, (index) => store.get(key(index % 50)));
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What an engine and the system do behind its turn, or behind a store's end, is nobody else's time. */
const PAUSE = 1000;

/** A new store with 500 records, and single puts into it. */
async function fill(engine, name, into, values) {
  const store = await ENGINES[engine](name);
  const first = () => store.batch(values.map((value, index) => [key(index), value]));
  await time(into("500 records into an empty store"), 1, first);
  for (let index = 0; index < 20; index++) await store.put(key(index), values[index]);
  await time(into("single durable put"), 50, (index) => store.put(key((index * 37) % RECORDS), values[index]));
  return store;
}

/** Stores that are filled in a round: a write of one file may take twice what it takes of another, as the system likes. */
const FILLS = 3;

/** Everything that one engine has to do in a round. */
async function work(engine, name, into, values, large) {
  const make = ENGINES[engine];
  for (let turn = 1; turn < FILLS; turn++) {
    await (await fill(engine, `${name}-${turn}`, into, values)).destroy();
    await pause(PAUSE / 4);
  }
  let store = await fill(engine, name, into, values);
  const batch = (turn) => store.batch(values.map((_, index) => [key(index), values[(index + turn) % RECORDS]]));
  await time(into("500 records in one durable batch"), 5, batch);
  await time(into("the next five batches"), 5, batch);
  await many(into("get, each name once"), 10, 50, (index) => store.get(key((index * 61) % RECORDS)));
  await again(store, into("get of what was read lately"));
  const asking = into("the same with cache: 0");
  await time(into("scan of 500"), 5, async () => {
    const sum = await store.scan();
    if (sum !== RECORDS * RECORD) throw new Error(`${engine}: a scan found ${sum} bytes`);
  });
  await store.close();
  if (engine !== "raw handle") {
    await time(into("open"), 1, async () => (store = await make(name)));
  } else store = await make(name);
  if (engine === "blockyard") {
    await store.close();
    store = await make(name, { cache: 0 });
    await again(store, asking);
  }
  if (large) await time(into("100 MB blob"), 1, () => store.blob(large));
  await store.destroy();
  await pause(PAUSE);
}

/** Runs everything; milliseconds by kind of work and engine. */
export async function run({ rounds = 3, from = 0, blob = true, tell = () => {}, only = Object.keys(ENGINES) } = {}) {
  const found = {};
  const values = Array.from({ length: RECORDS }, (_, index) => bytes(index, RECORD));
  const large = blob ? new Blob(Array.from({ length: BLOB >> 20 }, (_, index) => bytes(index, 1 << 20))) : undefined;
  for (let round = 0; round < rounds; round++) {
    // Each is the first in one round, the second in another.
    for (const engine of only.map((_, at) => only[(at + from + round) % only.length])) {
      tell(`round ${round + 1} of ${rounds}: ${engine}`);
      let last = "opening";
      const into = (what) => ((found[(last = what)] ??= {})[engine] ??= []);
      const late = new Promise((resolve) => setTimeout(resolve, LIMIT, true));
      const name = `bench-${engine.replace(" ", "-")}-${round}-${Date.now()}`;
      if (await Promise.race([work(engine, name, into, values, large), late])) console.log(`${engine}: given up at: ${last}`);
    }
  }
  return found;
}

export const median = (numbers) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
};

window.run = run;
document.getElementById("run").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  const progress = document.getElementById("progress");
  try {
    const found = await run({ tell: (text) => (progress.textContent = text) });
    const engines = Object.keys(ENGINES);
    const cells = (tag, all) => `<tr>${all.map((it) => `<${tag}>${it}</${tag}>`).join("")}</tr>`;
    document.getElementById("table").innerHTML =
      cells("th", ["", ...engines]) +
      Object.entries(found)
        .map(([work, times]) => cells("td", [work, ...engines.map((it) => (times[it] ? median(times[it]).toFixed(3) : ""))]))
        .join("");
    progress.textContent = "";
  } catch (error) {
    progress.textContent = String(error);
  } finally {
    target.disabled = false;
  }
});
