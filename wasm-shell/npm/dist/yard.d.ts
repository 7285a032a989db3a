import type { Requests } from "./requests.js";
import type { Changes, Entry, ListOptions, Metadata, Name, PutOptions, Stats, Value, VerifyProgress, VerifyReport, WriteOptions } from "./types.js";
/** How requests reach whoever has the file. */
export interface Transport {
    request<R extends keyof Requests>(request: R, argument: Requests[R][0], how?: {
        transfer?: Transferable[];
        progress?: ((figures: number[]) => void) | undefined;
    }): Promise<Requests[R][1]>;
    /** Set by the yard: hears of changes. */
    changed?: (subscription: number, changes: Changes) => void;
    close(): Promise<void>;
}
interface Signalled {
    signal?: AbortSignal;
}
export interface StreamOptions extends Signalled {
    onProgress?: (bytes: number) => void;
}
/** Rejects when the signal says so; what was sent is carried out nevertheless. */
export declare function within<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>;
/** What can be read, of now or of a snapshot. */
export declare class Reader {
    /** A block's bytes; undefined if it does not exist. */
    get(name: Name, { signal }?: Signalled): Promise<Uint8Array | undefined>;
    /** A block's bytes as text. */
    getText(name: Name, options?: Signalled): Promise<string | undefined>;
    /** A block's bytes, parsed as JSON. */
    getJSON<T = unknown>(name: Name, options?: Signalled): Promise<T | undefined>;
    /** Bytes `start` to below `end` of a block, verified; undefined if it does not exist. */
    readRange(name: Name, start: number, end?: number, { signal }?: Signalled): Promise<Uint8Array | undefined>;
    has(name: Name): Promise<boolean>;
    /** What is known of a block without reading it. */
    metadata(name: Name): Promise<Metadata | undefined>;
    /** Blocks in the order of their names. Of a yard, each page of it as of its own moment; of a snapshot, all of one. */
    list(options?: ListOptions): AsyncGenerator<Entry, void, undefined>;
    /** A block's bytes, verified chunk by chunk, as of the moment this is called; undefined if it does not exist. */
    getStream(name: Name, { signal, onProgress }?: StreamOptions): Promise<ReadableStream<Uint8Array> | undefined>;
}
/** The state of one moment. Close it: the file keeps for it what has changed since. */
export declare class Snapshot extends Reader {
    close(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
}
/** Changes that become visible and durable together, or not at all. */
export declare class Batch {
    #private;
    put(name: Name, value: Value, options?: Omit<PutOptions, "durability">): this;
    putJSON(name: Name, value: unknown, options?: Omit<PutOptions, "durability">): this;
    delete(name: Name): this;
    get size(): number;
    /** Commits; returns the commit's number. The batch is empty afterwards. */
    commit(options?: WriteOptions): Promise<number>;
}
/** What a transaction reads, and the changes it makes; it sees its own. */
export declare class Transaction {
    #private;
    get(name: Name): Promise<Uint8Array | undefined>;
    getText(name: Name): Promise<string | undefined>;
    getJSON<T = unknown>(name: Name): Promise<T | undefined>;
    has(name: Name): Promise<boolean>;
    /** What was known of a block when the transaction began. */
    metadata(name: Name): Promise<Metadata | undefined>;
    put(name: Name, value: Value, options?: {
        tag?: number;
    }): void;
    putJSON(name: Name, value: unknown): void;
    delete(name: Name): void;
}
/** A store of named blocks in one file. */
export declare class Yard extends Reader {
    #private;
    /** The yard's name. */
    readonly name: string;
    /** Stores a block. When this resolves, the commit has the durability that was asked for. */
    put(name: Name, value: Value, options?: PutOptions & Signalled): Promise<number>;
    /** Stores what `JSON.stringify` makes of a value. */
    putJSON(name: Name, value: unknown, options?: PutOptions & Signalled): Promise<number>;
    /** Deletes a block; one that does not exist changes nothing. */
    delete(name: Name, options?: WriteOptions): Promise<number>;
    /** Renames a block without moving its bytes; replaces what `to` named. */
    rename(from: Name, to: Name, options?: WriteOptions): Promise<number>;
    /** Changes that are made together. */
    batch(): Batch;
    /** Runs `work` and commits what it changes, if nothing that it read was changed meanwhile; else runs it again. */
    transaction<T>(work: (transaction: Transaction) => Promise<T> | T, options?: WriteOptions): Promise<T>;
    /** The state of now, for as long as it is held. */
    snapshot(): Promise<Snapshot>;
    /** Stores a block of any length from a stream, a blob or a response's body; whole or not at all. */
    putStream(name: Name, source: ReadableStream<Uint8Array> | Blob, { signal, onProgress, ...options }?: PutOptions & StreamOptions): Promise<number>;
    /** Changes part of a block. The rest is copied inside the file, so this costs what a put of the block costs. */
    writeRange(name: Name, start: number, value: Value, options?: WriteOptions): Promise<number>;
    /** Makes everything committed so far durable. */
    flush(): Promise<void>;
    stats(): Promise<Stats>;
    /** Reads and compares every byte. The yard answers nothing else meanwhile. */
    verify({ onProgress, signal }?: {
        onProgress?: (progress: VerifyProgress) => void;
    } & Signalled): Promise<VerifyReport>;
    /** Writes all blocks into a new file without free pages, which then takes the place of this one. */
    vacuum({ onProgress }?: {
        onProgress?: (bytes: number) => void;
    }): Promise<void>;
    /** The whole file, as the command line reads it. */
    exportBlob({ onProgress }?: {
        onProgress?: (bytes: number, total: number) => void;
    }): Promise<Blob>;
    /** Replaces everything by another file, after every byte of that was verified. */
    importBlob(file: Blob, { onProgress }?: {
        onProgress?: (bytes: number, total: number) => void;
    }): Promise<void>;
    /**
     * Calls `listener` after each commit that changes a block whose name begins with `prefix`, whichever tab
     * made it; with null when it has to look for itself. Returns what ends it.
     */
    subscribe(prefix: Name, listener: (changes: Changes) => void): Promise<() => void>;
    /** How much the origin may keep and does. */
    estimate(): Promise<StorageEstimate>;
    /** Asks the browser not to evict the origin's data; whether it agrees. */
    persist(): Promise<boolean>;
    /** Closes this tab's yard. Another tab takes the file over. */
    close(): Promise<void>;
    /** Removes the file, for every tab. */
    destroy(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
}
export {};
