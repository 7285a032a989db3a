import { openSync } from "blockyard/sync";

function code(work) {
  try {
    work();
  } catch (error) {
    return error.code;
  }
  return "nothing";
}

onmessage = async ({ data: name }) => {
  try {
    // A lock that was let go takes a moment to be free, on a busy machine a long one.
    const open = () => openSync(name, { lockTimeout: 60_000 });
    const yard = await open();
    yard.put("one", "1");
    yard.batch([["two", "2"], ["three", "3"], ["one", undefined]]);
    yard.rename("three", "drei");
    const names = [...yard.list()].map((entry) => entry.name);
    const syncs = yard.stats().syncs;
    yard.put("four", "4");
    const each = yard.stats().syncs - syncs;
    let locked = "nothing";
    await openSync(name, { lockTimeout: 200 }).catch((error) => (locked = error.code));
    const snapshot = yard.snapshot();
    yard.putJSON("json", { a: [1] });
    yard.writeRange("drei", 1, "rei");
    const range = new TextDecoder().decode(yard.readRange("drei", 1, 3));
    const before = [snapshot.getText("drei"), snapshot.has("json"), [...snapshot.list()].length];
    snapshot.close();
    const { tag, chunks, length } = yard.metadata("json");
    const json = [yard.getJSON("json"), tag, chunks, length];
    // Many changes go in as one array of bytes; a later one of the same name wins.
    const many = Array.from({ length: 20 }, (_, index) => [`many/${index}`, new Uint8Array(5000 + index).fill(index), { tag: index }]);
    yard.batch([...many, ["many/3", undefined], ["many/äöü", "text"]]);
    const found = [...yard.list({ prefix: "many/", values: true })];
    const fits = found.every(({ name, value, tag, length }) =>
      name === "many/äöü" ? length === 4 : length === 5000 + tag && value.every((byte) => byte === tag));
    const batched = [found.length, fits, yard.has("many/3")];
    const large = Array.from({ length: 5 }, (_, index) => new Uint8Array(700_000).fill(index));
    yard.putPieces("pieces", large, { tag: 9 });
    const pieces = yard.pieces("pieces");
    const first = pieces.next().value;
    yard.put("pieces", "replaced");
    let sum = first.reduce((sum, byte) => sum + byte, 0);
    for (const piece of pieces) sum += piece.reduce((sum, byte) => sum + byte, 0);
    const broken = code(() => yard.putPieces("never", (function* () { yield large[0]; throw { code: "mine" }; })()));
    const pieced = [sum, yard.getText("pieces"), yard.pieces("absent"), broken, yard.has("never")];
    const deleted = yard.batch([...many.map(([name]) => [name, undefined]), ["many/äöü", undefined], ["pieces", undefined]]) > 0;
    const made = yard.transaction((t) => {
      t.put("sum", `${t.getText("two")}+${t.getText("drei")}`);
      t.delete("four");
      return [t.getText("sum"), t.has("four"), yard.has("sum"), yard.has("four")];
    });
    const undone = code(() => yard.transaction((t) => (t.put("never", "x"), t.putJSON("two", 0), yard.writeRange("absent", 0, "x"))));
    const waits = code(() => yard.transaction(async (t) => t.put("never", "x")));
    const transacted = [made, yard.getText("sum"), yard.has("four"), undone, waits, yard.has("never"), yard.getText("two")];
    yard.put("four", "4");
    yard.delete("sum");
    const refused = code(() => yard.writeRange("absent", 0, "x"));
    const told = [];
    const clean = yard.verify({ onProgress: (it) => told.push(it.totalBlocks) });
    let whole = 0;
    const file = yard.exportBlob({ onProgress: (_, total) => (whole = total) });
    const exported = file.size === yard.stats().fileBytes;
    const old = yard.snapshot();
    const copied = [];
    const vacuum = yard.vacuum({ onProgress: (bytes) => copied.push(bytes) });
    const meanwhile = [code(() => yard.get("two")), code(() => yard.close()), await yard.destroy().catch((error) => error.code)];
    await vacuum;
    yard.snapshot();
    const gone = code(() => old.get("two"));
    const smaller = yard.stats().fileBytes < file.size;
    yard.put("two", "changed");
    await yard.importBlob(file);
    const foreign = await yard.importBlob(new Blob(["no file of ours"])).catch((error) => error.code);
    const replaced = [copied.at(-1) > 0, meanwhile, gone, smaller, yard.getText("two"), foreign, [...yard.list()].length];
    // After a failed write every change was refused until the yard was closed and opened.
    const { prototype } = FileSystemSyncAccessHandle;
    const { flush } = prototype;
    let failing = 2;
    prototype.flush = function () {
      if (failing-- <= 0) return flush.call(this);
      throw new DOMException("x", "UnknownError");
    };
    const held = yard.snapshot();
    // The second failure is that of opening it anew.
    const recovered = [code(() => yard.put("failed", "x")), code(() => yard.put("failed", "x")), code(() => yard.put("again", "y")), yard.getText("again"), code(() => held.get("two"))];
    // So it was after a trap in the module.
    recovered.push(code(() => yard.run((engine) => engine.stage(new Uint8Array(20).fill(255)))), yard.getText("two"), yard.verify().problemCount);
    let asked = "";
    yard.verify({ onProgress: () => (asked = code(() => yard.get("two"))) });
    recovered.push(asked);
    yard.close();
    const closed = code(() => yard.get("two"));
    const again = await open();
    const kept = again.getText("two");
    await again.destroy();
    const empty = await open();
    const left = [...empty.list()].length;
    await empty.destroy();
    postMessage({
      names, each, locked, range, before, json, refused, told: told.at(-1), clean: [clean.blocks, clean.problemCount],
      exported, replaced, transacted, whole: whole > 0, batched, pieced, deleted, recovered, closed, kept, left,
    });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
