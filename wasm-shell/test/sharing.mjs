// Several tabs, one file.
import { equal, ok } from "./tally.mjs";

/** Work in a page that goes on until the page ends: every put that was answered is told to the server. */
function load(tab) {
  window.working = (async () => {
    const yard = (window.yard ??= await window.blockyard.open("five"));
    const answered = [];
    const tell = () => answered.length > 0 && navigator.sendBeacon("/acknowledge/", JSON.stringify(answered.splice(0)));
    addEventListener("pagehide", tell);
    setInterval(tell, 50);
    for (let index = 0; ; index++) {
      const name = `${tab}/${Date.now()}-${index}`;
      try {
        await yard.put(name, name.repeat(1 + (index % 40)));
      } catch (error) {
        window.trouble = `${error.name}: ${error.message}`;
        return;
      }
      answered.push(name);
      // A pause that no browser makes longer for a page in the background.
      if (index % 10 === 9) await fetch("/pause/").catch(() => {});
    }
  })();
}

const open = (page, name) =>
  page.evaluate(async (name) => void (window.yard = await window.blockyard.open(name)), name);
const put = (page, name, value) => page.evaluate((name, value) => window.yard.put(name, value), name, value);
const get = (page, name) => page.evaluate((name) => window.yard.getText(name), name);

export async function sharing(check, { openPage, acknowledged, quick }) {
  await check("tabs share one file, and hear of each other", async () => {
    const [first, second] = [await openPage(), await openPage()];
    await open(first, "shared");
    await open(second, "shared");
    await put(first, "name", "by the first");
    equal(await get(second, "name"), "by the first");
    await put(second, "name", "by the second");
    equal(await get(first, "name"), "by the second");
    await second.evaluate(async () => {
      window.heard = [];
      await window.yard.subscribe("", (changes) => window.heard.push(changes));
    });
    await put(first, "told", "x");
    await second.waitForFunction(() => window.heard.flat().some((it) => it?.name === "told"), { polling: 50 });
    const through = await second.evaluate(async () => {
      const { bytes, same } = window.cases;
      const value = bytes(1, 5_000_000);
      await window.yard.putStream("large", new Blob([value]));
      const stream = await window.yard.getStream("large");
      const found = new Uint8Array(await new Response(stream).arrayBuffer());
      await window.yard.writeRange("large", 4_999_990, "longer than it was");
      const changed = await window.yard.get("large");
      const ranged = changed.length === 5_000_008 && same(changed.subarray(0, 4_999_990), value.subarray(0, 4_999_990));
      const batch = window.yard.batch();
      for (let index = 0; index < 100; index++) batch.put(`batch/${index}`, String(index));
      await batch.commit();
      const told = [];
      const { problemCount } = await window.yard.verify({ onProgress: (it) => told.push(it) });
      const exported = await window.yard.exportBlob();
      const counts = await Promise.all(Array.from({ length: 4 }, () => window.yard.transaction(async (it) => {
        it.putJSON("counter", ((await it.getJSON("counter")) ?? 0) + 1);
      })));
      return [same(found, value), ranged, await window.yard.getText("batch/99"), problemCount, exported.size > 5_000_000, told.length > 0, counts.length, await window.yard.getJSON("counter")];
    });
    equal(through, [true, true, "99", 0, true, true, 4, 4], "everything works through another tab");
    // What trapped in the module was answered by nobody, ended its tab, and was asked of the next one, and so on.
    const trapped = await second.evaluate(() =>
      window.yard.transport.request("commit", { changes: new Uint8Array(20).fill(255), durable: true }).then(() => "fine", (error) => error.code));
    equal([trapped, await get(first, "name"), await get(second, "name")], ["Io", "by the second", "by the second"]);
    const snapshotLost = await second.evaluate(async () => void (window.snapshot = await window.yard.snapshot()));
    equal(snapshotLost, undefined);
    await first.evaluate(() => window.yard.close());
    await put(second, "name", "after the first closed");
    equal(await get(second, "name"), "after the first closed");
    equal(await second.evaluate(() => window.snapshot.get("name").catch((error) => error.code)), "Aborted", "a snapshot of the tab that is gone");
    await open(first, "shared");
    equal(await get(first, "name"), "after the first closed");
    await second.evaluate(() => window.yard.destroy());
    equal(await first.evaluate(() => window.yard.get("name").catch((error) => error.code)), "Closed", "destroyed for all");
    await first.close();
    await second.close();
  });
  // The lock of the one that destroyed was quicker than its word: the next in line made a new file.
  await check("a yard that is destroyed leaves nothing behind, whoever stands in line for it", async () => {
    const pages = await Promise.all([openPage(), openPage(), openPage()]);
    for (let round = 0; round < 6; round++) {
      for (const page of pages) await open(page, "gone");
      await put(pages[0], "name", "x");
      // By the one that has the file, and by another.
      await pages[round % 3].evaluate(() => window.yard.destroy());
      const left = await pages[0].evaluate(async () => {
        await new Promise((resolve) => setTimeout(resolve, 200));
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("blockyard");
        return (await Array.fromAsync(folder.keys())).filter((it) => it.startsWith("gone"));
      });
      equal(left, [], `round ${round}`);
      equal(await pages[1].evaluate(() => window.yard.get("name").catch((error) => error.code)), "Closed");
    }
    for (const page of pages) await page.close();
  });
  await check("an owner that is closed, navigates away or loses its worker loses nothing", async () => {
    let owner = await openPage();
    await open(owner, "takeover");
    const other = await openPage();
    await open(other, "takeover");
    for (const [turn, end] of [
      ["closes", (page) => page.close()],
      ["navigates", (page) => page.goto("about:blank").then(() => page.close())],
      ["reloads", (page) => page.reload().then(() => page.close())],
    ].entries()) {
      const [what, leave] = end;
      for (let index = 0; index < 20; index++) await put(owner, `${turn}/${index}`, `${what} ${index}`);
      await leave(owner);
      for (let index = 0; index < 20; index++) equal(await get(other, `${turn}/${index}`), `${what} ${index}`, what);
      // The next owner is the one that is left; a fresh tab stands in line behind it, and takes its part.
      owner = other;
      await put(owner, "still", "writes");
      owner = await openPage();
      await open(owner, "takeover");
      equal(await get(owner, "still"), "writes");
      // Its turn to own the file.
      await other.evaluate(() => window.yard.close());
      equal(await get(owner, `${turn}/7`), `${what} 7`);
      await open(other, "takeover");
    }
    await other.evaluate(() => window.yard.destroy());
    await owner.close();
    await other.close();
  });
  await check("a page that is frozen lets go and comes back", async () => {
    const [first, second] = [await openPage(), await openPage()];
    await open(first, "frozen");
    await put(first, "name", "x");
    await open(second, "frozen");
    await first.evaluate(() => document.dispatchEvent(new Event("freeze")));
    await put(second, "name", "while it is frozen");
    await first.evaluate(() => document.dispatchEvent(new Event("resume")));
    equal(await get(first, "name"), "while it is frozen");
    await second.evaluate(() => document.dispatchEvent(new Event("freeze")));
    await put(first, "name", "the other way round");
    await second.evaluate(() => document.dispatchEvent(new Event("resume")));
    equal(await get(second, "name"), "the other way round");
    await first.evaluate(() => window.yard.destroy());
    await first.close();
    await second.close();
  });
  await check("five tabs opened, closed and reloaded at random under load", async () => {
    acknowledged.length = 0;
    let seed = 12345;
    const random = (below) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
    const start = async (page) => page.evaluate(load, `tab${random(1 << 20)}`);
    const tabs = [];
    for (let index = 0; index < 5; index++) {
      tabs.push(await openPage());
      await start(tabs[index]);
    }
    for (let turn = 0; turn < (quick ? 8 : 25); turn++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const at = random(5);
      const trouble = await tabs[at].evaluate(() => window.trouble);
      ok(!trouble, `tab ${at}: ${trouble}`);
      if (random(2)) {
        await tabs[at].close();
        tabs[at] = await openPage();
      } else {
        await tabs[at].reload();
        await tabs[at].waitForFunction("window.ready", { polling: 50 });
      }
      await start(tabs[at]);
    }
    // Each tab that is there still gets through, and enough was written, however busy the machine.
    const enough = Math.max(acknowledged.length + 25, 101);
    for (let tries = 0; acknowledged.length < enough; tries++) {
      ok(tries < 4000, "the tabs still write");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    for (const tab of tabs.slice(1)) await tab.close();
    await tabs[0].evaluate(() => window.yard.close());
    await tabs[0].reload();
    await tabs[0].waitForFunction("window.ready", { polling: 50 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const [found, problems] = await tabs[0].evaluate(async () => {
      const yard = await window.blockyard.open("five");
      const found = [];
      for await (const { name, length } of yard.list()) found.push([name, length]);
      const { problemCount } = await yard.verify();
      await yard.destroy();
      return [found, problemCount];
    });
    const there = new Map(found);
    const missing = acknowledged.filter((name) => !there.has(name) || there.get(name) % name.length !== 0);
    console.log(`${acknowledged.length} puts answered, ${there.size} there`);
    ok(acknowledged.length > 100, `only ${acknowledged.length} puts were answered`);
    equal(missing.slice(0, 3), [], `${missing.length} acknowledged puts are missing`);
    equal(problems, 0);
    await tabs[0].close();
  }, 600_000);
}
