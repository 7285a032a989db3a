import { openSync } from "blockyard/sync";

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
    const clean = yard.verify();
    yard.close();
    let closed = "nothing";
    try {
      yard.get("two");
    } catch (error) {
      closed = error.code;
    }
    const again = await openSync(name);
    postMessage({ names, each, locked, clean, closed, kept: again.getText("two") });
    again.close();
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
