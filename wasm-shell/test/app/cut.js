// `worker.terminate()` at each write of a workload: a worker does the work over a handle that stops at the
// n-th call, half of it done, and says so; the page ends it there. What is found afterwards must be the state
// after some commit, not before the last one that was answered durable.
import { bytes, equal, ok, open, same } from "./cases.js";

/** The commits of the workload, in order; each is made durable but the third of four. */
function workload() {
  const commits = [];
  for (let index = 0; index < 24; index++) {
    const puts = [[`k/${index % 7}`, index * 31 + 1, index % 6 === 5 ? 90_000 : 300 * (index % 5)]];
    if (index % 4 === 1) puts.push([`also/${index}`, index, 5000]);
    const deletes = index % 5 === 4 ? [`k/${(index + 3) % 7}`] : [];
    commits.push({ puts, deletes, durability: index % 4 === 2 ? "buffered" : "durable" });
  }
  return commits;
}

const OPTIONS = { journalSize: 64 << 10, growth: 128 << 10, chunkSize: 32 << 10, lockTimeout: 60_000 };

const SCRIPT = (sync) => `
  let left = Infinity, half = false, busy = false;
  // Nothing is written from here on. A worker that is busy when it is ended takes some browsers seconds to
  // end, so most wait idly for it.
  const stop = () => {
    if (left === 0) postMessage({ stopped: true });
    if (busy) for (;;);
    throw new DOMException("cut", "UnknownError");
  };
  const prototype = FileSystemSyncAccessHandle.prototype;
  const { write, flush, truncate } = prototype;
  prototype.write = function (buffer, options) {
    if (--left <= 0) {
      if (half && left === 0) write.call(this, buffer.subarray(0, Math.floor(buffer.length / 2 / 512) * 512 + 100), options);
      stop();
    }
    return write.call(this, buffer, options);
  };
  prototype.flush = function () { if (--left <= 0) stop(); return flush.call(this); };
  prototype.truncate = function (length) { if (--left <= 0) stop(); return truncate.call(this, length); };
  const { openSync } = await import(${JSON.stringify(sync)});
  const bytes = ${bytes};
  onmessage = async ({ data: { name, at, torn, hot, early, commits, options, wasmUrl } }) => {
    left = at; half = torn; busy = hot;
    try {
      const yard = await openSync(name, { ...options, wasmUrl });
      commits.forEach(({ puts, deletes, durability }, index) => {
        if (early) postMessage({ done: index + 1, durable: durability === "durable" });
        yard.batch([...puts.map(([key, seed, length]) => [key, bytes(seed, length)]), ...deletes.map((key) => [key, undefined])], { durability });
        postMessage({ done: index + 1, durable: durability === "durable" });
      });
      yard.close();
      postMessage({ finished: true });
    } catch (error) { if (left > 0) postMessage({ error: String(error) }); }
  };
  postMessage({ ready: true });
`;

/** States after each commit: names with seed and length. */
function states(commits) {
  const all = [new Map()];
  for (const { puts, deletes } of commits) {
    const next = new Map(all.at(-1));
    for (const [key, seed, length] of puts) next.set(key, [seed, length]);
    for (const key of deletes) next.delete(key);
    all.push(next);
  }
  return all;
}

/** Cuts the workload at its `at`-th call; returns whether it got there. */
async function cut(base, at, torn, early) {
  const name = `${base} ${at} ${torn}`;
  const commits = workload();
  const url = (file) => new URL(`/package/${file}`, location.href).href;
  const script = URL.createObjectURL(new Blob([SCRIPT(url("sync.js"))], { type: "text/javascript" }));
  const worker = new Worker(script, { type: "module" });
  let durable = 0;
  const stopped = await new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = ({ data }) => {
      if (data.ready) worker.postMessage({ name, at, torn, hot: at % 25 === 1, early, commits, options: OPTIONS, wasmUrl: url("blockyard.wasm") });
      if (data.done && data.durable) durable = data.done;
      if (data.stopped) resolve(true);
      if (data.finished) resolve(false);
      if (data.error) reject(new Error(data.error));
    };
  });
  worker.terminate();
  URL.revokeObjectURL(script);
  const yard = await open(name, OPTIONS);
  const found = new Map();
  for await (const { name: key, value } of yard.list({ values: true })) found.set(key, value);
  const fits = states(commits).map(
    (state) => state.size === found.size && [...state].every(([key, [seed, length]]) => same(found.get(key), bytes(seed, length))),
  );
  const survived = fits.lastIndexOf(true);
  ok(survived >= 0, `cut ${at}: what is there is the state after no commit`);
  ok(survived >= durable, `cut ${at}: commit ${durable} was answered durable, ${survived} is there`);
  equal((await yard.verify()).problemCount, 0, `cut ${at}: verification`);
  await yard.put("afterwards", "works");
  await yard.destroy();
  return stopped;
}

/**
 * Cuts at each call up to the last, every `step`-th; returns how many cuts there were. With `early` the worker
 * answers before it commits, which must be noticed.
 */
export async function cutter(name, step, early = false) {
  let cuts = 0;
  for (let at = 1; ; at += step) {
    if (!(await cut(name, at, at % 2 === 0, early))) return cuts;
    cuts++;
  }
}
