/** Copying all blocks of one store into another. */
import { after, scanOf, unpack } from "./codec.js";
import { NONE, type Engine } from "./engine.js";

const AT_ONCE = 4 << 20;

/** Copies everything of a moment of `from`, names in order, tags kept. */
export async function copy(
  from: Engine,
  to: Engine,
  chunk: number,
  progress?: (figures: number[]) => void,
): Promise<void> {
  const snapshot = from.snapshot();
  try {
    let scan = scanOf(snapshot, {});
    let copied = 0;
    for (;;) {
      const entries = unpack(from.scan(snapshot, scan.lower, scan.upper, scan.flags, 1000, AT_ONCE, false));
      if (entries.length === 0) return;
      let batch = to.begin();
      let held = 0;
      for (const { nameBytes, length, tag } of entries) {
        const writer = to.beginWriter();
        for (let at = 0; at < length; at += chunk)
          to.write(writer, from.get(snapshot, nameBytes, at, at + chunk) ?? NONE, NONE);
        to.finishWriter(writer, batch, nameBytes, tag);
        held += Math.min(length, chunk);
        copied += length;
        if (held > AT_ONCE) {
          to.commit(Uint32Array.of(batch), false);
          [batch, held] = [to.begin(), 0];
        }
      }
      to.commit(Uint32Array.of(batch), false);
      progress?.([copied]);
      scan = after(scan, entries[entries.length - 1]!);
    }
  } finally {
    from.release(snapshot);
  }
}
