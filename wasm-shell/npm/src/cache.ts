/**
 * Values that a page has read, for when it reads them again.
 *
 * 1. Whoever has the file notes which names each page may keep (`Host`), and tells the page when a commit changes one
 *    of them, before it answers that commit or a later request. What it sends to a page arrives in that order.
 * 2. An answer is kept only if its name was not dropped since it was asked for.
 * 3. A name that the page itself changes is dropped before the change is sent.
 * 4. Everything is dropped when somebody else takes the file, when it is opened anew, and when the page may be frozen.
 */
import { bytesOf, textOf } from "./codec.js";
import type { Changes, Name } from "./types.js";

interface Kept {
  /** What it takes of the budget; nothing until the answer is there. */
  cost: number;
  value?: Uint8Array | undefined;
}

/** What an entry takes besides its name and value. */
const ENTRY = 100;
/** A value that takes more than this part of the budget is not kept. */
const PART = 8;

export class Cache {
  /** In the order of their last use. */
  readonly #kept = new Map<string, Kept>();
  readonly #budget: number;
  #used = 0;

  constructor(budget: number) {
    this.#budget = budget;
  }

  /** A value, or what `ask` brings: the caller's own in both cases. */
  async get(name: string, ask: (name: string) => Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const key = textOf(bytesOf(name));
    const kept = this.#kept.get(key);
    if (kept?.cost) {
      this.#kept.delete(key);
      this.#kept.set(key, kept);
      return kept.value?.slice();
    }
    const asked: Kept = { cost: 0 };
    this.#kept.set(key, asked);
    try {
      const value = await ask(key);
      const cost = ENTRY + 2 * key.length + (value?.length ?? 0);
      if (this.#kept.get(key) === asked && cost * PART <= this.#budget) {
        asked.value = value?.slice();
        this.#used += asked.cost = cost;
        this.#trim();
      }
      return value;
    } finally {
      if (!asked.cost && this.#kept.get(key) === asked) this.#kept.delete(key);
    }
  }

  #trim(): void {
    for (const [key, { cost }] of this.#kept) {
      if (this.#used <= this.#budget) return;
      if (cost) this.drop(key);
    }
  }

  /** Names whose values are not what they were; null if nobody knows which. */
  told(changes: Changes): void {
    if (changes) for (const { name } of changes) this.drop(name);
    else {
      this.#kept.clear();
      this.#used = 0;
    }
  }

  /** Keeps nothing of a name, and nothing of an answer that is under way. */
  drop(name: Name): void {
    if (this.#kept.size === 0) return;
    const key = textOf(bytesOf(name));
    this.#used -= this.#kept.get(key)?.cost ?? 0;
    this.#kept.delete(key);
  }
}
