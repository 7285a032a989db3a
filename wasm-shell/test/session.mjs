// A browser for many checks. One that dies by itself is no fault of the package's: it is told, a new one is
// started, and the check that it died in is made again, once.

import { limited } from "./tally.mjs";

/** Milliseconds in which a browser that lives opens a page, however busy the machine. */
const ALIVE = 60_000;
const CLOSE = 30_000;

const after = (limit, value) => new Promise((resolve) => setTimeout(resolve, limit, value));

export class Session {
  #name;
  #launch;
  #preferences;
  #pages = new Set();
  /** How often a browser died. */
  losses = 0;

  constructor(name, launch) {
    this.#name = name;
    this.#launch = launch;
  }

  /** Starts a browser with a fresh profile, in place of the one that is there. */
  async start(preferences = {}) {
    await this.close();
    this.#preferences = preferences;
    try {
      this.browser = await this.#launch(this.#name, preferences);
    } catch (error) {
      console.log(`${this.#name}: did not start, is started once more: ${error.message}`);
      this.browser = await this.#launch(this.#name, preferences);
    }
  }

  /** Opens a page of the browser; `tidy` closes it. */
  async page() {
    const page = await this.browser.newPage();
    this.#pages.add(page);
    page.once("close", () => this.#pages.delete(page));
    page.setDefaultTimeout(120_000);
    page.on("pageerror", (error) => console.log(`${this.#name}: page: ${error}`));
    return page;
  }

  /** Closes the pages that a check left open. */
  async tidy() {
    const pages = [...this.#pages];
    this.#pages.clear();
    await Promise.race([Promise.allSettled(pages.map((page) => page.close())), after(CLOSE)]);
  }

  /** Whether the browser has ended, which takes a moment to show, or does not even open a page. */
  async isLost() {
    const { browser } = this;
    const ended = () => {
      const process = browser.process();
      return !browser.connected || process.exitCode !== null || process.signalCode !== null;
    };
    for (let tries = 0; tries < 30; tries++) {
      if (ended()) return true;
      await after(100);
    }
    const opened = browser.newPage().then((page) => page.evaluate("1").then(() => page.close()));
    return Promise.race([opened.then(() => false, () => true), after(ALIVE, true)]);
  }

  /** Makes a check's work; once more in a new browser if this one died meanwhile. */
  async survive(work, limit) {
    try {
      await limited(work, limit);
    } catch (error) {
      if (!(await this.isLost())) throw error;
      this.losses++;
      console.log(`${this.#name}: THE BROWSER DIED (${error?.message ?? error}); the check is made again in a new one`);
      await this.start(this.#preferences);
      await limited(work, limit).catch(async (error) => {
        if (await this.isLost()) throw new Error(`the browser died a second time: ${error?.message ?? error}`);
        throw error;
      });
    } finally {
      await this.tidy();
    }
  }

  async close() {
    const { browser } = this;
    if (!browser) return;
    this.browser = undefined;
    this.#pages.clear();
    await Promise.race([browser.close().catch(() => {}), after(CLOSE)]);
    // Harmless where it has ended.
    browser.process()?.kill("SIGKILL");
  }
}
