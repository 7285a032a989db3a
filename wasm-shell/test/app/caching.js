// What a page keeps of what it has read: it saves messages, and never shows what is not so any more.
import { bytes, equal, ok, open, same, thrown } from "./cases.js";

/** Counts the values that this page's workers are asked for by `get`. */
function asked() {
  const { postMessage } = Worker.prototype;
  let count = 0;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message.request === "get") count++;
    return postMessage.call(this, message, ...rest);
  };
  return {
    /** How often since this was asked last. */
    since: () => [count, (count = 0)][0],
    end: () => void (Worker.prototype.postMessage = postMessage),
  };
}

/** A page's own changes, of each kind: what it reads next shows them. */
async function own(yard) {
  await yard.put("a", "1");
  const is = async (expected, what) => equal([await yard.getText("a"), await yard.getText("a")], [expected, expected], what);
  await is("1", "put");
  void yard.put("a", "2");
  await is("2", "a put that nobody waited for");
  await yard.delete("a");
  await is(undefined, "delete");
  await yard.put("b", "3");
  await yard.rename("b", "a");
  await is("3", "rename");
  equal(await yard.get("b"), undefined);
  await yard.writeRange("a", 1, "4");
  await is("34", "writeRange");
  await yard.batch().put("a", "5").commit();
  await is("5", "batch");
  await yard.transaction((it) => it.put("a", "6"));
  await is("6", "transaction");
  await yard.putStream("a", new Blob(["7"]));
  await is("7", "putStream");
  const whole = await yard.exportBlob();
  await yard.put("a", "8");
  await is("8", "put");
  await yard.importBlob(whole);
  await is("7", "importBlob");
  await yard.vacuum();
  await is("7", "vacuum");
  const [before, , after] = [yard.getText("a"), yard.put("a", "9"), yard.getText("a")];
  equal([await before, await after], ["7", "9"], "in the order of the calls");
  await is("9", "afterwards");
  await yard.put("c", "10");
  const changes = [
    [() => yard.rename("c", "a"), "10"],
    [() => yard.writeRange("a", 1, "1"), "11"],
    [() => yard.delete("a"), undefined],
    [() => yard.batch().put("a", "12").commit(), "12"],
    [() => yard.importBlob(whole), "7"],
  ];
  for (const [change, expected] of changes) {
    const done = change();
    await is(expected, `nobody waited for ${change}`);
    await done;
    await yard.get("a");
  }
}

/** Names that are not what they look like. */
async function names(yard) {
  await yard.put("mark", "\ufefftext");
  equal([await yard.getText("mark"), await yard.getText("mark")], ["\ufefftext", "\ufefftext"]);
  const all = ["name", "\ufeffname", "\ufffd", "n\u00e4me", "na\u0308me"];
  for (const [index, one] of all.entries()) await yard.put(one, String(index));
  for (const turn of [1, 2]) for (const [index, one] of all.entries()) equal(await yard.getText(one), String(index), `${one}, ${turn}`);
  equal((await Array.fromAsync(yard.list())).map((it) => it.name).filter((it) => all.includes(it)).length, all.length);
  // No text, though it looks like one of them.
  await yard.put(new Uint8Array([0xff]), "other");
  equal([await yard.getText(new Uint8Array([0xff])), await yard.getText("\ufffd")], ["other", "2"]);
  // What is no text stands for the same as what it is sent as.
  await yard.put("\ud800", "half");
  equal([await yard.getText("\ufffd"), await yard.getText("\ud800")], ["half", "half"]);
}

export async function caching(name) {
  const count = asked();
  try {
    const yard = await open(name);
    await own(yard);
    await names(yard);
    await yard.put("value", bytes(1, 5000));
    count.since();
    for (let turn = 0; turn < 10; turn++) {
      const found = await yard.get("value");
      ok(same(found, bytes(1, 5000)), "what one reader does to its bytes is nobody else's");
      found.fill(turn);
      structuredClone(found.buffer, { transfer: [found.buffer] });
      equal(await yard.get("absent"), undefined);
    }
    equal(count.since(), 2, "asked once each");
    for (const turn of [1, 2, 3]) equal((await yard.readRange("value", 0, turn)).length, turn);
    equal(count.since(), 3, "a range is asked for");
    const snapshot = await yard.snapshot();
    await snapshot.get("value");
    await yard.transaction((it) => it.get("value"));
    await snapshot.close();
    equal(count.since(), 2, "snapshots and transactions ask");
    for (const events of [["freeze", "resume"], ["resume"]]) {
      for (const event of events) document.dispatchEvent(new Event(event));
      ok(same(await yard.get("value"), bytes(1, 5000)), "of a page that comes back");
      equal(count.since(), 1, "nothing is kept over that");
    }
    const controller = new AbortController();
    controller.abort();
    equal(await thrown(() => yard.get("value", { signal: controller.signal })), "Aborted");
    const closing = yard.close();
    equal(await thrown(() => yard.get("value")), "Closed");
    await closing;
    equal(await thrown(() => yard.get("value")), "Closed");
    await budget(name, count);
    await late(name);
  } finally {
    count.end();
  }
}

/** What is kept stays below what was allowed: what was read longest ago goes first, and what is large never comes. */
async function budget(name, count) {
  const yard = await open(name, { cache: 64 << 10 });
  const batch = yard.batch();
  for (let index = 0; index < 30; index++) batch.put(`k/${index}`, bytes(index, 4096));
  await batch.put("large", bytes(3, 9000)).commit();
  const read = async (...indices) => {
    count.since();
    for (const index of indices) ok(same(await yard.get(`k/${index}`), bytes(index, 4096)), `k/${index}`);
    return count.since();
  };
  const all = Array.from({ length: 30 }, (_, index) => index);
  equal(await read(...all), 30);
  equal(await read(...all.slice(-15).reverse()), 0, "as many as there is room for");
  // Used last are now those that were read first of them.
  equal(await read(0, 1, 2), 3);
  equal(await read(15, 16, 17), 0, "used lately");
  equal(await read(29, 28, 27), 3, "used longest ago");
  for (const _ of [1, 2]) ok(same(await yard.get("large"), bytes(3, 9000)), "large");
  equal(count.since(), 2, "a large value is not kept");
  await yard.close();
  const none = await open(name, { cache: 0 });
  count.since();
  for (let turn = 0; turn < 10; turn++) await none.get("k/1");
  equal(count.since(), 10, "without a cache every get asks");
  await none.destroy();
}

const script = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
/** The package's worker, behind something that changes what is around it. */
const worker = (patch) => script(`import ${JSON.stringify(script(patch))}; import ${JSON.stringify(`${location.origin}/package/worker.js`)};`);

/** An answer that arrives behind the news that it is old is given to whoever asked, and not kept. */
async function late(name) {
  const workerUrl = worker(`
    const post = postMessage.bind(self);
    const held = [];
    self.postMessage = (message, transfer) =>
      message.kind === "answer" && message.value?.length === 5000 ? held.push([message, transfer]) : post(message, transfer);
    new BroadcastChannel("late").onmessage = () => held.forEach((it) => post(...it));`);
  const yard = await open(name, { workerUrl });
  await yard.put("name", bytes(1, 5000));
  const asked = yard.get("name");
  await yard.put("name", bytes(2, 100));
  new BroadcastChannel("late").postMessage(true);
  ok(same(await asked, bytes(1, 5000)), "as of when it was asked");
  ok(same(await yard.get("name"), bytes(2, 100)), "as of now");
  await yard.destroy();
}

/**
 * A worker that keeps what it is told to forget to itself: from then on nothing reaches the file, as if the power went before
 * the next flush.
 */
export function forgetful() {
  return worker(`
    let forgets = false;
    const { write } = FileSystemSyncAccessHandle.prototype;
    FileSystemSyncAccessHandle.prototype.write = function (bytes, options) {
      return forgets ? bytes.length : write.call(this, bytes, options);
    };
    new BroadcastChannel("forget").onmessage = () => {
      forgets = true;
      new BroadcastChannel("forgets").postMessage(true);
    };`);
}
