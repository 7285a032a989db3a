// What is checked in one page. Each case gets a name of its own for its yard and throws if it fails.
import * as blockyard from "blockyard";

/** Opens a yard and waits for its file for as long as a busy machine may take. */
export const open = (name, options) => blockyard.open(name, { lockTimeout: 60_000, ...options });

export function ok(condition, what) {
  if (!condition) throw new Error(what);
}

export function equal(found, expected, what = "value") {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: found ${a?.slice(0, 300)}, expected ${b?.slice(0, 300)}`);
}

export function bytes(seed, length) {
  const out = new Uint8Array(length);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[at] = state >>> 24;
  }
  return out;
}

export const same = (a, b) => a !== undefined && a.length === b.length && a.every((byte, at) => byte === b[at]);

export async function thrown(work) {
  try {
    await work();
  } catch (error) {
    ok(error instanceof blockyard.BlockyardError, `a class of the package: ${error?.stack ?? error}`);
    ok(error instanceof blockyard[`${error.code}Error`], `the class of ${error.code}`);
    return error.code;
  }
  return "nothing";
}

const names = async (list) => {
  const found = [];
  for await (const { name } of list) found.push(name);
  return found;
};

export async function basics(name) {
  const yard = await open(name);
  await yard.put("greeting", "hello");
  equal(await yard.getText("greeting"), "hello");
  await yard.putJSON("user/1", { name: "Ada" });
  equal(await yard.getJSON("user/1"), { name: "Ada" });
  equal(await yard.get("absent"), undefined);
  equal([await yard.has("greeting"), await yard.has("absent")], [true, false]);
  await yard.put(new Uint8Array([0xff, 0x00]), new Uint8Array(3), { tag: 42 });
  const [entry] = await Array.fromAsync(yard.list({ reverse: true, limit: 1 }));
  equal([...entry.nameBytes], [255, 0]);
  equal([entry.length, entry.tag, entry.chunks], [3, 42, 1]);
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(3));
  equal(entry.digest, Array.from(new Uint8Array(digest), (it) => it.toString(16).padStart(2, "0")).join(""));
  await yard.delete("greeting");
  equal(await yard.has("greeting"), false);
  await yard.close();
  const again = await open(name);
  equal(await yard.get("user/1").catch((error) => error.code), "Closed");
  equal(await again.getJSON("user/1"), { name: "Ada" });
  await again.destroy();
}

export async function lengths(name) {
  const yard = await open(name);
  const all = [0, 1, 500, 1023, 1024, 1025, 4095, 4096, 4097, 65_536, 70_000, 1 << 20, (1 << 20) + 1, 3_500_000];
  for (const length of all) await yard.put(`b/${length}`, bytes(length, length));
  for (const length of all) ok(same(await yard.get(`b/${length}`), bytes(length, length)), `${length} bytes`);
  const handed = bytes(5, 5000);
  await yard.put("handed", handed, { transfer: true });
  equal(handed.length, 0, "a buffer that was handed over");
  ok(same(await yard.get("handed"), bytes(5, 5000)), "what was handed over");
  for (const [start, end] of [[0, 10], [1000, 1_100_000], [3_499_990, 4_000_000], [5, 5], [9_000_000, 9_000_001]]) {
    const expected = bytes(3_500_000, 3_500_000).slice(start, end);
    ok(same(await yard.readRange("b/3500000", start, end), expected), `range ${start} to ${end}`);
  }
  await yard.writeRange("b/3500000", 1_048_570, "across two chunks");
  const changed = bytes(3_500_000, 3_500_000);
  changed.set(new TextEncoder().encode("across two chunks"), 1_048_570);
  ok(same(await yard.get("b/3500000"), changed), "what was changed in the middle");
  await yard.writeRange("b/500", 498, "longer");
  equal((await yard.metadata("b/500")).length, 504);
  equal(await thrown(() => yard.writeRange("b/500", 600, "x")), "Invalid");
  equal(await thrown(() => yard.writeRange("absent", 0, "x")), "NotFound");
  equal((await yard.verify()).problemCount, 0);
  await yard.destroy();
}

export async function flushes(name) {
  const yard = await open(name, { journalSize: 8 << 20 });
  for (let index = 0; index < 20; index++) await yard.put(`warm/${index}`, bytes(index, 256));
  // Growth and checkpoints flush for themselves.
  const syncs = async () => {
    const { syncs, grows, checkpoints } = await yard.stats();
    return syncs - grows - 2 * checkpoints;
  };
  let before = await syncs();
  for (let index = 0; index < 50; index++) await yard.put(`single/${index}`, bytes(index, 256));
  equal((await syncs()) - before, 50, "one flush a durable commit");
  before = await syncs();
  const batch = yard.batch();
  for (let index = 0; index < 500; index++) batch.put(`batch/${index}`, bytes(index, 256));
  await batch.commit();
  equal((await syncs()) - before, 1, "one flush a durable batch");
  before = await syncs();
  await Promise.all(Array.from({ length: 50 }, (_, index) => yard.put(`shared/${index}`, bytes(index, 256))));
  ok((await syncs()) - before < 25, "commits that wait together share flushes");
  before = await syncs();
  await Promise.all(
    Array.from({ length: 10 }, (_, index) => yard.put(`soon/${index}`, "x", { durability: "buffered" })),
  );
  let stats = await yard.stats();
  for (let tries = 0; stats.durableSequence < stats.sequence; tries++) {
    ok(tries < 100, "buffered commits become durable by themselves");
    await new Promise((resolve) => setTimeout(resolve, 50));
    stats = await yard.stats();
  }
  ok((await syncs()) > before, "by a flush");
  await yard.put("later", "x", { durability: "buffered" });
  await yard.flush();
  stats = await yard.stats();
  equal(stats.durableSequence, stats.sequence, "flush");
  await yard.destroy();
}

export async function lists(name) {
  const yard = await open(name, { journalSize: 128 << 10 });
  const model = [];
  for (let round = 0; round < 4; round++) {
    const batch = yard.batch();
    for (let index = 0; index < 200; index++) {
      const key = `${String.fromCharCode(97 + (index % 5))}/${String(round * 200 + index).padStart(4, "0")}`;
      batch.put(key, bytes(index, 600));
      model.push(key);
    }
    await batch.commit();
  }
  model.sort();
  equal(await names(yard.list()), model);
  equal(await names(yard.list({ reverse: true })), model.toReversed());
  equal(await names(yard.list({ prefix: "c/" })), model.filter((it) => it.startsWith("c/")));
  const range = { from: "b/0500", to: "d/0100" };
  const inside = model.filter((it) => it >= range.from && it < range.to);
  equal(await names(yard.list({ range })), inside);
  equal(await names(yard.list({ range, reverse: true, limit: 7 })), inside.toReversed().slice(0, 7));
  equal(await names(yard.list({ prefix: "c/", range })), inside.filter((it) => it.startsWith("c/")));
  equal(await names(yard.list({ limit: 0 })), []);
  for await (const { name: key, value } of yard.list({ values: true, limit: 300 })) {
    ok(same(value, bytes(Number(key.slice(2)) % 200, 600)), `the value of ${key}`);
  }
  const controller = new AbortController();
  controller.abort();
  equal(await thrown(() => names(yard.list({ signal: controller.signal }))), "Aborted");
  await yard.destroy();
}

export async function transactions(name) {
  const yard = await open(name);
  await yard.putJSON("counter", 0);
  const add = () =>
    yard.transaction(async (transaction) => {
      transaction.putJSON("counter", (await transaction.getJSON("counter")) + 1);
    });
  for (let round = 0; round < 5; round++) await Promise.all([add(), add(), add(), add()]);
  equal(await yard.getJSON("counter"), 20);
  const result = await yard.transaction(async (transaction) => {
    transaction.put("a", "1");
    transaction.delete("counter");
    return [await transaction.getText("a"), await transaction.has("counter"), await transaction.has("b")];
  });
  equal(result, ["1", false, false]);
  equal([await yard.has("counter"), await yard.getText("a")], [false, "1"]);
  equal(
    await yard.transaction(() => Promise.reject(new Error("mine"))).catch((error) => error.message),
    "mine",
    "an error of the program",
  );
  const refused = thrown(() =>
    yard.transaction(async (transaction) => {
      await transaction.get("a");
      await yard.put("a", String(Math.random()));
      transaction.put("a", "never");
    }),
  );
  equal(await refused, "Conflict");
  // In the file that a vacuum or an import leaves the numbers begin anew: what was read matched another commit.
  for (const replace of [() => yard.vacuum(), async () => yard.importBlob(await yard.exportBlob())]) {
    await yard.putJSON("counter", 1);
    await yard.vacuum();
    let runs = 0;
    await yard.transaction(async (transaction) => {
      const seen = await transaction.getJSON("counter");
      if (runs++ === 0) {
        await yard.putJSON("counter", 100);
        await replace();
      }
      transaction.putJSON("counter", seen + 1);
    });
    equal([runs, await yard.getJSON("counter")], [2, 101]);
  }
  await yard.destroy();
}

export async function snapshots(name) {
  const yard = await open(name, { journalSize: 64 << 10 });
  for (let index = 0; index < 20; index++) await yard.put(`k/${index}`, bytes(index, 3000));
  const snapshot = await yard.snapshot();
  const listed = await names(snapshot.list());
  for (let round = 1; round < 10; round++) {
    for (let index = 0; index < 20; index++) await yard.put(`k/${index}`, bytes(index + round, 3000), { durability: "buffered" });
  }
  await yard.delete("k/3");
  await yard.put("k/new", "x");
  for (let index = 0; index < 20; index++) ok(same(await snapshot.get(`k/${index}`), bytes(index, 3000)), `k/${index} of before`);
  equal(await names(snapshot.list()), listed);
  equal(await snapshot.has("k/new"), false);
  ok((await yard.stats()).checkpoints > 0, "checkpoints came between");
  await snapshot.close();
  equal(await thrown(() => snapshot.get("k/1")), "Aborted");
  await yard.destroy();
}

export async function streams(name) {
  const yard = await open(name);
  const length = 8_300_000;
  const value = bytes(1, length);
  const told = [];
  await yard.putStream("big", new Blob([value]), { onProgress: (done) => told.push(done) });
  equal(told.at(-1), length, "progress");
  const read = [];
  const stream = await yard.getStream("big", { onProgress: (done) => read.push(done) });
  await yard.put("big", "replaced while it is read");
  const found = new Uint8Array(await new Response(stream).arrayBuffer());
  ok(same(found, value), "the bytes of a stream are of one moment");
  ok(read.length > 4 && read.at(-1) === length, "progress of reading");
  const controller = new AbortController();
  const endless = new ReadableStream({ pull: (it) => it.enqueue(bytes(2, 300_000)) });
  const put = thrown(() =>
    yard.putStream("never", endless, {
      signal: controller.signal,
      onProgress: (done) => done > 3_000_000 && controller.abort(),
    }),
  );
  equal(await put, "Aborted");
  equal(await yard.has("never"), false);
  const failing = new ReadableStream({ pull: (it) => it.error(new DOMException("x", "QuotaExceededError")) });
  equal(await thrown(() => yard.putStream("never", failing)), "Quota");
  equal(await yard.getStream("absent"), undefined);
  const cancelled = await yard.getStream("big");
  await cancelled.cancel();
  await yard.rename("big", "moved");
  equal([await yard.has("big"), await yard.getText("moved")], [false, "replaced while it is read"]);
  equal((await yard.verify()).problemCount, 0);
  await yard.destroy();
}

export async function files(name) {
  const yard = await open(name);
  for (let index = 0; index < 30; index++) await yard.put(`k/${index}`, bytes(index, 100_000), { durability: "buffered" });
  const told = [];
  const report = await yard.verify({ onProgress: (progress) => told.push(progress) });
  equal([report.blocks, report.bytes, report.problemCount], [30, 3_000_000, 0]);
  ok(told.length > 0 && told.at(-1).totalBytes === 3_000_000, "progress of verification");
  for (let index = 0; index < 28; index++) await yard.delete(`k/${index}`);
  const before = (await yard.stats()).fileBytes;
  const whole = await yard.exportBlob();
  equal(whole.size, before, "length of the exported file");
  await yard.vacuum();
  const { fileBytes, freeBytes } = await yard.stats();
  ok(fileBytes < before && freeBytes < before, `vacuum: ${before} to ${fileBytes}`);
  ok(same(await yard.get("k/29"), bytes(29, 100_000)), "what is left after vacuum");
  equal((await yard.verify()).problemCount, 0);
  await yard.put("after", "x");
  await yard.importBlob(whole);
  equal(await names(yard.list()), ["k/28", "k/29"]);
  for (const index of [28, 29]) ok(same(await yard.get(`k/${index}`), bytes(index, 100_000)), `k/${index} byte for byte`);
  await thrown(() => yard.importBlob(whole)).then((code) => equal(code, "nothing", "imported twice"));
  equal(await thrown(() => yard.importBlob(new Blob([bytes(3, 100_000)]))), "NotABlockyard");
  equal(await thrown(() => yard.importBlob(new Blob([]))), "NotABlockyard");
  const damaged = new Uint8Array(await whole.arrayBuffer());
  const value = bytes(29, 100_000);
  // The value's last place in the file: what lies in front of it may be an older copy.
  let place = -1;
  for (let at = damaged.indexOf(value[0]); at >= 0; at = damaged.indexOf(value[0], at + 1)) {
    if (value.subarray(0, 64).every((byte, offset) => damaged[at + offset] === byte)) place = at;
  }
  ok(place >= 0, "the value is in the file");
  damaged[place + 50_000] ^= 1;
  equal(await thrown(() => yard.importBlob(new Blob([damaged]))), "Corrupt");
  equal(await names(yard.list()), ["k/28", "k/29"], "a file that was refused changes nothing");
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("blockyard");
  const left = (await Array.fromAsync(folder.keys())).filter((it) => it.startsWith(encodeURIComponent(name)));
  equal(left, [`${encodeURIComponent(name)}.by`], "and leaves no file behind");
  // What a vacuum of a worker that was ended has left took its part of the quota.
  await yard.close();
  await folder.getFileHandle(`${encodeURIComponent(name)}.new`, { create: true });
  const again = await open(name);
  equal(await names(again.list()), ["k/28", "k/29"]);
  equal((await Array.fromAsync(folder.keys())).filter((it) => it.startsWith(encodeURIComponent(name))), left);
  const { quota } = await again.estimate();
  ok(quota > 0, "estimate");
  equal(typeof (await again.persist()), "boolean");
  await again.destroy();
}

/** Many changes travel as one array of bytes, few or large ones as they are. */
export async function batches(name) {
  const yard = await open(name);
  const heard = [];
  await yard.subscribe("b/", (changes) => heard.push(...changes));
  for (const count of [1, 7, 8, 300]) {
    const batch = yard.batch();
    for (let index = 0; index < count; index++) batch.put(`b/${index}`, bytes(index + count, index * 40), { tag: index * 2 ** 40 });
    batch.delete("b/0").put(new Uint8Array([0, 255]), new Uint8Array());
    equal(batch.size, count + 2);
    await batch.commit();
    await yard.flush();
    for (let index = 1; index < count; index++) ok(same(await yard.get(`b/${index}`), bytes(index + count, index * 40)), `${index} of ${count}`);
    equal(await yard.has("b/0"), false);
    equal((await yard.metadata(new Uint8Array([0, 255]))).length, 0);
    equal(heard.length, count + 1);
    equal([heard[0], heard.at(-1)], [{ name: "b/0", kind: "put" }, { name: "b/0", kind: "delete" }]);
    heard.length = 0;
  }
  equal((await yard.metadata("b/299")).tag, 299 * 2 ** 40);
  const large = yard.batch();
  for (let index = 0; index < 10; index++) large.put(`large/${index}`, bytes(index, 200_000));
  await large.commit();
  ok(same(await yard.get("large/9"), bytes(9, 200_000)), "large values");
  // One that cannot be makes none of them.
  const { sequence } = await yard.stats();
  const refused = yard.batch();
  for (let index = 0; index < 20; index++) refused.put(index === 19 ? "n".repeat(600) : `never/${index}`, "x");
  equal(await thrown(() => refused.commit()), "Invalid");
  equal([await yard.has("never/0"), (await yard.stats()).sequence], [false, sequence]);
  equal((await yard.verify()).problemCount, 0);
  await yard.destroy();
}

export async function subscriptions(name) {
  const yard = await open(name);
  const heard = [];
  const end = await yard.subscribe("user/", (changes) => heard.push(changes));
  await yard.put("user/1", "x");
  await yard.put("other", "x");
  await yard.batch().put("user/2", "x").delete("user/1").put("other", "y").commit();
  await yard.rename("user/2", "user/3");
  await yard.flush();
  equal(heard.flat(), [
    { name: "user/1", kind: "put" },
    { name: "user/2", kind: "put" },
    { name: "user/1", kind: "delete" },
    { name: "user/2", kind: "delete" },
    { name: "user/3", kind: "put" },
  ]);
  end();
  await yard.flush();
  const before = heard.length;
  await yard.put("user/4", "x");
  await yard.flush();
  equal(heard.length, before, "after the end");
  await yard.destroy();
}

export async function errors(name) {
  const yard = await open(name);
  equal(await thrown(() => yard.put("", "x")), "Invalid");
  equal(await thrown(() => yard.put("n".repeat(600), "x")), "Invalid");
  equal(await thrown(() => yard.rename("absent", "b")), "NotFound");
  const controller = new AbortController();
  controller.abort();
  equal(await thrown(() => yard.get("name", { signal: controller.signal })), "Aborted");
  equal(await thrown(() => open(name, { signal: controller.signal })), "Aborted");
  // What no option is went to the worker too: a function made `open` throw a `DataCloneError` and leave its worker behind.
  const odd = await open(`${name}-odd`, { later: () => {}, pageSize: 1024 });
  equal((await odd.stats()).pageSize, 1024);
  await odd.destroy();
  await yard.put("name", "still alive");
  const other = await open(name);
  await other.destroy();
  equal(await thrown(() => yard.put("name", "x")), "Closed");
  equal(await thrown(() => other.get("name")), "Closed");
  const fresh = await open(name);
  equal(await names(fresh.list()), []);
  await fresh.destroy();
  const memory = await open(name, { storage: "memory" });
  await memory.put("name", bytes(1, 100_000));
  ok(same(await memory.get("name"), bytes(1, 100_000)), "in memory");
  equal((await memory.verify()).problemCount, 0);
  await memory.close();
  equal(await names((await open(name, { storage: "memory" })).list()), []);
}

export async function disposal(name) {
  const yard = await open(name);
  await yard.put("name", "x");
  await yard[Symbol.asyncDispose]();
  const again = await open(name);
  equal(await again.getText("name"), "x");
  const snapshot = await again.snapshot();
  await snapshot[Symbol.asyncDispose]();
  await again.destroy();
}

export async function synchronous(name) {
  const worker = window.syncWorker();
  const found = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(name);
  });
  worker.terminate();
  equal(found, {
    names: ["drei", "two"], each: 1, locked: "Locked", range: "re", before: ["3", false, 3],
    json: [{ a: [1] }, 0, 1, 9], refused: "NotFound", told: 4, clean: [4, 0], exported: true,
    replaced: [true, ["Closed", "Closed", "Closed"], "Aborted", true, "2", "NotABlockyard", 4],
    transacted: [["2+3rei", false, false, true], "2+3rei", false, "NotFound", "Invalid", false, "2"],
    whole: true, batched: [20, true, false], pieced: [7_000_000, "replaced", undefined, "mine", false], deleted: true,
    recovered: ["Io", "Io", "nothing", "y", "Aborted", "Io", "2", 0, "Invalid"], closed: "Closed", kept: "2", left: 0,
  });
}

/** A browser without synchronous file access, without a file system, without locks. */
export async function unsupported(name) {
  const source = new URL("/package/worker.js", location.href);
  for (const without of [
    "delete FileSystemFileHandle.prototype.createSyncAccessHandle",
    "Object.defineProperty(navigator, 'storage', { value: undefined })",
    "Object.defineProperty(navigator, 'locks', { value: undefined })",
    "Object.defineProperty(globalThis, 'isSecureContext', { value: false })",
  ]) {
    const script = `${without}; const early = []; onmessage = (it) => early.push(it);
      await import(${JSON.stringify(source.href)}); early.forEach((it) => onmessage(it));`;
    const workerUrl = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const wasmUrl = new URL("/package/blockyard.wasm", location.href);
    let message = "";
    const code = await thrown(() =>
      open(name, { workerUrl, wasmUrl }).catch((error) => {
        message = error.message;
        throw error;
      }),
    );
    equal(code, "Unsupported", without);
    ok(/use a newer browser|serve the page over https/.test(message) && message.includes('storage: "memory"'), message);
    const memory = await open(name, { workerUrl, wasmUrl, storage: "memory" });
    await memory.put("name", "x");
    await memory.close();
  }
  // A module of an instruction that no browser knows, as one with SIMD is to an old browser.
  const unknown = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 6, 1, 4, 0, 253, 255, 127, 11];
  const wasmUrl = URL.createObjectURL(new Blob([new Uint8Array(unknown)], { type: "application/wasm" }));
  const said = await open(name, { wasmUrl }).then(() => "", (error) => `${error.code}: ${error.message}`);
  ok(/^Unsupported: .*SIMD/.test(said), said);
  const missing = new URL("/nowhere.js", location.href);
  equal(await thrown(() => open(name, { workerUrl: missing })), "Unsupported");
}

/** Somebody who does not take part in sharing has the file. */
export async function locked(name) {
  const script = `onmessage = async ({ data: file }) => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("blockyard", { create: true });
    const handle = await (await folder.getFileHandle(file, { create: true })).createSyncAccessHandle();
    onmessage = () => { handle.close(); postMessage("closed"); };
    postMessage("open");
  };`;
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  const answer = () => new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
  worker.postMessage(`${encodeURIComponent(name)}.by`);
  await answer();
  let blocked = 0;
  equal(await thrown(() => open(name, { lockTimeout: 400, onBlocked: () => blocked++ })), "Locked");
  ok(blocked > 0, "onBlocked is called");
  const opening = open(name, { onBlocked: () => worker.postMessage("let go") });
  const yard = await opening;
  await yard.put("name", "x");
  equal(await yard.getText("name"), "x");
  worker.terminate();
  await yard.destroy();
}

/** Fills the yard until the quota is reached; what was answered stays, and room can be made. */
export async function quota(name) {
  const yard = await open(name, { growth: 1 << 20 });
  const kept = [];
  let code = "nothing";
  for (let index = 0; index < 400 && code === "nothing"; index++) {
    code = await thrown(() => yard.put(`k/${index}`, bytes(index, 500_000)));
    if (code === "nothing") kept.push(index);
  }
  equal(code, "Quota");
  ok(kept.length > 2, `some fitted: ${kept.length}`);
  for (const index of kept) ok(same(await yard.get(`k/${index}`), bytes(index, 500_000)), `k/${index}`);
  for (const index of kept.slice(0, kept.length - 1)) await yard.delete(`k/${index}`);
  await yard.put("again", bytes(7, 400_000));
  ok(same(await yard.get("again"), bytes(7, 400_000)), "there is room again");
  equal((await yard.verify()).problemCount, 0);
  await yard.close();
  const reopened = await open(name);
  equal((await reopened.verify()).problemCount, 0);
  equal(await names(reopened.list()), ["again", `k/${kept.at(-1)}`]);
  await reopened.destroy();
}
