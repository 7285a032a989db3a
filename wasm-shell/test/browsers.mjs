// The browsers, each with a fresh profile on disk: a private window's files are in memory.
import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];

/** Whoever asks to persist is answered without a person. */
const ANSWERED = { "dom.storageManager.prompt.testing": true, "dom.storageManager.prompt.testing.allow": true };

const KINDS = {
  chromium: { browser: "chrome", programs: ["/usr/bin/chromium", "/usr/bin/google-chrome"], args: FLAGS },
  firefox: { browser: "firefox", programs: ["/usr/bin/firefox-esr", "/usr/bin/firefox"], args: [] },
};

export const NAMES = Object.keys(KINDS);

export async function launch(name, preferences = {}) {
  const { browser, programs, args } = KINDS[name];
  const executablePath = process.env[name.toUpperCase()] ?? programs.find(existsSync);
  if (!executablePath) throw new Error(`${name} is not there; on Debian: apt-get install chromium firefox-esr`);
  return puppeteer.launch({
    browser, executablePath, headless: true, args, protocolTimeout: 700_000,
    // A machine that does other work besides takes its time.
    timeout: 120_000,
    ...(browser === "firefox" && { extraPrefsFirefox: { ...ANSWERED, ...preferences } }),
  });
}
