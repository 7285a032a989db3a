/**
 * Who has a file, under Node, which has no locks of files: a folder beside it, in which everybody who wants it has a file.
 *
 * 1. That file is named by its process, the number under which this has it open, and letters at random. No name comes
 *    again, so whoever meets one that nobody has open any more may remove it, however late.
 * 2. Whoever wants the file makes its own first and looks for others then: of two, one at least sees the other, and lets go.
 * 3. Whether somebody has it open the system knows: a process that was killed has nothing open, and one that was given its
 *    number since, even this one, has something else there.
 */
import { LockedError } from "./errors.js";

export type Fs = typeof import("node:fs");

const codeOf = (error: unknown) => (error as { code?: string }).code;

/** Whether a process of this number is there. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/** Whether process `pid` has the file at `path` open under this number. */
function holds(fs: Fs, path: string, pid: number, number: number): boolean {
  const own = pid === process.pid;
  if (!own && !alive(pid)) return false;
  try {
    const open = own ? fs.fstatSync(number, { bigint: true }) : fs.statSync(`/proc/${pid}/fd/${number}`, { bigint: true });
    const { dev, ino } = fs.statSync(path, { bigint: true });
    return open.dev === dev && open.ino === ino;
  } catch (error) {
    // Of another process not every system tells, and not to everybody.
    return !own && fs.existsSync(path) && !(codeOf(error) === "ENOENT" && fs.existsSync(`/proc/${pid}`));
  }
}

/** A lock of builds before this one: a file that holds the process's number. */
function dropFormer(fs: Fs, path: string): void {
  try {
    const holder = Number(fs.readFileSync(path, "utf8"));
    if (holder && holder !== process.pid && alive(holder)) throw locked(path, holder);
    fs.unlinkSync(path);
  } catch (error) {
    if (error instanceof LockedError) throw error;
    // Somebody else was quicker.
  }
}

const locked = (folder: string, pid: number) =>
  new LockedError(`process ${pid} has this file (${folder} names it); close it there and try again`);

/** A new file in the folder, and the number under which it is open. */
function enter(fs: Fs, folder: string, name: string): number {
  for (let tries = 1; ; tries++) {
    try {
      fs.mkdirSync(folder, { recursive: true });
      return fs.openSync(`${folder}/${name}`, "wx");
    } catch (error) {
      const code = codeOf(error);
      // The last one to let go removes the folder.
      if (tries > 9 || (code !== "ENOENT" && code !== "EEXIST" && code !== "ENOTDIR")) throw error;
      if (code !== "ENOENT") dropFormer(fs, folder);
    }
  }
}

/** Takes the lock that this folder is; returns what lets it go. */
export function lock(fs: Fs, folder: string): () => void {
  const { pid } = process;
  const letters = crypto.randomUUID().slice(0, 13);
  let name = `${pid}-new-${letters}`;
  const number = enter(fs, folder, name);
  const release = () => {
    fs.closeSync(number);
    fs.rmSync(`${folder}/${name}`, { force: true });
    try {
      fs.rmdirSync(folder);
    } catch {
      // Somebody else is in it.
    }
  };
  try {
    const known = `${pid}-${number}-${letters}`;
    fs.renameSync(`${folder}/${name}`, `${folder}/${known}`);
    name = known;
    for (const other of fs.readdirSync(folder)) {
      const [, its, opened] = /^(\d+)-(new|\d+)-/.exec(other) ?? [];
      if (other === name || !its) continue;
      // What is not known by its number yet comes to look for us.
      const [pid, isNew] = [Number(its), opened === "new"];
      if (!(isNew ? alive(pid) : holds(fs, `${folder}/${other}`, pid, Number(opened)))) {
        fs.rmSync(`${folder}/${other}`, { force: true });
      } else if (!isNew) throw locked(folder, pid);
    }
    return release;
  } catch (error) {
    release();
    throw error;
  }
}
