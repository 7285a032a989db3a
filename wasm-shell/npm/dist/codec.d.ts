/** Names and values on their way, and lists as the engine packs them. */
import type { Entry, ListOptions, Name, Stats, Value } from "./types.js";
export declare const bytesOf: (value: Value) => Uint8Array;
export declare const textOf: (bytes: Uint8Array) => string;
/** The entries of a packed list. */
export declare function unpack(packed: Uint8Array): Entry[];
/** A list as it is asked of the engine, a page at a time. */
export interface Scan {
    snapshot: number;
    lower?: Uint8Array | undefined;
    upper?: Uint8Array | undefined;
    flags: number;
    limit: number;
    values: boolean;
}
export declare function scanOf(snapshot: number, options: ListOptions): Scan;
/** What is left of a list behind the entry `last`. */
export declare function after(scan: Scan, last: Entry): Scan;
export declare const statsOf: (figures: Float64Array) => Stats;
/** One change of a commit, as it travels. */
export type Change = {
    put: Name;
    value: Uint8Array;
    tag?: number | undefined;
} | {
    put: Name;
    writer: number;
    tag?: number | undefined;
} | {
    delete: Name;
};
/** A commit as it travels; `expect` holds what a transaction has read: names and their commits, 0 for none. */
export interface Commit {
    changes: Change[];
    durable: boolean;
    expect?: [Name, number][];
}
