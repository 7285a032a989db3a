/**
 * The one place that drives an engine: it answers the requests of all clients, shares one flush among the
 * commits that wait, and looks after what is due later.
 *
 * 1. Commits are queued and made together once the requests that have already arrived are read; a commit
 *    whose client waits for nothing else is made at once. Anything else makes what is queued first, so that a
 *    client sees its own writes.
 * 2. After a failed write the engine refuses everything, and so it does after a trap in the module: the file is opened
 *    anew, which recovers, and what was not answered is answered with the failure. Nothing that is asked for throws.
 * 3. What a client holds (snapshots, writers) is let go when the client is gone.
 * 4. Names whose values a client keeps are known, from before its answer until it is told that they were changed.
 *    It is told before the commit is answered, and that it must keep nothing when the engine goes.
 */
import type { Answer, Client, Handler, Held, Queued } from "./clients.js";
import { bytesOf, concerned, sizesOf, textOf, type Change, type Commit } from "./codec.js";
import { attach, drop, exported, isDead, NONE, verified, writeRange, type Engine, type Files, type Handle } from "./engine.js";
import { AbortedError, ClosedError, ConflictError, LockedError, wrap } from "./errors.js";
import { condense, prepare, takeIn } from "./replace.js";
import type { Requests } from "./requests.js";
import { soon, unref } from "./turns.js";
import type { Changes, EngineOptions, Name, VerifyReport } from "./types.js";

const OPERATIONS = 100;
const INTERVAL = 100;
const IDLE = 20;
/** A checkpoint waits for a moment in which nothing is committed, unless so many commits have gone before it. */
const QUIET = 10;
const PATIENCE = 64;
/** Steps of a checkpoint in succession. */
const STEPS = 4;
const SCAN_BYTES = 1 << 20;
/** Names that are known of a client at most. */
const KEPT = 10_000;

const startsWith = (name: Uint8Array, prefix: Uint8Array) => prefix.every((byte, at) => name[at] === byte);

export class Host {
  #engine: Engine | undefined;
  #handle: Handle | undefined;
  readonly #files: Files | undefined;
  readonly #options: EngineOptions;
  readonly #blocked: (() => void) | undefined;
  readonly #queue: Queued[] = [];
  readonly #clients = new Map<string, Held>();
  /** Operations since the last flush that no flush covers. */
  #unsynced = 0;
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  /** When nothing was committed for long enough. */
  #due = 0;
  #busy = false;
  #restUntil = 0;
  /** Commits that a checkpoint has let go first. */
  #before = 0;
  #opening: Promise<void> | undefined;
  #scheduled = false;
  #closed = false;
  /** Requests that replace the file, one after the other; everything else waits for them. */
  #turn: Promise<unknown> | undefined;
  readonly #soon = soon();

  constructor(files: Files | undefined, options: EngineOptions, blocked?: () => void) {
    this.#files = files;
    this.#options = options;
    this.#blocked = blocked;
  }

  /** Opens the file; while somebody else has it, tries again for a while. */
  open(): Promise<void> {
    if (this.#engine) return Promise.resolve();
    return (this.#opening ??= this.#open().finally(() => (this.#opening = undefined)));
  }

  async #open(): Promise<void> {
    const since = Date.now();
    const limit = this.#options.lockTimeout ?? 5000;
    for (let wait = 20; ; wait = Math.min(2 * wait, 500)) {
      if (this.#closed) throw new ClosedError("the yard was closed");
      try {
        this.#handle = await this.#files?.open();
        break;
      } catch (error) {
        if (wrap(error).code !== "Locked") throw wrap(error);
        if (Date.now() - since > limit) {
          throw new LockedError(
            "another page or program holds this file and does not let go; close it and try again",
            "NoModificationAllowedError",
          );
        }
        if (wait > 100) this.#blocked?.();
        // Two that meet do not meet again.
        await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random())));
      }
    }
    try {
      if (this.#closed) throw new ClosedError("the yard was closed");
      this.#engine = attach(this.#handle, this.#options);
    } catch (error) {
      this.#letGo();
      if (this.#closed) this.#files?.release?.();
      throw wrap(error);
    }
  }

  #letGo(): void {
    drop(this.#engine);
    this.#engine = undefined;
    try {
      this.#handle?.close();
    } catch {
      // What had to be durable is.
    }
    this.#handle = undefined;
    clearTimeout(this.#flushTimer);
    clearTimeout(this.#idleTimer);
    this.#flushTimer = this.#idleTimer = undefined;
    this.#lost();
  }

  /** What belonged to the engine is gone, and commits that were not durable may be. */
  #lost(): void {
    this.#unsynced = 0;
    for (const held of this.#clients.values()) {
      held.numbers.clear();
      this.#forget(held);
    }
  }

  /** Lets a client keep nothing. */
  #forget({ client, kept }: Held): void {
    if (kept.size === 0) return;
    kept.clear();
    client.changed(0, null);
  }

  /** Whether the file is being replaced: until that is done it must not be let go. */
  get replacing(): boolean {
    return this.#turn !== undefined;
  }

  /** Resolves when the file is not being replaced. */
  async settled(): Promise<void> {
    while (this.#turn) await this.#turn.catch(() => {});
  }

  /** Makes what is queued, and lets the file go; thoroughly, or quickly because the page goes away. */
  close(quick = false): void {
    if (this.#closed) return;
    this.#drain();
    this.#closed = true;
    try {
      if (quick) this.#engine?.sync();
      else this.#engine?.settle();
    } catch (error) {
      throw wrap(error);
    } finally {
      this.#letGo();
      this.#files?.release?.();
    }
  }

  /** A client is gone: what it held is free. */
  gone(id: string): void {
    const held = this.#clients.get(id);
    this.#clients.delete(id);
    this.#later(() => {
      for (const number of held?.numbers ?? []) this.#live.release(number);
    });
  }

  #held(client: Client): Held {
    let held = this.#clients.get(client.id);
    if (!held) this.#clients.set(client.id, (held = { client, numbers: new Set(), subscriptions: new Map(), kept: new Set() }));
    return held;
  }

  /** Answers a request; `alone`: its page waits for nothing else. */
  handle<R extends keyof Requests>(
    client: Client,
    request: R,
    argument: Requests[R][0],
    answer: Answer,
    progress?: (figures: number[]) => void,
    alone = false,
  ): void {
    if (this.#closed || this.#turn || !this.#engine) {
      const again = () => this.handle(client, request, argument, answer, progress, alone);
      if (this.#closed) return answer(undefined, new ClosedError("the yard was closed"));
      // Before anybody learns that the file was replaced, and in the order in which they came.
      if (this.#turn) return void this.#turn.then(again, again);
      return void this.open().then(again, (error: unknown) => answer(undefined, error));
    }
    const failed = (error: unknown) => {
      this.#recover();
      answer(undefined, wrap(error));
    };
    let value;
    try {
      if (request === "commit") return this.#enqueue(client, argument as Commit, answer, alone);
      this.#drain();
      value = (this.#handlers[request as never] as Handler<R>)(argument, client, progress);
    } catch (error) {
      return failed(error);
    }
    if (value instanceof Promise) value.then(answer, failed);
    else answer(value);
  }

  /** The same as a promise. */
  ask<R extends keyof Requests>(
    client: Client, request: R, argument: Requests[R][0], progress?: (figures: number[]) => void,
  ): Promise<Requests[R][1]> {
    return new Promise((resolve, reject) =>
      this.handle(client, request, argument, (value, error) => (error ? reject(error) : resolve(value as never)), progress),
    );
  }

  #enqueue(client: Client, commit: Commit, answer: Answer, alone: boolean): void {
    // A writer is used up by its commit.
    if (!(commit.changes instanceof Uint8Array))
      for (const change of commit.changes) if ("writer" in change) this.#held(client).numbers.delete(change.writer);
    this.#queue.push({ commit, answer, batch: 0 });
    if (alone) return this.#drain();
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#soon(() => this.#drain());
  }

  get #live(): Engine {
    if (!this.#engine) throw new ClosedError("the file is not open");
    return this.#engine;
  }

  /** After a failed write or a trap: opens the file anew, from what the device has. */
  #recover(): void {
    if (!this.#engine || !isDead(this.#engine)) return;
    drop(this.#engine);
    this.#engine = undefined;
    this.#lost();
    // What was in memory is gone.
    if (!this.#files) return void (this.#closed = true);
    try {
      this.#engine = attach(this.#handle, this.#options);
    } catch {
      // The next request opens it, or says why not.
      this.#letGo();
    }
  }

  readonly #handlers: { [R in Exclude<keyof Requests, "commit">]: Handler<R> } = {
    open: () => {},
    get: ({ snapshot, name, start, end, keeps }, client) => {
      if (keeps) {
        const held = this.#held(client);
        if (held.kept.size >= KEPT) this.#forget(held);
        held.kept.add(name as string);
      }
      return this.#live.get(snapshot, bytesOf(name), start, end);
    },
    metadata: ({ snapshot, name }) => this.#live.metadata(snapshot, bytesOf(name)),
    scan: ({ snapshot, lower, upper, flags, limit, values }) =>
      this.#live.scan(snapshot, lower, upper, flags, limit, SCAN_BYTES, values),
    rename: ({ from, to, durable }) => {
      const sequence = this.#live.rename(bytesOf(from), bytesOf(to), durable);
      this.#tell([{ delete: from }, { put: to, writer: 0 }]);
      this.#committed(1, durable);
      return sequence;
    },
    snapshot: (_, client) => this.#give(client, this.#live.snapshot()),
    writer: (_, client) => this.#give(client, this.#live.beginWriter()),
    write: ({ writer, bytes, digest = NONE }) => this.#live.write(writer, bytes, digest),
    fill: ({ writer, blob }, client, progress) => this.#fill(client, writer, blob, progress),
    writeRange: ({ name, start, value, durable }) => {
      const sequence = writeRange(this.#live, bytesOf(name), start, value, durable);
      this.#tell([{ put: name, value }]);
      this.#committed(1, durable);
      return sequence;
    },
    release: (number, client) => {
      this.#held(client).numbers.delete(number);
      this.#live.release(number);
    },
    flush: () => {
      this.#live.sync();
      this.#synced();
    },
    stats: () => this.#live.stats(),
    verify: (_, _client, progress) => this.#verify(progress),
    export: (_, _client, progress) => this.#export(progress),
    import: (blob, _client, progress) =>
      this.#exclusively((files) => this.#swap(files, (spare) => takeIn(spare, blob, this.#options, progress))),
    vacuum: (_, _client, progress) =>
      this.#exclusively((files) => this.#swap(files, (spare) => condense(this.#live, spare, this.#options, progress))),
    destroy: async () => {
      this.#closed = true;
      this.#letGo();
      try {
        await this.#files?.remove();
      } catch (error) {
        // The next request opens it again.
        this.#closed = false;
        throw error;
      }
      this.#files?.release?.();
    },
    subscribe: ({ id, prefix }, client) => {
      this.#held(client).subscriptions.set(id, bytesOf(prefix));
    },
    unsubscribe: (id, client) => {
      this.#held(client).subscriptions.delete(id);
    },
  };

  #give(client: Client, number: number): number {
    this.#held(client).numbers.add(number);
    return number;
  }

  /** Makes everything that is queued, with one flush if anybody waits for it. */
  #drain(): void {
    this.#scheduled = false;
    const queue = this.#queue.splice(0);
    let group: Queued[] = [];
    for (const item of queue) {
      const { changes, durable, expect, at } = item.commit;
      try {
        if (expect || changes.length === 0) {
          // It must see what was asked for before it.
          this.#commit(group);
          group = [];
          this.#check(expect ?? [], at!);
        }
        if (changes.length === 0) {
          if (durable) this.#live.sync();
          item.answer(this.#live.stats()[0]);
          continue;
        }
        item.batch = this.#stage(changes);
        group.push(item);
      } catch (error) {
        this.#recover();
        item.answer(undefined, wrap(error));
      }
    }
    this.#commit(group);
  }

  #check(expect: [Name, number][], at: number): void {
    for (const [name, sequence] of expect) {
      const found = this.#live.metadata(0, bytesOf(name));
      const now = found.length ? new DataView(found.buffer, found.byteOffset).getFloat64(24, true) : 0;
      if (now !== sequence || !this.#live.holds(at)) throw new ConflictError("a block was changed meanwhile");
    }
  }

  #stage(changes: Commit["changes"]): number {
    const engine = this.#live;
    if (changes instanceof Uint8Array) return engine.stage(changes);
    const batch = engine.begin();
    try {
      for (const change of changes) {
        if ("delete" in change) engine.delete(batch, bytesOf(change.delete));
        else if ("writer" in change) engine.finishWriter(change.writer, batch, bytesOf(change.put), change.tag ?? 0);
        else engine.put(batch, bytesOf(change.put), change.value, change.tag ?? 0);
      }
    } catch (error) {
      if (!isDead(engine)) engine.release(batch);
      throw error;
    }
    return batch;
  }

  #commit(group: Queued[]): void {
    if (group.length === 0) return;
    const durable = group.some(({ commit }) => commit.durable);
    let sequence;
    try {
      sequence = this.#live.commit(group.map(({ batch }) => batch) as never, durable) - group.length;
    } catch (error) {
      const dead = !this.#engine || isDead(this.#engine);
      if (group.length > 1 && !dead) {
        // Too much at once, perhaps: each may still have its place.
        for (const item of group) this.#commit([item]);
        return;
      }
      for (const item of group) {
        if (!dead) this.#engine?.release(item.batch);
        item.answer(undefined, wrap(error));
      }
      return this.#recover();
    }
    let operations = 0;
    for (const { commit: { changes } } of group) {
      this.#tell(changes);
      operations += changes instanceof Uint8Array ? OPERATIONS : changes.length;
    }
    for (const item of group) item.answer(++sequence);
    this.#committed(operations, durable);
  }

  /** What is due after a commit, behind its answer. */
  #committed(operations: number, durable: boolean): void {
    if (durable) this.#synced();
    else this.#unsynced += operations;
    if (this.#unsynced >= OPERATIONS) this.#later(() => this.#live.sync(), true);
    else if (this.#unsynced > 0 && this.#flushTimer === undefined) {
      this.#flushTimer = setTimeout(() => this.#later(() => this.#live.sync(), true), INTERVAL);
      unref(this.#flushTimer);
    }
    this.#later(() => this.#idle(this.#live.wantsCheckpoint() && Date.now() >= this.#restUntil));
  }

  #synced(): void {
    this.#unsynced = 0;
    if (this.#flushTimer === undefined) return;
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
  }

  /** Work that nobody waits for: its failure shows in what comes next. */
  #later(work: () => void, syncs = false): void {
    try {
      if (this.#engine) work();
      if (syncs) this.#synced();
    } catch {
      // Its timer is over: the next commit has another.
      this.#synced();
      this.#restUntil = Date.now() + 1000;
      this.#recover();
    }
  }

  /** Begins to wait for a pause. Commits in succession have one timer that goes on, for a new one each costs them time. */
  #idle(busy: boolean, wait = !busy ? IDLE : this.#before++ < PATIENCE ? QUIET : 0): void {
    this.#busy = busy;
    this.#due = performance.now() + wait;
    if (wait === 0) clearTimeout(this.#idleTimer);
    else if (this.#idleTimer !== undefined) return;
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      const left = this.#due - performance.now();
      if (left > 0) this.#idle(this.#busy, left);
      else this.#later(() => this.#pause());
    }, wait);
    unref(this.#idleTimer);
  }

  /** Steps of a checkpoint between requests, or a seal when nothing has happened for a while. */
  #pause(): void {
    if (!this.#busy) return this.#live.seal();
    for (let step = 0; step < STEPS; step++) {
      if (this.#live.checkpointStep()) continue;
      this.#before = 0;
      // What was committed meanwhile is sealed.
      return this.#idle(false);
    }
    this.#idle(true, 0);
  }

  #tell(changes: Commit["changes"]): void {
    let all: { bytes: Uint8Array; told: NonNullable<Changes>[number] }[] | undefined;
    for (const { client, subscriptions, kept } of this.#clients.values()) {
      if (subscriptions.size + kept.size === 0) continue;
      const found = (all ??= Array.from(concerned(changes), ({ name, kind }) => ({ bytes: name, told: { name: textOf(name), kind } })));
      const tell = (id: number, matches: (change: (typeof found)[number]) => boolean) => {
        const told = found.filter(matches).map(({ told }) => told);
        if (told.length === 0) return;
        try {
          client.changed(id, told);
        } catch (error) {
          // A listener's own failure is not the commit's.
          console.error(error);
        }
      };
      tell(0, ({ told }) => kept.delete(told.name));
      for (const [id, prefix] of subscriptions) tell(id, ({ bytes }) => startsWith(bytes, prefix));
    }
  }

  /**
   * Writes a blob. The platform digests a whole chunk several times as fast as the module does; the next is
   * read meanwhile. Other requests come between.
   */
  async #fill(client: Client, writer: number, blob: Blob, progress?: (figures: number[]) => void): Promise<void> {
    const { chunkSize } = sizesOf(this.#live);
    const subtle = blob.size > chunkSize ? globalThis.crypto?.subtle : undefined;
    const read = (at: number) => {
      const reading = blob.slice(at, at + chunkSize).arrayBuffer();
      reading.catch(() => {});
      return reading;
    };
    let next = read(0);
    for (let at = 0; at < blob.size; ) {
      const bytes = new Uint8Array(await next);
      at += bytes.length;
      if (at < blob.size) next = read(at);
      const computed = bytes.length === chunkSize ? await subtle?.digest("SHA-256", bytes) : undefined;
      const digest = new Uint8Array(computed ?? []);
      await this.ask(client, "write", { writer, bytes, digest });
      progress?.([at]);
    }
  }

  /** Everybody who listens has to look again. */
  #tellReset(): void {
    for (const { client, subscriptions } of this.#clients.values())
      for (const id of subscriptions.keys()) client.changed(id, null);
  }

  #verify(progress?: (figures: number[]) => void): VerifyReport {
    let told = 0;
    const tell = (...figures: number[]) => {
      if (Date.now() - told < 50) return;
      told = Date.now();
      progress?.(figures);
    };
    return verified(this.#live, progress && tell);
  }

  /** The whole file, as of one commit. */
  #export(progress?: (figures: number[]) => void): Blob {
    const blob = exported(this.#live, progress);
    this.#synced();
    return blob;
  }

  async #exclusively(work: (files: Files) => Promise<void>): Promise<void> {
    const files = this.#files;
    if (!files) throw new AbortedError("a yard in memory has no file to replace");
    const turn = work(files);
    this.#turn = turn;
    try {
      await turn;
      this.#tellReset();
    } finally {
      this.#turn = undefined;
    }
  }

  /** Puts another file in place of this one, once that is filled. */
  async #swap(files: Files, fill: (spare: Handle) => Promise<void>): Promise<void> {
    this.#live.sync();
    await prepare(files, fill);
    this.#letGo();
    try {
      await files.replace();
    } finally {
      await this.open();
    }
  }
}
