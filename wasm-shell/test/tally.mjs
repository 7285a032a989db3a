// Counts checks; each set of them closes with `N passed, N failed`.
/** After so long a check has failed, in milliseconds; nothing but what hangs takes that long. */
export const LIMIT = Number(process.env.LIMIT ?? 300) * 1000;

export class Tally {
  passed = 0;
  failed = 0;
  constructor(name) {
    this.name = name;
  }

  async check(what, work) {
    const since = Date.now();
    try {
      await work();
      this.passed++;
      console.log(`${this.name}: ${what}: passed (${((Date.now() - since) / 1000).toFixed(1)} s)`);
    } catch (error) {
      this.failed++;
      console.log(`${this.name}: ${what}: FAILED: ${error?.message ?? error}`);
    }
  }

  finish() {
    console.log(`${this.name}: ${this.passed} passed, ${this.failed} failed`);
    return this.failed === 0 && this.passed > 0;
  }
}

/** Rejects if `work` has not ended in time. */
export async function limited(work, limit = LIMIT) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer after ${limit / 1000} s`)), limit);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

export function equal(found, expected, what = "value") {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: found ${a}, expected ${b}`);
}

export function ok(condition, what) {
  if (!condition) throw new Error(what);
}
