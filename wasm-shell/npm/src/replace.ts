/** Another file in place of the one there is: imported, or with all blocks of it and no free pages. */
import { after, scanOf, sizesOf, unpack } from "./codec.js";
import { attach, drop, NONE, type Engine, type Files, type Handle } from "./engine.js";
import { CorruptError } from "./errors.js";
import type { EngineOptions } from "./types.js";

const AT_ONCE = 4 << 20;
const PIECE = 8 << 20;

/** Has a spare file filled and made durable; what failed leaves none. */
export async function prepare(files: Files, fill: (spare: Handle) => Promise<void>): Promise<void> {
  const spare = await files.spare();
  let filled = false;
  try {
    await fill(spare);
    spare.flush();
    filled = true;
  } finally {
    spare.close();
    // What failed must not use up the quota.
    if (!filled) await files.discard().catch(() => {});
  }
}

/** Fills a file with another one, every byte of which is verified. */
export async function takeIn(
  spare: Handle,
  blob: Blob,
  options: EngineOptions,
  progress?: (figures: number[]) => void,
): Promise<void> {
  for (let at = 0; at < blob.size; at += PIECE) {
    const bytes = new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer());
    if (spare.write(bytes, { at }) !== bytes.length) throw new CorruptError("the file was not written in full");
    progress?.([Math.min(at + PIECE, blob.size), blob.size]);
  }
  const engine = attach(spare, options, false);
  try {
    const [, , , , problems] = engine.verify(undefined) as number[];
    if (problems) throw new CorruptError("the file to import is damaged; nothing was changed");
    engine.settle();
  } finally {
    drop(engine);
  }
}

/** Fills a file with all blocks of a store. */
export async function condense(
  old: Engine,
  spare: Handle,
  options: EngineOptions,
  progress?: (figures: number[]) => void,
): Promise<void> {
  const sizes = sizesOf(old);
  const fresh = attach(spare, { ...options, ...sizes, growth: 1 << 20 });
  try {
    await copy(old, fresh, sizes.chunkSize, progress);
    fresh.settle();
  } finally {
    drop(fresh);
  }
}

/** Copies everything of a moment of `from`, names in order, tags kept. */
async function copy(
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
      for (const { nameBytes, length } of entries) {
        const writer = to.beginWriter();
        for (let at = 0; at < length; at += chunk)
          to.write(writer, from.get(snapshot, nameBytes, at, at + chunk) ?? NONE, NONE);
        to.finishCopy(writer, batch, nameBytes, from.tag(snapshot, nameBytes));
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
