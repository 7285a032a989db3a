// What tabs keep of one file, while another tab changes it.
import { equal, ok } from "./tally.mjs";

const open = (page, name, options) =>
  page.evaluate(async (name, options) => void (window.yard = await window.blockyard.open(name, options)), name, options);
const get = (page, name) => page.evaluate((name) => window.yard.getText(name), name);
const put = (page, name, value, options) =>
  page.evaluate((name, value, options) => window.yard.put(name, value, options), name, value, options);

/** Writes numbers that only grow, to `first` before `second`, until the page is told to stop. */
function write() {
  window.stop = false;
  window.written = (async () => {
    let number = 0;
    while (!window.stop) {
      number++;
      await window.yard.put("first", String(number), { durability: "buffered" });
      await window.yard.batch().put("second", String(number)).put("other", "x").commit({ durability: "buffered" });
    }
    return number;
  })();
}

/** Reads them the other way round: a number, once seen, is not taken back, and what was written before it is there. */
async function watch(milliseconds) {
  const { yard } = window;
  const until = performance.now() + milliseconds;
  let [first, second, reads] = [0, 0, 0];
  const different = new Set();
  while (performance.now() < until) {
    // Some together, so that answers and changes are under way at once.
    const [b, , a] = await Promise.all([yard.getText("second"), yard.getText("second"), yard.getText("first")]);
    const [b2, a2] = [Number((await yard.getText("second")) ?? 0), Number((await yard.getText("first")) ?? 0)];
    if (b2 < Number(b ?? 0) || b2 < second) throw new Error(`second: ${b2} after ${b} and ${second}`);
    if (a2 < Number(a ?? 0) || a2 < first) throw new Error(`first: ${a2} after ${a} and ${first}`);
    if (a2 < b2) throw new Error(`first is ${a2} when second is ${b2}`);
    [first, second] = [a2, b2];
    different.add(a2);
    // Reads that ask nobody leave no time for messages. This is no timer, which would be slow in a tab behind others.
    if (++reads % 20 === 0) {
      const { port1, port2 } = new MessageChannel();
      await new Promise((resolve) => {
        port1.onmessage = resolve;
        port2.postMessage(0);
      });
    }
  }
  return [different.size, first];
}

export async function caching(check, { openPage }) {
  await check("a value that one tab keeps and another changes", async () => {
    const [first, second] = [await openPage(), await openPage()];
    await open(first, "kept");
    await open(second, "kept");
    // Each in turn, for one of them owns the file.
    for (const [writer, reader] of [[first, second], [second, first]]) {
      for (let turn = 0; turn < 20; turn++) {
        await put(writer, "name", `of ${turn}`, { durability: "buffered" });
        // A write of its own is behind that.
        equal(
          await reader.evaluate(async () => {
            await window.yard.put("mine", "x", { durability: "buffered" });
            return [await window.yard.getText("name"), await window.yard.getText("name")];
          }),
          [`of ${turn}`, `of ${turn}`],
        );
      }
      await writer.evaluate(() => window.yard.delete("name"));
      // So is whatever asks for an answer.
      equal(await reader.evaluate(() => window.yard.has("mine").then(() => window.yard.getText("name"))), undefined);
      await writer.evaluate(async () => {
        const whole = await window.yard.exportBlob();
        await window.yard.put("name", "to be undone");
        window.whole = whole;
      });
      equal(await reader.evaluate(() => window.yard.flush().then(() => window.yard.getText("name"))), "to be undone");
      await writer.evaluate(() => window.yard.importBlob(window.whole));
      equal(await reader.evaluate(() => window.yard.flush().then(() => window.yard.getText("name"))), undefined, "import");
    }
    await first.evaluate(() => window.yard.destroy());
    equal(await second.evaluate(() => window.yard.get("mine").catch((error) => error.code)), "Closed");
    await first.close();
    await second.close();
  });
  await check("no tab sees an older value after a newer one", async () => {
    const [first, second] = [await openPage(), await openPage()];
    await open(first, "monotone");
    await open(second, "monotone");
    for (const [writer, reader] of [[first, second], [second, first]]) {
      await writer.evaluate(write);
      const [different, last] = await reader.evaluate(watch, 3000);
      const written = await writer.evaluate(() => ((window.stop = true), window.written));
      ok(different > 3 && last <= written, `${different} values seen, the last ${last} of ${written}`);
      equal(await reader.evaluate(() => window.yard.has("x").then(() => window.yard.getText("second"))), String(written), "the last");
      await writer.evaluate(() => Promise.all([window.yard.put("first", "0"), window.yard.put("second", "0")]));
      await reader.evaluate(() => window.yard.has("x"));
    }
    await first.evaluate(() => window.yard.destroy());
    await first.close();
    await second.close();
  });
  await check("what was lost with its owner is not kept by another tab", async () => {
    const [owner, other] = [await openPage(), await openPage()];
    await owner.evaluate(async () => {
      window.Worker = class extends Worker {
        constructor(...words) {
          super(...words);
          window.worker = this;
        }
      };
      window.yard = await window.blockyard.open("lost", { workerUrl: window.forgetful() });
    });
    await open(other, "lost");
    await put(owner, "name", "durable");
    equal(await get(other, "name"), "durable");
    await owner.evaluate(async () => {
      const forgets = new Promise((resolve) => (new BroadcastChannel("forgets").onmessage = resolve));
      new BroadcastChannel("forget").postMessage(true);
      await forgets;
    });
    await put(owner, "name", "lost", { durability: "buffered" });
    equal(await other.evaluate(() => window.yard.flush().then(() => window.yard.getText("name"))), "lost");
    equal(await get(other, "name"), "lost", "kept");
    await owner.evaluate(() => window.worker.terminate());
    equal(await other.evaluate(() => window.yard.has("x").then(() => window.yard.getText("name"))), "durable");
    equal(await other.evaluate(() => window.yard.verify().then((it) => it.problemCount)), 0);
    await other.evaluate(() => window.yard.destroy());
    await owner.close();
    await other.close();
  });
  await check("a page that was frozen keeps nothing of before", async () => {
    const [first, second] = [await openPage(), await openPage()];
    await open(first, "thawed");
    await open(second, "thawed");
    for (const [frozen, other] of [[first, second], [second, first]]) {
      await put(other, "name", "before");
      equal(await frozen.evaluate(() => window.yard.flush().then(() => window.yard.getText("name"))), "before");
      await frozen.evaluate(() => document.dispatchEvent(new Event("freeze")));
      await put(other, "name", "after");
      await frozen.evaluate(() => document.dispatchEvent(new Event("resume")));
      equal(await get(frozen, "name"), "after");
    }
    await first.evaluate(() => window.yard.destroy());
    await first.close();
    await second.close();
  });
}
