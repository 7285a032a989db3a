/** The yard as programs see it: promises, iterators and streams over requests. */
import { after, bytesOf, copyOf, keyOf, pack, scanOf, statsOf, textOf, unpack, type Change, type Commit } from "./codec.js";
import { Cache } from "./cache.js";
import { ClosedError, ConflictError, wrap } from "./errors.js";
import type { Requests } from "./requests.js";
import { telling, within, type Signalled } from "./calls.js";
import type {
  Changes, Entry, ListOptions, Metadata, Name, PutOptions, Durability, Stats, Value, VerifyProgress, VerifyReport,
  WriteOptions,
} from "./types.js";

/** How requests reach whoever has the file. */
export interface Transport {
  request<R extends keyof Requests>(
    request: R,
    argument: Requests[R][0],
    progress?: (figures: number[]) => void,
    transfer?: Transferable[],
  ): Promise<Requests[R][1]>;
  /** A buffer that came back, for the next changes: new memory costs more than filling it. */
  spare?: ArrayBuffer | undefined;
  /** Set by the yard: hears of changes. */
  changed?: (subscription: number, changes: Changes) => void;
  close(): Promise<void>;
}

export interface StreamOptions extends Signalled {
  onProgress?: (bytes: number) => void;
}

const PAGE = 256;
const PIECE = 1 << 20;
/** The engine counts in 64 bits; this is more than any block has. */
const MOST = Number.MAX_SAFE_INTEGER;

/** What can be read, of now or of a snapshot. */
export class Reader {
  /** @internal */
  protected readonly transport: Transport;
  /** @internal */
  protected readonly at: number;

  /** @internal */
  constructor(transport: Transport, at: number) {
    this.transport = transport;
    this.at = at;
  }

  /** A block's bytes; undefined if it does not exist. */
  get(name: Name, options: Signalled = {}): Promise<Uint8Array | undefined> {
    return this.readRange(name, 0, Infinity, options);
  }

  /** A block's bytes as text. */
  async getText(name: Name, options: Signalled = {}): Promise<string | undefined> {
    const bytes = await this.get(name, options);
    return bytes && textOf(bytes);
  }

  /** A block's bytes, parsed as JSON. */
  async getJSON<T = unknown>(name: Name, options: Signalled = {}): Promise<T | undefined> {
    const text = await this.getText(name, options);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  /** Bytes `start` to below `end` of a block, verified; undefined if it does not exist. */
  readRange(name: Name, start: number, end = Infinity, { signal }: Signalled = {}): Promise<Uint8Array | undefined> {
    const last = Math.min(end, MOST);
    return within(signal, () => this.transport.request("get", { snapshot: this.at, name, start, end: last }));
  }

  async has(name: Name): Promise<boolean> {
    return (await this.metadata(name)) !== undefined;
  }

  /** What is known of a block without reading it. */
  async metadata(name: Name): Promise<Metadata | undefined> {
    const [entry] = unpack(await this.transport.request("metadata", { snapshot: this.at, name }));
    if (!entry) return undefined;
    const { length, digest, sequence, tag, chunks } = entry;
    return { length, digest, sequence, tag, chunks };
  }

  /** Blocks in the order of their names. Of a yard, each page of it as of its own moment; of a snapshot, all of one. */
  async *list(options: ListOptions = {}): AsyncGenerator<Entry, void, undefined> {
    let scan = scanOf(this.at, options);
    for (let left = options.limit ?? Infinity; left > 0; ) {
      const limit = Math.min(left, PAGE);
      const page = await within(options.signal, () => this.transport.request("scan", { ...scan, limit }));
      const entries = unpack(page);
      const last = entries[entries.length - 1];
      if (!last) return;
      yield* entries;
      left -= entries.length;
      scan = after(scan, last);
    }
  }

  /** A block's bytes, verified chunk by chunk, as of the moment this is called; undefined if it does not exist. */
  async getStream(name: Name, { signal, onProgress }: StreamOptions = {}): Promise<ReadableStream<Uint8Array> | undefined> {
    const { transport, at } = this;
    const snapshot = at || (await transport.request("snapshot", undefined));
    const done = () => (at ? undefined : transport.request("release", snapshot).catch(() => {}));
    const [entry] = unpack(await transport.request("metadata", { snapshot, name }));
    if (!entry) {
      await done();
      return undefined;
    }
    let start = 0;
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          if (start >= entry.length) {
            await done();
            return controller.close();
          }
          try {
            const end = start + PIECE;
            const bytes = await within(signal, () => transport.request("get", { snapshot, name, start, end }));
            if (!bytes) throw new ClosedError("the snapshot is gone");
            start = end;
            controller.enqueue(bytes);
            onProgress?.(Math.min(end, entry.length));
          } catch (error) {
            await done();
            throw error;
          }
        },
        async cancel() {
          await done();
        },
      },
      { highWaterMark: 0 },
    );
  }
}

/** The state of one moment. Close it: the file keeps for it what has changed since. */
export class Snapshot extends Reader {
  /** @internal */
  get number(): number {
    return this.at;
  }

  async close(): Promise<void> {
    await this.transport.request("release", this.at);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const change = (name: Name, value: Value, options: PutOptions | undefined) =>
  ({ put: name, value: bytesOf(value), tag: options?.tag }) satisfies Change;

/** Changes that become visible and durable together, or not at all. Values are copied by `commit`, not by `put`. */
export class Batch {
  /** @internal */
  protected readonly changes: Change[] = [];
  readonly #transfer: Transferable[] = [];
  readonly #send: (commit: Commit & { changes: Change[] }, transfer: Transferable[]) => Promise<number>;
  readonly #durable: (options: WriteOptions) => boolean;

  /** @internal */
  constructor(
    send: (commit: Commit & { changes: Change[] }, transfer: Transferable[]) => Promise<number>,
    durable: (options: WriteOptions) => boolean,
  ) {
    this.#send = send;
    this.#durable = durable;
  }

  put(name: Name, value: Value, options?: Omit<PutOptions, "durability">): this {
    const put = change(name, value, options);
    this.changes.push(put);
    if (options?.transfer) this.#transfer.push(put.value.buffer as ArrayBuffer);
    return this;
  }

  putJSON(name: Name, value: unknown, options?: Omit<PutOptions, "durability">): this {
    return this.put(name, JSON.stringify(value), options);
  }

  delete(name: Name): this {
    this.changes.push({ delete: name });
    return this;
  }

  get size(): number {
    return this.changes.length;
  }

  /** Commits; returns the commit's number. The batch is empty afterwards. */
  commit(options: WriteOptions = {}): Promise<number> {
    const changes = this.changes.splice(0);
    return this.#send({ changes, durable: this.#durable(options) }, this.#transfer.splice(0));
  }
}

/** What a transaction reads, and the changes it makes; it sees its own. */
export class Transaction {
  readonly #snapshot: Snapshot;
  /** Changes by name; undefined is a deletion. */
  readonly #changed = new Map<string, { name: Name; value: Uint8Array | undefined; tag?: number | undefined }>();
  readonly #read = new Map<string, [Name, number]>();

  /** @internal */
  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  async get(name: Name): Promise<Uint8Array | undefined> {
    const changed = this.#changed.get(keyOf(name));
    if (changed) return changed.value?.slice();
    if (!(await this.metadata(name))) return undefined;
    return this.#snapshot.get(name);
  }

  async getText(name: Name): Promise<string | undefined> {
    const bytes = await this.get(name);
    return bytes && textOf(bytes);
  }

  async getJSON<T = unknown>(name: Name): Promise<T | undefined> {
    const text = await this.getText(name);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  async has(name: Name): Promise<boolean> {
    const changed = this.#changed.get(keyOf(name));
    return changed ? changed.value !== undefined : (await this.metadata(name)) !== undefined;
  }

  /** What was known of a block when the transaction began. */
  async metadata(name: Name): Promise<Metadata | undefined> {
    const found = await this.#snapshot.metadata(name);
    this.#read.set(keyOf(name), [name, found?.sequence ?? 0]);
    return found;
  }

  put(name: Name, value: Value, options?: { tag?: number }): void {
    this.#changed.set(keyOf(name), { name, value: copyOf(bytesOf(value)), tag: options?.tag });
  }

  putJSON(name: Name, value: unknown): void {
    this.put(name, JSON.stringify(value));
  }

  delete(name: Name): void {
    this.#changed.set(keyOf(name), { name, value: undefined });
  }

  /** @internal */
  commit(durable: boolean): Commit & { changes: Change[] } {
    const changes = [...this.#changed.values()].map(({ name, value, tag }): Change =>
      value ? { put: name, value, tag } : { delete: name },
    );
    return { changes, durable, expect: [...this.#read.values()], at: this.#snapshot.number };
  }
}

const TRIES = 16;

/** A store of named blocks in one file. */
export class Yard extends Reader {
  /** The yard's name. */
  readonly name: string;
  readonly #durability: Durability;
  readonly #listeners = new Map<number, (changes: Changes) => void>();
  #nextListener = 1;
  readonly #cache: Cache | undefined;

  /** @internal */
  constructor(transport: Transport, name: string, durability: Durability = "durable", cache = 0) {
    super(transport, 0);
    this.name = name;
    this.#durability = durability;
    this.#cache = cache > 0 ? new Cache(cache) : undefined;
    transport.changed = (subscription, changes) =>
      subscription ? this.#listeners.get(subscription)?.(changes) : this.#cache?.told(changes);
  }

  /**
   * A block's bytes; undefined if it does not exist. What this page has read lately it may get from what it has kept
   * (`cache` of the options): then it is what the block was as of some commit, never older than anything that this page
   * has seen or written, but another tab's commit may have been answered to that tab a moment ago. `readRange(name, 0)`
   * always asks.
   */
  override get(name: Name, options: Signalled = {}): Promise<Uint8Array | undefined> {
    const cache = this.#cache;
    if (!cache || typeof name !== "string") return super.get(name, options);
    const ask = (name: string) => this.transport.request("get", { snapshot: 0, name, start: 0, end: MOST, keeps: true });
    return within(options.signal, () => cache.get(name, ask));
  }

  #durable = ({ durability = this.#durability }: WriteOptions) => durability === "durable";
  #commit(commit: Commit & { changes: Change[] }, transfer?: Transferable[]): Promise<number> {
    const { changes } = commit;
    if (this.#cache) for (const change of changes) this.#cache.drop("delete" in change ? change.delete : change.put);
    const packed = transfer?.length ? undefined : pack(changes, this.transport.spare);
    if (packed) {
      (commit as Commit).changes = packed;
      transfer = [packed.buffer as ArrayBuffer];
    }
    return this.transport.request("commit", commit, undefined, transfer);
  }

  /** Stores a block. When this resolves, the commit has the durability that was asked for. */
  put(name: Name, value: Value, options: PutOptions & Signalled = {}): Promise<number> {
    const put = change(name, value, options);
    const commit = { changes: [put], durable: this.#durable(options) };
    const transfer = options.transfer ? [put.value.buffer as ArrayBuffer] : undefined;
    return within(options.signal, () => this.#commit(commit, transfer));
  }

  /** Stores what `JSON.stringify` makes of a value. */
  putJSON(name: Name, value: unknown, options?: PutOptions & Signalled): Promise<number> {
    return this.put(name, JSON.stringify(value), options);
  }

  /** Deletes a block; one that does not exist changes nothing. */
  delete(name: Name, options: WriteOptions = {}): Promise<number> {
    return this.#commit({ changes: [{ delete: name }], durable: this.#durable(options) });
  }

  /** Renames a block without moving its bytes; replaces what `to` named. */
  rename(from: Name, to: Name, options: WriteOptions = {}): Promise<number> {
    this.#cache?.drop(from);
    this.#cache?.drop(to);
    return this.transport.request("rename", { from, to, durable: this.#durable(options) });
  }

  /** Changes that are made together. */
  batch(): Batch {
    return new Batch((...commit) => this.#commit(...commit), this.#durable);
  }

  /** Runs `work` and commits what it changes, if nothing that it read was changed meanwhile; else runs it again. */
  async transaction<T>(work: (transaction: Transaction) => Promise<T> | T, options: WriteOptions = {}): Promise<T> {
    for (let tries = 1; ; tries++) {
      const snapshot = await this.snapshot();
      try {
        const transaction = new Transaction(snapshot);
        const result = await work(transaction);
        await this.#commit(transaction.commit(this.#durable(options)));
        return result;
      } catch (error) {
        if (!(error instanceof ConflictError) || tries >= TRIES) throw error;
      } finally {
        await snapshot.close().catch(() => {});
      }
    }
  }

  /** The state of now, for as long as it is held. */
  async snapshot(): Promise<Snapshot> {
    return new Snapshot(this.transport, await this.transport.request("snapshot", undefined));
  }

  /** Stores a block of any length from a stream, a blob or a response's body; whole or not at all. */
  async putStream(
    name: Name,
    source: ReadableStream<Uint8Array> | Blob,
    { signal, onProgress, ...options }: PutOptions & StreamOptions = {},
  ): Promise<number> {
    return this.#written(async (writer, commit) => {
      if (source instanceof Blob) {
        await within(signal, () => this.transport.request("fill", { writer, blob: source }, telling(onProgress)));
        return commit({ put: name, tag: options.tag }, this.#durable(options));
      }
      const reader = source.getReader();
      let length = 0;
      try {
        // While a piece is written the next one is read.
        for (let written: Promise<void> | undefined; ; ) {
          const { done, value } = await within(signal, () => reader.read());
          await within(signal, async () => written);
          if (done) break;
          onProgress?.((length += value.length));
          // A stream may hand out views of one large buffer: copied, only what is meant travels.
          written = this.transport.request("write", { writer, bytes: value });
          written.catch(() => {});
        }
      } catch (error) {
        await reader.cancel(error).catch(() => {});
        throw wrap(error);
      }
      return commit({ put: name, tag: options.tag }, this.#durable(options));
    });
  }

  /** Changes part of a block. The rest is copied inside the file, so this costs what a put of the block costs. */
  writeRange(name: Name, start: number, value: Value, options: WriteOptions = {}): Promise<number> {
    this.#cache?.drop(name);
    return this.transport.request("writeRange", { name, start, value: bytesOf(value), durable: this.#durable(options) });
  }

  /** Lets `work` write a value in pieces and commit it; what it did not commit leaves nothing behind. */
  async #written(
    work: (
      writer: number,
      commit: (put: { put: Name; tag?: number | undefined }, durable: boolean) => Promise<number>,
    ) => Promise<number>,
  ): Promise<number> {
    const writer = await this.transport.request("writer", undefined);
    try {
      return await work(writer, (put, durable) => this.#commit({ changes: [{ ...put, writer }], durable }));
    } catch (error) {
      await this.transport.request("release", writer).catch(() => {});
      throw error;
    }
  }

  /** Makes everything committed so far durable. */
  flush(): Promise<void> {
    return this.transport.request("flush", undefined);
  }

  async stats(): Promise<Stats> {
    return statsOf(await this.transport.request("stats", undefined));
  }

  /** Reads and compares every byte. The yard answers nothing else meanwhile. */
  verify({ onProgress, signal }: { onProgress?: (progress: VerifyProgress) => void } & Signalled = {}): Promise<VerifyReport> {
    const progress =
      onProgress &&
      (([blocks, bytes, totalBlocks, totalBytes]: number[]) =>
        onProgress({ blocks: blocks!, bytes: bytes!, totalBlocks: totalBlocks!, totalBytes: totalBytes! }));
    return within(signal, () => this.transport.request("verify", undefined, progress));
  }

  /** Writes all blocks into a new file without free pages, which then takes the place of this one. */
  vacuum({ onProgress }: { onProgress?: (bytes: number) => void } = {}): Promise<void> {
    return this.transport.request("vacuum", undefined, telling(onProgress));
  }

  /** The whole file, as the command line reads it. */
  exportBlob({ onProgress }: { onProgress?: (bytes: number, total: number) => void } = {}): Promise<Blob> {
    return this.transport.request("export", undefined, telling(onProgress));
  }

  /** Replaces everything by another file, after every byte of that was verified. */
  importBlob(file: Blob, { onProgress }: { onProgress?: (bytes: number, total: number) => void } = {}): Promise<void> {
    this.#cache?.told(null);
    return this.transport.request("import", file, telling(onProgress));
  }

  /**
   * Calls `listener` after each commit that changes a block whose name begins with `prefix`, whichever tab
   * made it; with null when it has to look for itself. Returns what ends it.
   */
  async subscribe(prefix: Name, listener: (changes: Changes) => void): Promise<() => void> {
    const id = this.#nextListener++;
    this.#listeners.set(id, listener);
    await this.transport.request("subscribe", { id, prefix });
    return () => {
      this.#listeners.delete(id);
      this.transport.request("unsubscribe", id).catch(() => {});
    };
  }

  /** How much the origin may keep and does. */
  async estimate(): Promise<StorageEstimate> {
    return (await globalThis.navigator?.storage?.estimate?.()) ?? {};
  }

  /** Asks the browser not to evict the origin's data; whether it agrees. */
  async persist(): Promise<boolean> {
    return (await globalThis.navigator?.storage?.persist?.()) ?? false;
  }

  /** Closes this tab's yard. Another tab takes the file over. */
  close(): Promise<void> {
    this.#listeners.clear();
    this.#cache?.told(null);
    return this.transport.close();
  }

  /** Removes the file, for every tab. */
  async destroy(): Promise<void> {
    this.#cache?.told(null);
    await this.transport.request("destroy", undefined);
    await this.transport.close().catch(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
