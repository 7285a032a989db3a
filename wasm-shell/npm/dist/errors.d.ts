/** What went wrong, for programs to decide by. */
export type ErrorCode = "Locked" | "Quota" | "Corrupt" | "NotABlockyard" | "Unsupported" | "Closed" | "Aborted" | "Conflict" | "NotFound" | "Invalid" | "Io";
/** The base of every error of this package. */
export declare class BlockyardError extends Error {
    /** What went wrong. */
    readonly code: ErrorCode;
    /** Name of the exception that the browser threw, if one is behind this. */
    readonly causeName: string | undefined;
    constructor(code: ErrorCode, message: string, causeName?: string);
}
declare const LockedError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Locked";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** Another page or program holds the file and does not share it. */
export declare class LockedError extends LockedError_base {
}
declare const QuotaError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Quota";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** The device or the origin's quota is full. Nothing was changed; deleting blocks helps. */
export declare class QuotaError extends QuotaError_base {
}
declare const CorruptError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Corrupt";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** Bytes in the file are not what was written there. Other blocks stay readable. */
export declare class CorruptError extends CorruptError_base {
}
declare const NotABlockyardError_base: {
    new (message: string, causeName?: string): {
        readonly code: "NotABlockyard";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** The file was not made by Blockyard, or by a version that this one cannot read. */
export declare class NotABlockyardError extends NotABlockyardError_base {
}
declare const UnsupportedError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Unsupported";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** This browser or context cannot keep files. The message says what to do. */
export declare class UnsupportedError extends UnsupportedError_base {
}
declare const ClosedError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Closed";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** The yard was closed or destroyed, or its file was taken away. */
export declare class ClosedError extends ClosedError_base {
}
declare const AbortedError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Aborted";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** The operation was given up; by a signal, or because the tab that carried it out went away. */
export declare class AbortedError extends AbortedError_base {
}
declare const ConflictError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Conflict";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** A block that a transaction has read was changed meanwhile, more often than it was tried again. */
export declare class ConflictError extends ConflictError_base {
}
declare const NotFoundError_base: {
    new (message: string, causeName?: string): {
        readonly code: "NotFound";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** There is no block of this name. */
export declare class NotFoundError extends NotFoundError_base {
}
declare const InvalidError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Invalid";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** The arguments cannot be. */
export declare class InvalidError extends InvalidError_base {
}
declare const IoError_base: {
    new (message: string, causeName?: string): {
        readonly code: "Io";
        name: string;
        message: string;
        stack?: string;
        cause?: unknown;
        /** Name of the exception that the browser threw, if one is behind this. */
        readonly causeName: string | undefined;
    };
    captureStackTrace(targetObject: object, constructorOpt?: Function): void;
    prepareStackTrace(err: Error, stackTraces: NodeJS.CallSite[]): any;
    stackTraceLimit: number;
};
/** The device failed. Nothing is known of the commit; the file was opened anew. */
export declare class IoError extends IoError_base {
}
/** An error as it travels between threads and tabs. */
export interface WireError {
    code: ErrorCode;
    message: string;
    causeName?: string | undefined;
}
export declare function make({ code, message, causeName }: WireError): BlockyardError;
/** Anything thrown, as an error of this package. Decides by codes and names, never by text. */
export declare function wrap(thrown: unknown): BlockyardError;
export declare function wire(thrown: unknown): WireError;
export {};
