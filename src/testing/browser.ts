import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { chromium } from 'playwright-core';

/** Debian's package; nothing is downloaded. */
export const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
export const hasChromium = existsSync(CHROMIUM);
/** Ignored by git. */
const SHOTS = resolve(import.meta.dirname, '../../data/console-screenshots');
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

export async function launchBrowser(): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'];
  return chromium.launch({ executablePath: CHROMIUM, args: [...args, '--disable-sync'] });
}

export type WatchedPage = Readonly<{
  page: Page;
  /** What the page complained of: errors, warnings, violations of its policy. Empty for a page that is right. */
  complaints: string[];
  close(): Promise<void>;
}>;

export async function openWatchedPage(browser: Browser, options: BrowserContextOptions = {}): Promise<WatchedPage> {
  // Without motion: what is measured must not be half way between two colours.
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    colorScheme: 'dark',
    reducedMotion: 'reduce',
    ...options,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`exception: ${error.stack ?? error.message}`));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      // eslint-disable-next-line no-console -- the way out of the page
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return { page, complaints, close: () => context.close() };
}

/** For the README; written anew only when asked for, since no two moments of a market look alike. */
const README_SHOTS = resolve(import.meta.dirname, '../console/screenshots');

/** An artefact of the test; with `CONSOLE_SCREENSHOTS=update` those that the README shows are written there too. */
export async function screenshot(page: Page, name: string, inReadme = false): Promise<void> {
  const folders = inReadme && process.env['CONSOLE_SCREENSHOTS'] === 'update' ? [SHOTS, README_SHOTS] : [SHOTS];
  for (const folder of folders) {
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: `${folder}/${name}.png` });
  }
}

type AxeResult = { violations: { id: string; impact: string | null; nodes: { target: string[]; html: string }[] }[] };

/** What axe calls serious or worse, each with the first element that it found. */
export async function seriousAxeFindings(page: Page): Promise<string[]> {
  // Through the debugger, past the page's policy, which allows no foreign script.
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: readFileSync(AXE, 'utf8') });
  const { result } = await session.send('Runtime.evaluate', {
    expression: `axe.run(document, { resultTypes: ['violations'] }).then((found) => JSON.stringify({ violations: found.violations }))`,
    awaitPromise: true,
  });
  await session.detach();
  const { violations } = JSON.parse(String(result.value)) as AxeResult;
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id} (${nodes.length}): ${nodes[0]?.target.join(' ')} ${nodes[0]?.html}`);
}
