// The package as such, and under Node.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { run, script } from "./script.mjs";
import { equal, ok } from "./tally.mjs";
import { underNode } from "./under-node.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(root, "node_modules/.bin", name);
const FILL = `
  const bytes = (seed, length) => Uint8Array.from({ length }, (_, at) => (at * seed + (at >> 8) + seed) & 255);
  const values = Array.from({ length: 60 }, (_, index) => ["dir/" + index, bytes(index + 1, index * index * 500)]);
`;

export async function ofPackage(tally, { app, tarball, installed, work, only }) {
  const check = (what, body) => (what.includes(only) ? tally.check(what, async () => body()) : undefined);
  const gzipped = (...names) =>
    names.reduce((sum, name) => sum + gzipSync(readFileSync(join(installed, "dist", name)), { level: 9 }).length, 0);

  await check("publint", () => run(bin("publint"), "run", tarball, "--strict"));
  await check("are the types wrong", () => run(bin("attw"), tarball, "--profile", "esm-only", "--no-emoji", "--exclude-entrypoints", "./worker", "./wasm"));
  await check("sizes: wasm 100 KB, JavaScript 15 KB", () => {
    const [wasm, javascript] = [gzipped("blockyard.wasm"), gzipped("index.js", "worker.js")];
    console.log(`gzipped: wasm ${wasm} bytes, JavaScript ${javascript} bytes`);
    ok(wasm <= 100 * 1024 && javascript <= 15 * 1024, "too large");
  });
  await check("no lock file holds an address", () => {
    const text = readFileSync(join(root, "package-lock.json"), "utf8");
    ok(!text.includes('"resolved"') && !/https?:\/\/[^"]*\.tgz/.test(text), "package-lock.json holds addresses");
  });
  await check("an import for server-side rendering touches nothing", () => {
    // What a server lacks, and a browser's entry on a server.
    const found = script(app, `
      delete globalThis.navigator;
      const entries = ["blockyard", "./node_modules/blockyard/dist/index.js", "./node_modules/blockyard/dist/sync.js"];
      const opened = [];
      for (const entry of entries) opened.push(typeof ((await import(entry)).open ?? (await import(entry)).openSync));
      const { open, UnsupportedError } = await import("./node_modules/blockyard/dist/index.js");
      const refused = await open("x").catch((error) => [error instanceof UnsupportedError, error.code]);
      console.log(JSON.stringify([opened, refused]));`);
    equal(found, [["function", "function", "function"], [true, "Unsupported"]]);
  });
  await check("Node: a file that is written, left without a close, and opened again", () => {
    const file = join(work, "node.by");
    const written = script(app, `${FILL}
      import { open } from "blockyard";
      const yard = await open(${JSON.stringify(file)});
      for (const [name, value] of values) await yard.put(name, value);
      await yard.delete("dir/7");
      const locked = await open(${JSON.stringify(file)}, { lockTimeout: 50 }).catch((error) => error.code);
      await yard.put("last", "in the journal");
      console.log(JSON.stringify([(await yard.stats()).sequence, locked]));
      process.exit(0);`);
    equal(written, [62, "Locked"]);
    const found = script(app, `${FILL}
      import { open } from "blockyard";
      await using yard = await open(${JSON.stringify(file)});
      const same = [];
      for (const [name, value] of values) same.push(Buffer.compare(value, (await yard.get(name)) ?? new Uint8Array(1)) === 0);
      const stats = await yard.stats();
      console.log(JSON.stringify([same.filter(Boolean).length, stats.recoveredRecords > 0, (await yard.verify()).problemCount]));`.replace("await using yard", "const yard") + "\nawait yard.close();");
    equal(found, [59, true, 0]);
  });
  const cli = process.env.CLI;
  ok(cli && existsSync(cli), "CLI names the command line's program");
  await check("Node: requests keep their order over a vacuum, and a listener that fails is its own affair", () => {
    const file = join(work, "order.by");
    const found = script(app, `
      import { open } from "blockyard";
      console.error = () => {};
      let yard = await open(${JSON.stringify(file)});
      const vacuum = yard.vacuum();
      const first = yard.put("x", "first");
      await vacuum;
      const read = yard.getText("x");
      const second = yard.put("x", "second");
      const order = [await read, (await first) < (await second), await yard.getText("x")];
      await yard.subscribe("", () => { throw new Error("a listener"); });
      await Promise.all([yard.put("y", "1"), yard.put("z", "2")]);
      const both = [await yard.getText("y"), await yard.getText("z")];
      await Promise.all([yard.vacuum(), yard.put("x", "late"), yard.close()]);
      yard = await open(${JSON.stringify(file)});
      console.log(JSON.stringify([order, both, await yard.getText("x")]));
      await yard.close();`);
    equal(found, [["first", true, "second"], ["1", "2"], "late"]);
  });
  await underNode(check, { app, work });
  await check("Node and the command line read each other's files", () => {
    const [file, folder, back] = [join(work, "both.by"), join(work, "tree"), join(work, "back")];
    mkdirSync(join(folder, "sub"), { recursive: true });
    for (const [name, length] of [["a", 10], ["sub/b", 5000], ["sub/c", 3_000_000]]) {
      writeFileSync(join(folder, name), Buffer.alloc(length, name));
    }
    run(cli, "create", file);
    run(cli, "import", file, folder);
    const found = script(app, `
      import { open } from "blockyard";
      const yard = await open(${JSON.stringify(file)});
      const found = [];
      for await (const { name, length } of yard.list()) found.push([name, length]);
      await yard.put("from/node", new Uint8Array(2_500_000).fill(9));
      await yard.close();
      console.log(JSON.stringify(found));`);
    equal(found, [["a", 10], ["sub/b", 5000], ["sub/c", 3_000_000]]);
    run(cli, "verify", file);
    run(cli, "export", file, back);
    equal(readdirSync(back).sort(), ["a", "from", "sub"]);
    ok(readFileSync(join(back, "from/node")).equals(Buffer.alloc(2_500_000, 9)), "what Node wrote");
    ok(readFileSync(join(back, "sub/c")).equals(readFileSync(join(folder, "sub/c"))), "what Node left alone");
    rmSync(back, { recursive: true });
  });
  // A vacuum and a change of part of a block made a float of it.
  await check("Node: a tag of 64 bits stays what it is", () => {
    const file = join(work, "tags.by");
    const tag = "1764374400123456789";
    writeFileSync(join(work, "value"), "value");
    run(cli, "create", file);
    run(cli, "put", file, "x", join(work, "value"), "--tag", tag);
    const found = () => run(cli, "stat", file, "x", "--json").match(/"tag":\s*(\d+)/)[1];
    equal(found(), tag);
    for (const change of ["vacuum()", 'writeRange("x", 1, "AL")']) {
      script(app, `
        import { open } from "blockyard";
        const yard = await open(${JSON.stringify(file)});
        await yard.${change};
        await yard.close();
        console.log(true);`);
      equal(found(), tag, change);
    }
  });
  await check("the README's first example runs", () => {
    const text = readFileSync(join(installed, "README.md"), "utf8");
    const example = text.match(/```js\n([\s\S]*?)```/)?.[1];
    ok(example && example.trim().split("\n").length < 10, "an example of under ten lines");
    const printed = run(process.execPath, "--input-type=module", "-e", example.replace('open("notes"', `open(${JSON.stringify(join(work, "readme.by"))}`).replace("from \"blockyard\"", `from ${JSON.stringify(join(installed, "dist/node.js"))}`));
    ok(printed.includes("hello"), `it printed ${printed}`);
  });
}
