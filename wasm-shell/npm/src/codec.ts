/** Names and values on their way, and lists as the engine packs them. */
import type { Entry, ListOptions, Name, Stats, Value } from "./types.js";

const encoder = new TextEncoder();
/** A mark of byte order is text like any other. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export const bytesOf = (value: Value): Uint8Array =>
  typeof value === "string" ? encoder.encode(value) : value instanceof Uint8Array ? value : new Uint8Array(value);

/** A copy, of a `Buffer` too, whose `slice` is none. */
export const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes);

/** A name as a key of a map: a letter a byte. */
export const keyOf = (name: Name): string => Array.from(bytesOf(name), (byte) => String.fromCharCode(byte)).join("");

/** Length of an entry's head; see `write_entry` in the crate. */
const HEAD = 72;

const DIGITS = Array.from({ length: 256 }, (_, byte) => (byte + 256).toString(16).slice(1));

function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += DIGITS[byte];
  return text;
}

/** The entries of a packed list. */
export function unpack(packed: Uint8Array): Entry[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const entries: Entry[] = [];
  for (let at = 0; at < packed.length; ) {
    const nameLength = view.getUint32(at, true);
    const valueLength = view.getUint32(at + 4, true);
    const start = at + HEAD;
    const nameBytes = packed.slice(start, start + nameLength);
    const entry: Entry = {
      name: textOf(nameBytes),
      nameBytes,
      length: view.getFloat64(at + 16, true),
      sequence: view.getFloat64(at + 24, true),
      tag: view.getFloat64(at + 32, true),
      digest: hex(packed.subarray(at + 40, at + HEAD)),
      chunks: view.getUint32(at + 8, true),
    };
    at = start + nameLength;
    if (valueLength !== 0xffffffff) {
      entry.value = packed.slice(at, at + valueLength);
      at += valueLength;
    }
    entries.push(entry);
  }
  return entries;
}

/** A list as it is asked of the engine, a page at a time. */
export interface Scan {
  snapshot: number;
  lower?: Uint8Array | undefined;
  upper?: Uint8Array | undefined;
  flags: number;
  limit: number;
  values: boolean;
}

/** The least name above all that begin with `prefix`; none if there is no such. */
function behind(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = prefix.slice(0, length);
  end[length - 1]!++;
  return end;
}

const below = (a: Uint8Array, b: Uint8Array) => {
  for (let at = 0; at < a.length && at < b.length; at++) if (a[at] !== b[at]) return a[at]! < b[at]!;
  return a.length < b.length;
};

const INCLUDE_LOWER = 1;
const INCLUDE_UPPER = 2;
const REVERSE = 4;

export function scanOf(snapshot: number, options: ListOptions): Scan {
  const { prefix, range, reverse, values = false } = options;
  let lower = prefix === undefined ? undefined : bytesOf(prefix);
  let upper = lower && behind(lower);
  if (range?.from !== undefined) {
    const from = bytesOf(range.from);
    if (!lower || below(lower, from)) lower = from;
  }
  if (range?.to !== undefined) {
    const to = bytesOf(range.to);
    if (!upper || below(to, upper)) upper = to;
  }
  return { snapshot, lower, upper, flags: INCLUDE_LOWER | (reverse ? REVERSE : 0), limit: 0, values };
}

/** What is left of a list behind the entry `last`. */
export function after(scan: Scan, last: Entry): Scan {
  return scan.flags & REVERSE
    ? { ...scan, upper: last.nameBytes, flags: scan.flags & ~INCLUDE_UPPER }
    : { ...scan, lower: last.nameBytes, flags: scan.flags & ~INCLUDE_LOWER };
}

/** The order of the engine's figures: `Yard::stats` in the crate. */
const FIGURES = [
  "sequence", "durableSequence", "blocks", "bytes", "pending", "fileBytes", "freeBytes", "registryBytes",
  "pageSize", "chunkSize", "journalOffset", "journalBytes", "journalUsed", "dataOffset", "height", "reads",
  "bytesRead", "writes", "bytesWritten", "syncs", "checkpoints", "grows", "cacheHits", "cacheMisses",
  "recoveredRecords", "tornTail", "poisoned", "maxNameLength",
] as const satisfies (keyof Stats)[];

/** Where `pageSize` stands. */
const FIRST_SIZE = 8;

export const statsOf = (figures: Float64Array): Stats =>
  Object.fromEntries(FIGURES.map((name, index) => [name, figures[index]])) as unknown as Stats;

/** The sizes that a file was created with. */
export function sizesOf(engine: { stats(): Float64Array }): { pageSize: number; chunkSize: number; journalSize: number } {
  const [pageSize, chunkSize, , journalSize] = engine.stats().subarray(FIRST_SIZE);
  return { pageSize: pageSize!, chunkSize: chunkSize!, journalSize: journalSize! };
}

/** One change of a commit, as it travels. */
export type Change =
  | { put: Name; value: Uint8Array; tag?: number | undefined }
  | { put: Name; writer: number; tag?: number | undefined }
  | { delete: Name };

/**
 * A commit as it travels; `expect` holds what a transaction has read: names and their commits, 0 for none, as of the
 * snapshot `at`. In another file, or in one that was opened anew, the same numbers may be other commits.
 */
export interface Commit {
  /** Many small ones are packed. */
  changes: Change[] | Uint8Array;
  durable: boolean;
  expect?: [Name, number][];
  at?: number;
}

/** So many changes travel packed. */
const MANY = 8;
/** Values from this length on travel by themselves: copying them costs more than another array does. */
const LARGE = 64 << 10;
/** Length of a packed change's head: of the name, of the value, tag; see `stage` in the crate. */
const CHANGE = 16;
const DELETION = 0xffffffff;

/** Changes as one array of bytes, if that is worth it; in `spare` if that is long enough and not much too long. */
export function pack(changes: Change[], spare?: ArrayBuffer): Uint8Array | undefined {
  if (changes.length < MANY) return undefined;
  let room = 0;
  for (const change of changes) {
    if ("writer" in change) return undefined;
    const size = "value" in change ? change.value.length : 0;
    if (size >= LARGE) return undefined;
    // What is one in text has at most three bytes.
    room += CHANGE + 3 * ("delete" in change ? change.delete : change.put).length + size;
  }
  const packed = new Uint8Array(spare && room <= spare.byteLength && spare.byteLength < 2 * room ? spare : new ArrayBuffer(room));
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const change of changes) {
    const [name, value, tag = 0] = "value" in change ? [change.put, change.value, change.tag] : [(change as { delete: Name }).delete];
    const start = at + CHANGE;
    let { length } = name;
    if (typeof name === "string") {
      // What has a byte a letter, as most names have, needs no call.
      let byte;
      for (length = 0; (byte = name.charCodeAt(length)) < 128; length++) packed[start + length] = byte;
      if (length < name.length) length = encoder.encodeInto(name, packed.subarray(start)).written;
    } else packed.set(name, start);
    view.setUint32(at, length, true);
    view.setUint32(at + 4, value ? value.length : DELETION, true);
    view.setFloat64(at + 8, tag, true);
    at = start + length;
    if (value) packed.set(value, at);
    at += value?.length ?? 0;
  }
  return packed.subarray(0, at);
}

/** What changes concern, packed or not. */
export function* concerned(changes: Change[] | Uint8Array): Generator<{ name: Uint8Array; kind: "put" | "delete" }> {
  if (!(changes instanceof Uint8Array)) {
    for (const change of changes) {
      if ("delete" in change) yield { name: bytesOf(change.delete), kind: "delete" };
      else yield { name: bytesOf(change.put), kind: "put" };
    }
    return;
  }
  const view = new DataView(changes.buffer, changes.byteOffset, changes.byteLength);
  for (let at = 0; at < changes.length; ) {
    const length = view.getUint32(at + 4, true);
    const start = at + CHANGE;
    at = start + view.getUint32(at, true);
    yield { name: changes.subarray(start, at), kind: length === DELETION ? "delete" : "put" };
    if (length !== DELETION) at += length;
  }
}
