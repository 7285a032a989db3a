/** What went wrong, for programs to decide by. */
export type ErrorCode =
  | "Locked"
  | "Quota"
  | "Corrupt"
  | "NotABlockyard"
  | "Unsupported"
  | "Closed"
  | "Aborted"
  | "Conflict"
  | "NotFound"
  | "Invalid"
  | "Io";

/** The base of every error of this package. */
export class BlockyardError extends Error {
  /** What went wrong. */
  readonly code: ErrorCode;
  /** Name of the exception that the browser threw, if one is behind this. */
  readonly causeName: string | undefined;

  constructor(code: ErrorCode, message: string, causeName?: string) {
    super(message);
    this.code = code;
    this.causeName = causeName;
    this.name = code + "Error";
  }
}

const kind = <C extends ErrorCode>(code: C) =>
  class extends BlockyardError {
    declare readonly code: C;
    constructor(message: string, causeName?: string) {
      super(code, message, causeName);
    }
  };

/** Another page or program holds the file and does not share it. */
export class LockedError extends kind("Locked") {}
/** The device or the origin's quota is full. Nothing was changed; deleting blocks helps. */
export class QuotaError extends kind("Quota") {}
/** Bytes in the file are not what was written there. Other blocks stay readable. */
export class CorruptError extends kind("Corrupt") {}
/** The file was not made by Blockyard, or by a version that this one cannot read. */
export class NotABlockyardError extends kind("NotABlockyard") {}
/** This browser or context cannot keep files. The message says what to do. */
export class UnsupportedError extends kind("Unsupported") {}
/** The yard was closed or destroyed, or its file was taken away. */
export class ClosedError extends kind("Closed") {}
/** The operation was given up; by a signal, or because the tab that carried it out went away. */
export class AbortedError extends kind("Aborted") {}
/** A block that a transaction has read was changed meanwhile, more often than it was tried again. */
export class ConflictError extends kind("Conflict") {}
/** There is no block of this name. */
export class NotFoundError extends kind("NotFound") {}
/** The arguments cannot be. */
export class InvalidError extends kind("Invalid") {}
/** The device failed, or was full too late. Nothing is known of the commit; the file was opened anew. */
export class IoError extends kind("Io") {}

const CLASSES: Record<ErrorCode, new (message: string, causeName?: string) => BlockyardError> = {
  Locked: LockedError,
  Quota: QuotaError,
  Corrupt: CorruptError,
  NotABlockyard: NotABlockyardError,
  Unsupported: UnsupportedError,
  Closed: ClosedError,
  Aborted: AbortedError,
  Conflict: ConflictError,
  NotFound: NotFoundError,
  Invalid: InvalidError,
  Io: IoError,
};

/** Exceptions of the platform, by name. */
const NAMES: Record<string, ErrorCode> = {
  QuotaExceededError: "Quota",
  NS_ERROR_FILE_NO_DEVICE_SPACE: "Quota",
  NoModificationAllowedError: "Locked",
  InvalidStateError: "Closed",
  NotFoundError: "Closed",
  SecurityError: "Unsupported",
  NotAllowedError: "Unsupported",
  NotSupportedError: "Unsupported",
  AbortError: "Aborted",
  TypeError: "Invalid",
  RangeError: "Invalid",
};

/** An error as it travels between threads and tabs. */
export interface WireError {
  code: ErrorCode;
  message: string;
  causeName?: string | undefined;
}

export function make({ code, message, causeName }: WireError): BlockyardError {
  return new (CLASSES[code] ?? IoError)(message, causeName);
}

/** Anything thrown, as an error of this package. Decides by codes and names, never by text. */
export function wrap(thrown: unknown): BlockyardError {
  if (thrown instanceof BlockyardError) return thrown;
  let { code, name, message = String(thrown), causeName } = (thrown ?? {}) as {
    code?: unknown;
    name?: string;
    message?: string;
    causeName?: string;
  };
  // As the module throws it.
  if (Array.isArray(thrown)) [code, message, causeName] = thrown;
  let known = typeof code === "string" && code in CLASSES ? (code as ErrorCode) : NAMES[name ?? ""] ?? "Io";
  // A handle that was closed or whose file was removed under it. What was full in the midst of a commit is not all that is known.
  if (known === "Io" && causeName && NAMES[causeName] !== "Quota") known = NAMES[causeName] ?? known;
  return make({ code: known, message, causeName: causeName ?? (code === known ? undefined : name) });
}

export function wire(thrown: unknown): WireError {
  const { code, message, causeName } = wrap(thrown);
  return { code, message, causeName };
}
