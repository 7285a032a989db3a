import type { Entry, ListOptions, Metadata, Name, OpenOptions, PutOptions, Stats, Value, WriteOptions } from "./types.js";
export * from "./errors.js";
export type * from "./types.js";
/** A store of named blocks that this thread has to itself. */
export declare class SyncYard {
    #private;
    get(name: Name, start?: number, end?: number): Uint8Array | undefined;
    getText(name: Name): string | undefined;
    has(name: Name): boolean;
    metadata(name: Name): Metadata | undefined;
    list(options?: ListOptions): Generator<Entry, void, undefined>;
    put(name: Name, value: Value, options?: PutOptions): number;
    delete(name: Name, options?: WriteOptions): number;
    /** Puts and deletions (undefined) that are made together. */
    batch(changes: Iterable<[Name, Value | undefined]>, options?: WriteOptions): number;
    rename(from: Name, to: Name, options?: WriteOptions): number;
    /** Makes buffered commits durable; nothing does so by itself here but `close`. */
    flush(): void;
    stats(): Stats;
    /** Whether every byte is what was written. */
    verify(): boolean;
    close(): void;
    [Symbol.dispose](): void;
}
/** Opens a yard for this worker alone; `LockedError` if another tab or worker has it and keeps it. */
export declare function openSync(name: string, options?: OpenOptions): Promise<SyncYard>;
