// Under Node: who has a file, and what a file system may do to it.
import { join } from "node:path";
import { script } from "./script.mjs";
import { equal } from "./tally.mjs";

/** What the programs begin with: `fs` whose calls can be changed under the package, and `code` of what a promise comes to. */
const BEGIN = `
  import fs from "node:fs";
  import { execFileSync, spawn } from "node:child_process";
  import { syncBuiltinESMExports } from "node:module";
  import { Worker } from "node:worker_threads";
  import { open } from "blockyard";
  const code = (promise) => promise.then(() => "fine", (error) => error.code);
  const change = (name, make) => { fs[name] = make(fs[name]); syncBuiltinESMExports(); };
  const say = (...found) => console.log(JSON.stringify(found));
`;

export async function underNode(check, { app, work }) {
  const begun = (name) => `${BEGIN}\nconst file = ${JSON.stringify(join(work, name))};\n`;
  /** Another program that opens \`file\`, and says what came of it. */
  const other = `const other = (file, limit = 50) => execFileSync(process.execPath, ["--input-type=module", "-e",
    \`const { open } = await import(\${JSON.stringify(import.meta.resolve("blockyard"))});
     console.log(await open(\${JSON.stringify(file)}, { lockTimeout: \${limit} }).then((yard) => yard.close().then(() => "fine"), (error) => error.code));\`,
  ], { encoding: "utf8" }).trim();\n`;

  // A process that was killed kept a file for itself for ever if its number was given to another, as in a container each
  // time; so did an empty lock, which a full disk or a power cut had left.
  await check("Node: a lock that nobody holds any more is none", () => {
    const found = script(app, `${begun("stale.by")}
      const dead = execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).trim();
      await (await open(file)).close();
      const opened = [];
      const tried = async () => {
        const yard = await open(file, { lockTimeout: 200 }).catch((error) => opened.push(error.message));
        await yard.close?.();
        opened.push(fs.existsSync(file + ".lock"));
      };
      for (const text of [dead, String(process.pid), ""]) {
        fs.writeFileSync(file + ".lock", text);
        await tried();
      }
      // This process has something else open under that number, and its parent nothing.
      const number = fs.openSync(file, "r");
      for (const name of [dead + "-3-x", dead + "-new-x", process.pid + "-" + number + "-x", process.pid + "-4000-x", process.ppid + "-4000-x"]) {
        fs.mkdirSync(file + ".lock");
        fs.writeFileSync(file + ".lock/" + name, "");
        await tried();
      }
      say(opened);`);
    equal(found, [Array(8).fill(false)]);
  });
  await check("Node: a full disk leaves no lock behind", () => {
    const found = script(app, `${begun("full.by")}
      await (await open(file)).close();
      let full = true;
      const refuse = (call) => (path, ...rest) => {
        if (full && String(path).includes(".lock/")) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
        return call(path, ...rest);
      };
      const codes = [];
      for (const name of ["openSync", "renameSync"]) {
        full = true;
        change(name, refuse);
        codes.push(await code(open(file)), fs.readdirSync(file + ".lock").length);
        full = false;
      }
      const yard = await open(file);
      await yard.close();
      say(codes, fs.existsSync(file + ".lock"));`);
    equal(found, [["Io", 0, "Io", 0], false]);
  });
  // The slower of two that found a lock of a dead process removed the lock of the faster one.
  await check("Node: of many that start beside the lock of a dead process one at a time has the file", () => {
    const found = script(app, `${begun("race.by")}
      const dead = execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).trim();
      await (await open(file)).close();
      fs.writeFileSync(file + ".lock", dead);
      const starter = \`
        import fs from "node:fs";
        const { open } = await import(\${JSON.stringify(import.meta.resolve("blockyard"))});
        const [file, busy] = [\${JSON.stringify(file)}, \${JSON.stringify(file + ".busy")}];
        await new Promise((resolve) => process.stdin.once("data", resolve));
        for (let turn = 0; turn < 10; turn++) {
          const yard = await open(file, { lockTimeout: 60_000 });
          fs.closeSync(fs.openSync(busy, "wx"));
          await yard.put("starter/" + process.pid + "/" + turn, "x");
          fs.rmSync(busy);
          if (process.pid % 2 === 0 && turn === 9) process.exit(0);
          await yard.close();
        }
        process.exit(0);\`;
      const starters = Array.from({ length: 5 }, () => spawn(process.execPath, ["--input-type=module", "-e", starter], { stdio: ["pipe", "ignore", "inherit"] }));
      setTimeout(() => starters.forEach(({ stdin }) => stdin.write("go")), 500);
      const ended = await Promise.all(starters.map((it) => new Promise((resolve) => it.once("exit", resolve))));
      const yard = await open(file);
      let count = 0;
      for await (const _ of yard.list()) count++;
      say(ended, count, (await yard.verify()).problemCount);
      await yard.close();`);
    equal(found, [[0, 0, 0, 0, 0], 50, 0]);
  });
  await check("Node: a thread of the same process is somebody else", () => {
    const found = script(app, `${begun("thread.by")}
      const yard = await open(file);
      const thread = () => new Promise((resolve, reject) => new Worker(\`
        import(\${JSON.stringify(import.meta.resolve("blockyard"))}).then(async ({ open }) => {
          const yard = await open(\${JSON.stringify(file)}, { lockTimeout: 50 }).catch((error) => error.code);
          await yard.close?.();
          require("node:worker_threads").parentPort.postMessage(yard.close ? "fine" : yard);
        });\`, { eval: true }).once("message", resolve).once("error", reject));
      const held = await thread();
      await yard.close();
      say(held, await thread());`);
    equal(found, ["Locked", "fine"]);
  });
  // The lock was of a path: by a link a file was opened twice, and a vacuum put a file in the place of the link.
  await check("Node: a file is one, by whichever path it is opened", () => {
    const found = script(app, `${begun("named.by")}
      const [link, later] = [file + ".link", file + ".later"];
      fs.mkdirSync(file + ".d/inner", { recursive: true });
      process.chdir(file + ".d");
      fs.symlinkSync("../named.by", link.replace("named.by.link", "named.by.d/link"));
      fs.symlinkSync("inner/made.by", "dangling");
      const yard = await open("link");
      const codes = [await code(open(file, { lockTimeout: 50 })), await code(open("../named.by", { lockTimeout: 50 }))];
      await yard.put("x", "1");
      await yard.vacuum();
      await yard.close();
      const made = open("dangling");
      // The path is that of the call.
      process.chdir("/");
      await (await made).put("y", "2");
      await (await made).vacuum();
      await (await made).close();
      process.chdir(file + ".d");
      const kinds = ["link", "dangling"].map((it) => fs.lstatSync(it).isSymbolicLink());
      const direct = await open(file);
      say(codes, kinds, await direct.getText("x"), fs.readdirSync("inner"), fs.readdirSync("."));
      await direct.close();`);
    equal(found, [["Locked", "Locked"], [true, true], "1", ["made.by"], ["dangling", "inner", "link"]]);
  });
  // Between letting the old file go and putting the new one in its place somebody else got it, and wrote into what was gone then.
  await check("Node: the lock stays over a vacuum and an import", () => {
    const found = script(app, `${begun("kept.by")}${other}
      const yard = await open(file);
      await yard.put("x", "1");
      const met = [];
      change("renameSync", (call) => (from, to) => {
        if (to === file) met.push(other(file));
        return call(from, to);
      });
      await yard.vacuum();
      await yard.importBlob(await yard.exportBlob());
      await yard.close();
      say(met, other(file), fs.existsSync(file + ".lock"));`);
    equal(found, [["Locked", "Locked"], "fine", false]);
  });
  // A power cut took the file's name, and durable commits with it.
  await check("Node: a new file is durable with its folder", () => {
    const found = script(app, `${begun("synced.by")}
      const synced = [];
      for (const name of ["fsyncSync", "fdatasyncSync"]) change(name, (call) => (number) => {
        if (fs.fstatSync(number).isDirectory()) synced.push(fs.existsSync(file));
        return call(number);
      });
      const yard = await open(file);
      const made = synced.length;
      await yard.close();
      await (await open(file)).close();
      say(made, synced);`);
    equal(found, [1, [true]]);
  });
  // In the file that a vacuum leaves the numbers of commits begin anew: what a transaction had read matched another commit.
  await check("Node: a transaction that a vacuum comes into begins again", () => {
    const found = script(app, `${begun("counter.by")}
      const yard = await open(file);
      await yard.put("counter", "1");
      let runs = 0;
      await yard.transaction(async (t) => {
        const seen = Number(await t.getText("counter"));
        if (runs++ === 0) {
          await yard.put("counter", "100");
          await yard.vacuum();
        }
        t.put("counter", String(seen + 1));
      });
      say(runs, await yard.getText("counter"));
      await yard.close();`);
    equal(found, [2, "101"]);
  });
  // A put was made of what its buffer held a turn later.
  await check("Node: what is put is copied at the call", () => {
    const found = script(app, `${begun("copied.by")}
      const yard = await open(file);
      await yard.put("ranged", "....");
      const found = {};
      // A Buffer's slice is no copy.
      for (const make of [(length) => new Uint8Array(length), (length) => Buffer.alloc(length), (length) => new ArrayBuffer(length)]) {
        const value = make(2);
        const fill = (byte) => new Uint8Array(value.buffer ?? value, value.byteOffset ?? 0, 2).fill(byte);
        const name = new Uint8Array([65]);
        const done = [];
        // While it waits for a vacuum, too.
        for (const turn of [0, 1]) {
          if (turn) done.push(yard.vacuum());
          fill(97 + turn);
          done.push(yard.put(name, value), yard.put("put/" + turn, value), yard.batch().put("batch/" + turn, value).commit());
          done.push(yard.writeRange("ranged", 2 * turn, value));
          name[0]++;
          await new Promise((resolve) => setTimeout(resolve, turn ? 0 : 20));
          fill(120);
        }
        await Promise.all(done);
        await yard.transaction((t) => { fill(121); t.put("transaction", value); fill(122); });
        for await (const { name, value } of yard.list({ values: true })) (found[name] ??= []).push(Buffer.from(value).toString());
      }
      say(found);
      await yard.close();`);
    const three = (value) => Array(3).fill(value);
    const each = { "A": "aa", "B": "bb", "batch/0": "aa", "batch/1": "bb", "put/0": "aa", "put/1": "bb", "ranged": "aabb", "transaction": "yy" };
    equal(found, [Object.fromEntries(Object.entries(each).map(([name, value]) => [name, three(value)]))]);
  });
  // The engine refused even to say that it is dead: the request was not answered, nor any after it.
  await check("Node: a trap in the module is survived", () => {
    const found = script(app, `${begun("trap.by")}
      process.on("uncaughtException", (error) => { console.log(JSON.stringify(["uncaught", error.message])); process.exit(0); });
      const yard = await open(file);
      await yard.put("x", "durable");
      await yard.put("y", "buffered", { durability: "buffered" });
      const snapshot = await yard.snapshot();
      const trap = () => code(yard.transport.request("commit", { changes: new Uint8Array(20).fill(255), durable: true }));
      const codes = [];
      for (let turn = 0; turn < 3; turn++) {
        const all = await Promise.allSettled([yard.put("before" + turn, "1"), trap(), yard.put("after" + turn, "2")]);
        codes.push(all.map((it) => it.value ?? it.reason?.code ?? "?").map((it) => (typeof it === "number" ? "fine" : it)));
      }
      const found = [await yard.getText("x"), await yard.getText("y"), await code(snapshot.get("x"))];
      // A listener that asks meets no engine at work, which would be taken for one that has trapped.
      const [held, asked] = [await yard.snapshot(), []];
      found.push((await yard.verify({ onProgress: () => asked.push(yard.getText("x")) })).problemCount);
      found.push(asked.length > 0, (await Promise.all(asked)).every((text) => text === "durable"), await held.getText("y"));
      await yard.close();
      const memory = await open("", { storage: "memory" });
      await memory.put("x", "1");
      await code(memory.transport.request("commit", { changes: new Uint8Array(20).fill(255), durable: true }));
      say(codes, found, fs.existsSync(file + ".lock"), await code(memory.get("x")));`);
    const [codes, ...others] = found;
    equal(codes.map(([, trapped, behind]) => [trapped, behind]), Array(3).fill(["Io", "fine"]));
    equal(others, [["durable", "buffered", "Aborted", 0, true, true, "buffered"], false, "Closed"]);
  });
  // The process ended: what was due behind a commit failed, opening the file anew did too, and what came next was thrown at nobody.
  await check("Node: a sync in the background that fails, and a file that cannot be opened anew, end nothing", () => {
    const found = script(app, `${begun("background.by")}
      const uncaught = [];
      process.on("uncaughtException", (error) => uncaught.push(error.message));
      let dead = false;
      for (const name of ["fdatasyncSync", "readSync"]) change(name, (call) => (...words) => {
        if (dead) throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
        return call(...words);
      });
      const yard = await open(file);
      for (let index = 0; index < 99; index++) await yard.put("x" + index, "1", { durability: "buffered" });
      dead = true;
      // The hundredth has a sync begun behind its answer.
      const codes = [await code(yard.put("y", "1", { durability: "buffered" }))];
      await new Promise((resolve) => setTimeout(resolve, 300));
      codes.push(await code(yard.put("z", "1")));
      dead = false;
      codes.push(await code(yard.put("z", "2")));
      say(uncaught, codes, await yard.getText("x98"), await yard.getText("y"), await yard.getText("z"));
      await yard.close();`);
    equal(found, [[], ["fine", "Io", "fine"], "1", "1", "2"]);
  });
  // "Quota" says that nothing was changed; the sync of a record that was written found the disk full, and the commit was there.
  await check("Node: a disk that is full at the sync of a commit is not told as nothing changed", () => {
    const found = script(app, `${begun("late.by")}
      const full = { fdatasyncSync: 0, writeSync: 0, ftruncateSync: 0 };
      for (const name in full) change(name, (call) => (...words) => {
        if (full[name]-- > 0) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
        return call(...words);
      });
      const yard = await open(file, { growth: 1 << 20 });
      await yard.put("x", "old");
      const codes = [];
      for (const name of ["fdatasyncSync", "writeSync"]) {
        full[name] = 1;
        codes.push(await yard.put("x", name).then(() => "fine", (error) => [error.code, error.causeName]));
      }
      // What finds no room to grow has changed nothing.
      full.ftruncateSync = 100;
      codes.push(await code(yard.put("large", new Uint8Array(8 << 20))));
      full.ftruncateSync = 0;
      say(codes, await yard.getText("x"), await yard.has("large"));
      await yard.close();`);
    equal(found, [[["Io", "QuotaExceededError"], ["Io", "QuotaExceededError"], "Quota"], "fdatasyncSync", false]);
  });
  await check("Node: a file that cannot be removed is still there", () => {
    const found = script(app, `${begun("remains.by")}
      const yard = await open(file);
      await yard.put("x", "1");
      let refused = true;
      change("rmSync", (call) => (path, ...rest) => {
        if (refused && path === file) throw Object.assign(new Error("EPERM: operation not permitted"), { code: "EPERM" });
        return call(path, ...rest);
      });
      const codes = [await code(yard.destroy()), await code(yard.put("y", "2"))];
      const text = await yard.getText("x");
      refused = false;
      await yard.destroy();
      say(codes, text, await code(yard.get("x")), fs.readdirSync(${JSON.stringify(work)}).filter((name) => name.startsWith("remains")));`);
    equal(found, [["Io", "fine"], "1", "Closed", []]);
  });
}
