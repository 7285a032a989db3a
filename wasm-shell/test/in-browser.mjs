// The package in one browser: cases in one page, several tabs, files that travel, and the crate's own tests.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DARK, demo } from "./demo.mjs";
import { Session } from "./session.mjs";
import { caching } from "./caching.mjs";
import { sharing } from "./sharing.mjs";
import { equal, ok } from "./tally.mjs";

const CASES = [
  "basics", "lengths", "flushes", "lists", "transactions", "snapshots", "streams", "files", "batches", "subscriptions",
  "caching", "errors", "disposal", "synchronous", "unsupported", "locked",
];
/** Milliseconds for what does much. */
const LONG = 600_000;

export async function inBrowser(tally, context) {
  const { name, folders, work, only, serve, launch, quick } = context;
  const uploads = new Map();
  const acknowledged = [];
  const server = await serve({
    ...folders,
    upload: (path, body) => void uploads.set(path.slice(1), body),
    download: (path) => uploads.get(path.slice(1)),
    pause: () => new Promise((resolve) => setTimeout(resolve, 20)),
    acknowledge: (_, body) => void acknowledged.push(...JSON.parse(body.toString())),
  });
  const session = new Session(name, launch);
  const check = async (what, body, limit) => {
    if (what.includes(only)) await tally.check(what, () => session.survive(body, limit));
  };
  const openPage = async (path = "/vite/", waitFor = "window.ready") => {
    const page = await session.page();
    await page.goto(server.url + path);
    await page.waitForFunction(waitFor, { polling: 50 });
    return page;
  };
  try {
    await session.start();
    console.log(`${name}: ${await session.browser.version()}`);
    for (const one of CASES) {
      await check(one, async () => {
        const page = await openPage();
        await page.evaluate((one) => window.cases[one](`case ${one}`), one);
      });
    }
    await check("worker.terminate() at each write of a workload", async () => {
      const page = await openPage();
      const cuts = await page.evaluate((step) => window.cutter("cut", step), quick ? 9 : 1);
      console.log(`${name}: ${cuts} cuts`);
      ok(cuts >= (quick ? 5 : 50), `only ${cuts} cuts`);
    }, LONG);
    await check("a worker that answers before it commits is noticed", async () => {
      const page = await openPage();
      const said = await page.evaluate(() => window.cutter("early", 5, true).then(() => "nothing", (error) => error.message));
      ok(/was answered durable/.test(said), `noticed: ${said}`);
    });
    await check("esbuild", async () => {
      const page = await openPage("/esbuild/", "window.run");
      equal(await page.evaluate(() => window.run()), "through esbuild");
    });
    await caching(check, { openPage });
    await sharing(check, { ...context, openPage, acknowledged });
    await check("files travel to the command line and back, byte for byte", async () => travel(await openPage(), server.url, uploads, join(work, name)));
    await check("the demo: two tabs, keyboard, a phone", () => demo({ name, openPage, work }));
    if (process.env.SCREENS && name === "firefox") {
      await check("the demo: dark", async () => {
        await session.start(DARK);
        await demo({ name, openPage, work, schemes: ["dark"] });
      });
    }
    await check("storage removed while open", async () => removed(await openPage(), name, server.url));
    await check("the crate's tests in a dedicated worker", async () => crate(await openPage("/crate/", "true")));
    await check("a browser that dies is noticed", () => dies(session, openPage));
    await check("quota exceeded", async () => {
      if (name === "firefox") await session.start({ "dom.quotaManager.temporaryStorage.fixedLimit": 24 * 1024, "dom.quotaManager.temporaryStorage.chunkSize": 1024 });
      const page = await openPage();
      if (name === "chromium") {
        const protocol = await page.createCDPSession();
        await protocol.send("Storage.overrideQuotaForOrigin", { origin: server.url, quotaSize: 24 << 20 });
      }
      await page.evaluate(() => window.cases.quota("quota"));
    });
    const losses = session.losses - (session.killed ? 1 : 0);
    if (losses > 0) console.log(`${name}: the browser died by itself ${losses} times; those checks were made again`);
  } finally {
    await session.close();
    server.close();
  }
}

/** The net under the checks: a browser that was killed is told from a check that fails, and the check is made again. */
async function dies(session, openPage) {
  const page = await openPage();
  const refused = await page.evaluate(() => Promise.reject(new Error("mine"))).catch((error) => error.message);
  ok(/mine/.test(refused) && !(await session.isLost()), "a page's error is none of the browser's");
  if (session.killed) return;
  session.killed = true;
  console.log("killing the browser on purpose");
  session.browser.process().kill("SIGKILL");
  await page.evaluate(() => new Promise(() => {}));
}

/** A file exported here is verified by the command line; one made there is read here and comes back the same. */
async function travel(page, url, uploads, folder) {
  const cli = process.env.CLI;
  const run = (...words) => execFileSync(cli, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  // The check may be made a second time.
  rmSync(folder, { recursive: true, force: true });
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  await page.evaluate(async (url) => {
    const { bytes } = window.cases;
    const yard = await window.blockyard.open("travel");
    for (let index = 0; index < 50; index++) await yard.put(`b/${index}`, bytes(index, index * index * 1000), { durability: "buffered" });
    await yard.delete("b/3");
    await fetch(`${url}/upload/out`, { method: "POST", body: await yard.exportBlob() });
  }, url);
  const out = join(folder, "out.by");
  writeFileSync(out, uploads.get("out"));
  run("verify", out);
  const back = join(folder, "back");
  run("export", out, back);
  const lengths = await page.evaluate(async () => {
    const yard = await window.blockyard.open("travel");
    const found = [];
    for await (const { name, length, digest, chunks } of yard.list()) found.push([name, length, chunks === 1 ? digest : ""]);
    return found;
  });
  equal(lengths.length, 49);
  const { createHash } = await import("node:crypto");
  for (const [name, length, digest] of lengths) {
    const bytes = readFileSync(join(back, name));
    equal(bytes.length, length, name);
    if (digest) equal(createHash("sha256").update(bytes).digest("hex"), digest, name);
  }
  for (const [name, length] of [["a", 10], ["sub/b", 70_000], ["sub/c", 2_000_001]]) writeFileSync(join(tree, name), Buffer.alloc(length, name));
  const made = join(folder, "made.by");
  run("create", made);
  run("import", made, tree);
  uploads.set("made", readFileSync(made));
  const seen = await page.evaluate(async (url) => {
    const yard = await window.blockyard.open("travel");
    await yard.importBlob(await (await fetch(`${url}/download/made`)).blob());
    const found = [];
    for await (const { name, value } of yard.list({ values: true })) found.push([name, value.length, value.every((byte, at) => byte === (name.charCodeAt(at % name.length) & 255))]);
    await fetch(`${url}/upload/again`, { method: "POST", body: await yard.exportBlob() });
    await yard.destroy();
    return found;
  }, url);
  equal(seen, [["a", 10, true], ["sub/b", 70_000, true], ["sub/c", 2_000_001, true]]);
  const again = join(folder, "again.by");
  writeFileSync(again, uploads.get("again"));
  run("verify", again);
  const home = join(folder, "home");
  run("export", again, home);
  for (const name of ["a", "sub/b", "sub/c"]) ok(readFileSync(join(home, name)).equals(readFileSync(join(tree, name))), `${name} comes back byte for byte`);
}

/** Somebody takes the file away under the yard: nothing hangs, errors have their class, a new one opens. */
async function removed(page, name, url) {
  await page.evaluate(async () => {
    const yard = (window.removed = await window.blockyard.open("removed"));
    await yard.put("name", "x");
    const root = await navigator.storage.getDirectory();
    window.refusal = await root.removeEntry("blockyard", { recursive: true }).then(() => "none", (error) => error.name);
  });
  if (name === "chromium") {
    const session = await page.createCDPSession();
    await session.send("Storage.clearDataForOrigin", { origin: url, storageTypes: "all" });
  }
  const found = await page.evaluate(async () => {
    const codes = [];
    const yard = window.removed;
    for (let tries = 0; tries < 3; tries++) {
      codes.push(await yard.put("after", "y").then(() => "fine", (error) => (error instanceof window.blockyard.BlockyardError ? error.code : String(error))));
    }
    await yard.close().catch((error) => codes.push(error.code));
    const again = await window.blockyard.open("removed");
    await again.put("new", "z");
    const text = await again.getText("new");
    const clean = (await again.verify()).problemCount;
    await again.destroy();
    return { codes, text, clean, refusal: window.refusal };
  });
  console.log(`${name}: removing while open: ${JSON.stringify(found)}`);
  ok(found.codes.every((code) => ["fine", "Closed", "Io", "Quota", "Locked"].includes(code)), `codes ${found.codes}`);
  equal([found.text, found.clean], ["z", 0]);
}

/** The tests of the crate: a page runs them in a worker and tells what came of it. */
async function crate(page) {
  await page.waitForFunction("window.ended !== undefined", { timeout: 90_000, polling: 200 });
  const output = await page.evaluate("window.ended");
  await page.close();
  const result = output.match(/test result: (\w+)\. (\d+) passed; (\d+) failed/);
  ok(result?.[1] === "ok" && Number(result[2]) >= 3 && result[3] === "0", output);
}
