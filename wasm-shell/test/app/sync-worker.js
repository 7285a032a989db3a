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
    const yard = await openSync(name);
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
    const refused = code(() => yard.writeRange("absent", 0, "x"));
    const told = [];
    const clean = yard.verify({ onProgress: (it) => told.push(it.totalBlocks) });
    const exported = yard.exportBlob().size === yard.stats().fileBytes;
    yard.close();
    const closed = code(() => yard.get("two"));
    const again = await openSync(name);
    const kept = again.getText("two");
    await again.destroy();
    const empty = await openSync(name);
    const left = [...empty.list()].length;
    await empty.destroy();
    postMessage({
      names, each, locked, range, before, json, refused, told: told.at(-1), clean: [clean.blocks, clean.problemCount],
      exported, closed, kept, left,
    });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
