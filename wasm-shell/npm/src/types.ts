/** A block's name: text, or any bytes. */
export type Name = string | Uint8Array;
/** A block's value: bytes, or text that is kept as UTF-8. */
export type Value = Uint8Array | ArrayBuffer | string;

/** What a commit survives: with `durable` a power cut, with `buffered` the end of the page or the browser. */
export type Durability = "durable" | "buffered";

export interface WriteOptions {
  /** The yard's default if it is not given. */
  durability?: Durability;
}

export interface PutOptions extends WriteOptions {
  /** A number that is kept with the block; up to 2^53. */
  tag?: number;
  /** Hand the value's buffer over instead of copying it: it is empty afterwards. */
  transfer?: boolean;
}

/** What is known of a block without reading it. */
export interface Metadata {
  /** Length in bytes. */
  length: number;
  /** SHA-256, in hexadecimal; of a block of several chunks that of its chunks' digests. */
  digest: string;
  /** The commit that wrote it. */
  sequence: number;
  /** The tag given when it was written. */
  tag: number;
  /** Number of chunks; 1 for a block in one piece. */
  chunks: number;
}

/** A block in a list. */
export interface Entry extends Metadata {
  /** The name as text. */
  name: string;
  /** The name as bytes, for names that are no text. */
  nameBytes: Uint8Array;
  /** The bytes, if the list was asked for them. */
  value?: Uint8Array;
}

export interface ListOptions {
  /** Only names that begin so. */
  prefix?: Name;
  /** Only names from `from` on, to below `to`. */
  range?: { from?: Name; to?: Name };
  /** From the last name to the first. */
  reverse?: boolean;
  /** So many blocks at most. */
  limit?: number;
  /** Bring the values too. */
  values?: boolean;
  signal?: AbortSignal;
}

export interface Stats {
  /** The last commit, and the last one known to be durable. */
  sequence: number;
  durableSequence: number;
  /** Blocks and bytes in the registry; those still in the journal are `pending` changes. */
  blocks: number;
  bytes: number;
  pending: number;
  fileBytes: number;
  freeBytes: number;
  registryBytes: number;
  pageSize: number;
  chunkSize: number;
  journalOffset: number;
  journalBytes: number;
  journalUsed: number;
  /** Where the pages begin that blocks and registry lie in. */
  dataOffset: number;
  height: number;
  /** What was asked of the device since the file was opened. */
  reads: number;
  bytesRead: number;
  writes: number;
  bytesWritten: number;
  /** Calls of `flush()`. */
  syncs: number;
  checkpoints: number;
  /** How often the file was made longer; each time takes a flush of its own, and a checkpoint takes two. */
  grows: number;
  cacheHits: number;
  cacheMisses: number;
  /** Journal records that were replayed when the file was opened, and whether it ended in a torn one. */
  recoveredRecords: number;
  tornTail: number;
  poisoned: number;
  maxNameLength: number;
}

export interface VerifyProgress {
  blocks: number;
  bytes: number;
  totalBlocks: number;
  totalBytes: number;
}

export interface VerifyReport {
  blocks: number;
  bytes: number;
  pages: number;
  /** Pages marked used that nothing refers to: harmless. */
  leakedPages: number;
  /** Problems in all; `problems` lists the first thousand. */
  problemCount: number;
  problems: { name: string | null; message: string }[];
}

/** What a commit changed; `null` if nobody can tell, as after another tab took over. */
export type Changes = { name: string; kind: "put" | "delete" }[] | null;

export interface OpenOptions {
  /** What commits survive unless they say otherwise. Default "durable". */
  durability?: Durability;
  /** Called when the file is still held by somebody else after a moment; `open` goes on trying. */
  onBlocked?: () => void;
  /** How long to try to get the file before `LockedError`, in milliseconds. Default 5,000. */
  lockTimeout?: number;
  /** Where the module is, if a bundler cannot know. */
  wasmUrl?: string | URL;
  /** Where the worker is, if a bundler cannot know. */
  workerUrl?: string | URL;
  /** "memory" keeps nothing: for tests, and for contexts without storage. */
  storage?: "file" | "memory";
  /** Sizes of a new file in bytes. */
  pageSize?: number;
  journalSize?: number;
  chunkSize?: number;
  /** Bytes by which the file grows at most. Default 16 MiB. */
  growth?: number;
  /** Bytes of the cache of whoever has the file. Default 8 MiB. */
  cacheSize?: number;
  /**
   * Bytes of the values that this page keeps, so that a `get` of what it has read lately asks nobody. Default 2 MiB; with 0
   * every `get` is answered by whoever has the file. What a kept value promises stands at `Yard.get`. Not under Node.
   */
  cache?: number;
  signal?: AbortSignal;
}

/** The options that concern the engine; they travel to the worker. */
export type EngineOptions = {
  [Option in "pageSize" | "journalSize" | "chunkSize" | "growth" | "cacheSize" | "lockTimeout" | "storage"]?: OpenOptions[Option] | undefined;
};
