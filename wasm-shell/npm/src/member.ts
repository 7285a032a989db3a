/**
 * A tab's part in sharing one file. Each tab has a worker with one member in it.
 *
 * 1. Whoever holds the Web Lock of the yard owns the file; the browser hands the lock on when the owner's
 *    page closes, crashes or lets go.
 * 2. Every member has a channel of its own. A member that is not the owner sends its page's requests to the
 *    owner's channel and gets the answers on its own.
 * 3. A new owner announces itself. What the old one had not answered is then asked again, except what must
 *    not happen twice and what was held by the old owner: that is answered with `AbortedError`.
 * 4. A member holds a lock of its own while it lives, by which the owner learns that it is gone.
 */
import type { Answer, Client } from "./clients.js";
import { Host } from "./host.js";
import type { Files } from "./engine.js";
import { AbortedError, ClosedError, wire, type WireError } from "./errors.js";
import type { Commit } from "./codec.js";
import type { Requests } from "./requests.js";
import type { Changes, EngineOptions, Name } from "./types.js";

/** A member and its term: the same tab may own the file, let go and own it again. */
type Owner = string;
const UUID = 36;

/** Between members. */
type Message =
  | { kind: "hello"; from: string }
  | { kind: "owner"; owner: Owner }
  | { kind: "destroyed" }
  | { kind: "request"; from: string; id: number; request: keyof Requests; argument: unknown }
  | { kind: "answer"; id: number; value?: unknown; error?: WireError }
  | { kind: "progress"; id: number; figures: number[] }
  | { kind: "changed"; subscription: number; changes: Changes };

/** What the member tells its page. */
export interface Page {
  changed(subscription: number, changes: Changes): void;
  /** The file is still held by somebody else. */
  blocked(): void;
  /** The yard was destroyed by another tab. */
  destroyed(): void;
}

interface Pending {
  request: keyof Requests;
  argument: unknown;
  /** Whom it was sent to. */
  owner: Owner | undefined;
  /** The page waits for nothing else. */
  alone: boolean;
  answer: Answer;
  progress: ((figures: number[]) => void) | undefined;
}

/** Whether a request may be made again when nobody knows whether it was. */
function repeats(request: keyof Requests, argument: unknown): boolean {
  switch (request) {
    case "commit": {
      const { expect, changes } = argument as Commit;
      return !expect && (changes instanceof Uint8Array || !changes.some((change) => "writer" in change));
    }
    case "get":
    case "metadata":
    case "scan":
      return !(argument as { snapshot: number }).snapshot;
    case "rename":
    case "write":
    case "fill":
    case "writeRange":
    case "import":
      return false;
    default:
      return true;
  }
}

export class Member {
  readonly #id = crypto.randomUUID();
  /** The yard's Web Lock, and the channel of all members. */
  readonly #lock: string;
  readonly #files: Files;
  readonly #options: EngineOptions;
  readonly #page: Page;
  /** This member's page, to a host. */
  readonly #client: Client;
  readonly #all: BroadcastChannel;
  readonly #inbox: BroadcastChannel;
  readonly #outboxes = new Map<string, BroadcastChannel>();
  readonly #pending = new Map<number, Pending>();
  readonly #subscriptions = new Map<number, Name>();
  #next = 1;
  /** The owner, as far as it is known. */
  #owner: Owner | undefined;
  /** This member as an owner, while it is one. */
  #self: Owner | undefined;
  #term = 0;
  #host: Host | undefined;
  #release: (() => void) | undefined;
  #waiting: AbortController | undefined;
  #leaving: Promise<void> | undefined;
  #closed = false;
  readonly #alive: Promise<unknown>;
  #die: () => void = () => {};

  constructor(name: string, files: Files, options: EngineOptions, page: Page) {
    this.#files = files;
    this.#options = options;
    this.#page = page;
    this.#client = { id: this.#id, changed: page.changed };
    this.#lock = `blockyard/${name}`;
    this.#all = new BroadcastChannel(this.#lock);
    this.#inbox = new BroadcastChannel(this.#channel(this.#id));
    this.#all.onmessage = ({ data }) => this.#heard(data as Message);
    this.#inbox.onmessage = ({ data }) => this.#heard(data as Message);
    this.#alive = new Promise<void>((ready) => {
      const lock = navigator.locks.request(this.#channel(this.#id), () => {
        ready();
        return new Promise<void>((resolve) => (this.#die = resolve));
      });
      void lock.catch(() => {});
    });
    void this.join();
  }

  #channel(member: string): string {
    return `${this.#lock}/${member}`;
  }

  /** Stands in line for the file. */
  async join(): Promise<void> {
    await this.#leaving?.catch(() => {});
    if (this.#waiting || this.#closed) return;
    const waiting = (this.#waiting = new AbortController());
    await this.#alive;
    this.#all.postMessage({ kind: "hello", from: this.#id } satisfies Message);
    try {
      await navigator.locks.request(this.#lock, { signal: waiting.signal }, () => this.#own());
    } catch {
      // Given up: by `leave`.
    }
  }

  /** Owns the file until it lets go. */
  async #own(): Promise<void> {
    if (this.#closed || this.#waiting?.signal.aborted) return;
    const host = new Host(this.#files, this.#options, () => this.#page.blocked());
    const released = new Promise<void>((resolve) => (this.#release = resolve));
    this.#host = host;
    // Whoever asks learns why it could not be opened.
    await host.open().catch(() => {});
    if (this.#host === host) {
      const self = (this.#self = this.#id + this.#term++);
      this.#all.postMessage({ kind: "owner", owner: self } satisfies Message);
      this.#follow(self);
    }
    await released;
  }

  /**
   * Lets the file go, quickly because the page may freeze, and stands in line no more. Not while the file
   * is replaced: somebody else would write what the replacement then undoes.
   */
  leave(quick: boolean): Promise<void> {
    return (this.#leaving ??= this.#leave(quick).finally(() => (this.#leaving = undefined)));
  }

  async #leave(quick: boolean): Promise<void> {
    // At once if possible: the page may have no more time than this.
    if (this.#host?.replacing) await this.#host.settled();
    const host = this.#host;
    this.#host = undefined;
    this.#owner = undefined;
    this.#self = undefined;
    this.#waiting?.abort();
    this.#waiting = undefined;
    try {
      host?.close(quick);
    } finally {
      this.#release?.();
      this.#release = undefined;
    }
  }

  /** Ends the member. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.leave(false);
    } finally {
      this.#end(new ClosedError("the yard was closed"));
    }
  }

  #end(error: Error): void {
    this.#closed = true;
    for (const pending of this.#pending.values()) {
      pending.answer(undefined, pending.request === "destroy" ? undefined : error);
    }
    this.#pending.clear();
    for (const channel of [this.#all, this.#inbox, ...this.#outboxes.values()]) channel.close();
    this.#die();
  }

  /** Makes a request of this member's page. */
  request(
    request: keyof Requests,
    argument: unknown,
    answer: Answer,
    progress?: (figures: number[]) => void,
    alone = false,
  ): void {
    if (this.#closed) return answer(undefined, new ClosedError("the yard was closed"));
    if (request === "subscribe") {
      const { id, prefix } = argument as { id: number; prefix: Name };
      this.#subscriptions.set(id, prefix);
    }
    if (request === "unsubscribe") this.#subscriptions.delete(argument as number);
    const id = this.#next++;
    const pending = { request, argument, owner: undefined, alone, answer, progress };
    this.#pending.set(id, pending);
    this.#send(id, pending);
  }

  #send(id: number, pending: Pending): void {
    const { request, argument, progress, alone } = pending;
    pending.owner = this.#owner;
    if (this.#owner === undefined) return;
    if (this.#owner === this.#self) {
      const host = this.#host;
      if (!host) return;
      const answer: Answer = (value, error) => {
        // What a host that has let go refuses, the next owner answers.
        if (error && this.#host !== host && !this.#closed) return;
        const tell = () => this.#answered(id, value, error);
        if (request === "destroy" && !error) void this.#part(tell);
        else tell();
      };
      host.handle(this.#client, request, argument as never, answer, progress, alone);
    } else this.#post(this.#owner.slice(0, UUID), { kind: "request", from: this.#id, id, request, argument });
  }

  #answered(id: number, value: unknown, error?: unknown): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.answer(value, error);
  }

  #post(member: string, message: Message): void {
    let outbox = this.#outboxes.get(member);
    if (!outbox) this.#outboxes.set(member, (outbox = new BroadcastChannel(this.#channel(member))));
    outbox.postMessage(message);
  }

  /** Knows of an owner: sends it what waits, and asks it again for what the one before did not answer. */
  #follow(owner: Owner): void {
    if (this.#owner === owner || this.#closed) return;
    this.#owner = owner;
    // Before anything that it answers.
    this.#page.changed(0, null);
    for (const [id, prefix] of this.#subscriptions) {
      this.#page.changed(id, null);
      this.request("subscribe", { id, prefix }, () => {});
    }
    for (const [id, pending] of [...this.#pending]) {
      if (pending.owner === owner) continue;
      if (pending.owner === undefined || repeats(pending.request, pending.argument)) this.#send(id, pending);
      else {
        this.#pending.delete(id);
        const message = "the tab that had the file went away before it answered; whether it was done is not known";
        pending.answer(undefined, new AbortedError(message));
      }
    }
  }

  /** The file is gone. Whoever stands in line for it hears so before it gets there, where it would make a new one. */
  async #part(tell: () => void): Promise<void> {
    this.#host = this.#self = undefined;
    this.#all.postMessage({ kind: "destroyed" } satisfies Message);
    for (let tries = 0; tries < 50; tries++) {
      const { pending } = await navigator.locks.query();
      if (!pending!.some(({ name }) => name === this.#lock)) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (this.#closed) return;
    tell();
    this.#destroyed();
  }

  #destroyed(): void {
    if (this.#closed) return;
    this.#release?.();
    this.#host = this.#self = undefined;
    this.#waiting?.abort();
    this.#end(new ClosedError("the yard was destroyed"));
    this.#page.destroyed();
  }

  #heard(message: Message): void {
    switch (message.kind) {
      case "hello":
        if (this.#self) this.#post(message.from, { kind: "owner", owner: this.#self });
        return;
      case "owner":
        return this.#follow(message.owner);
      case "destroyed":
        return this.#destroyed();
      case "answer":
        return this.#answered(message.id, message.value, message.error);
      case "progress":
        return this.#pending.get(message.id)?.progress?.(message.figures);
      case "changed":
        return this.#page.changed(message.subscription, message.changes);
      case "request":
        return this.#serve(message);
    }
  }

  /** Answers another member. */
  #serve({ from, id, request, argument }: Message & { kind: "request" }): void {
    const host = this.#host;
    if (!host) return;
    const client: Client = {
      id: from,
      changed: (subscription, changes) => {
        if (!this.#closed) this.#post(from, { kind: "changed", subscription, changes });
      },
    };
    this.#watch(from);
    const progress = (figures: number[]) => this.#post(from, { kind: "progress", id, figures });
    const answer: Answer = (value, error) => {
      if (this.#closed || (error && this.#host !== host)) return;
      const tell = () => this.#post(from, { kind: "answer", id, ...(error ? { error: wire(error) } : { value }) });
      if (request === "destroy" && !error) void this.#part(tell);
      else tell();
    };
    host.handle(client, request, argument as never, answer, progress);
  }

  readonly #watched = new Set<string>();

  /** Waits for a member's lock: whoever gets it knows that the member is gone. */
  #watch(member: string): void {
    if (this.#watched.has(member)) return;
    this.#watched.add(member);
    const gone = navigator.locks.request(this.#channel(member), () => {
      this.#watched.delete(member);
      this.#outboxes.get(member)?.close();
      this.#outboxes.delete(member);
      this.#host?.gone(member);
    });
    void gone.catch(() => {});
  }
}
