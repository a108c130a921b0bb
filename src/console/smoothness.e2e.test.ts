import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, launchBrowser, openWatchedPage } from '../testing/browser.ts';
import { CAPTURES_DIR } from '../testing/captures.ts';
import { startServerProcess } from '../testing/server-process.ts';
import type { ServerProcess } from '../testing/server-process.ts';
import { CONSOLE_BUNDLE, buildConsole, isStale } from './build.ts';

const MAIN_THREAD_LIMIT_MS_PER_S = 300;
const SETTLE_MS = 5_000;
const MEASURE_MS = 10_000;
/** Minutes that the page stays open between the two looks at its memory; CI has one, a release ten. */
const MEMORY_MINUTES = Number(process.env['CONSOLE_MEMORY_MINUTES'] ?? 1);
const HEAP_GROWTH_LIMIT_BYTES = 1_500_000;
const NODE_GROWTH_LIMIT = 200;

/** Ten markets of one venue at ten times the pace; the simulation has one pace only, and stands in where there are no recordings. */
const RECORDING = resolve(CAPTURES_DIR, 'binance/spot-2021-04-05');
const recorded = existsSync(RECORDING);
const market: Readonly<Record<string, string>> = recorded ? { REPLAY_DIR: RECORDING, REPLAY_SPEED: '10' } : {};

type Metrics = Readonly<Record<'TaskDuration' | 'JSHeapUsedSize' | 'Nodes', number>>;

const PACE = recorded ? 'at ten times the speed' : `at the pace of the simulation (no recording in ${RECORDING})`;

describe.skipIf(!hasChromium)(`four books and four tapes ${PACE} (skipped without Chromium)`, () => {
  let folder: string;
  let server: ServerProcess | undefined;
  let browser: Browser;
  let page: Page;
  let session: CDPSession;

  beforeAll(async () => {
    if (isStale(CONSOLE_BUNDLE)) await buildConsole(CONSOLE_BUNDLE);
    folder = mkdtempSync(join(tmpdir(), 'tidewire-console-'));
    chmodSync(folder, 0o755);
    server = startServerProcess({ DATA_DIR: folder, ...market }, ['--demo']);
    const { port } = (await server.event('tidewire ready')) as { port: number };
    browser = await launchBrowser();
    ({ page } = await openWatchedPage(browser, { viewport: { width: 1920, height: 1080 } }));
    await page.goto(`http://127.0.0.1:${port}/#/wall`);
    const live = () => document.querySelectorAll('.wall-cell .panel[data-status=live]').length === 8;
    await page.waitForFunction(live, undefined, { timeout: 60_000 });
    session = await page.context().newCDPSession(page);
    // The thread's own clock: what others do on this machine is not this page's cost.
    await session.send('Performance.enable', { timeDomain: 'threadTicks' });
    await page.waitForTimeout(SETTLE_MS);
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    server?.kill('SIGTERM');
    await server?.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  async function metrics(): Promise<Metrics> {
    await session.send('HeapProfiler.collectGarbage');
    const { metrics: found } = await session.send('Performance.getMetrics');
    return Object.fromEntries(found.map(({ name, value }) => [name, value])) as Metrics;
  }

  it('leave the main thread more than two thirds of its time', { retry: 2 }, async () => {
    const before = await metrics();
    const startedMs = performance.now();
    await page.waitForTimeout(MEASURE_MS);
    const after = await metrics();
    const msPerSecond = ((after.TaskDuration - before.TaskDuration) * 1_000_000) / (performance.now() - startedMs);
    console.log(`main thread: ${msPerSecond.toFixed(0)} ms a second`);
    expect(msPerSecond).toBeLessThan(MAIN_THREAD_LIMIT_MS_PER_S);
  });

  it('do not make the page grow', { timeout: (MEMORY_MINUTES + 2) * 60_000 }, async () => {
    const before = await metrics();
    await page.waitForTimeout(MEMORY_MINUTES * 60_000);
    const after = await metrics();
    const growth = after.JSHeapUsedSize - before.JSHeapUsedSize;
    console.log(
      `heap: ${(before.JSHeapUsedSize / 1e6).toFixed(2)} MB, after ${MEMORY_MINUTES} min ${(after.JSHeapUsedSize / 1e6).toFixed(2)} MB; nodes ${before.Nodes}, then ${after.Nodes}`,
    );
    expect(growth).toBeLessThan(HEAP_GROWTH_LIMIT_BYTES);
    expect(after.Nodes - before.Nodes).toBeLessThan(NODE_GROWTH_LIMIT);
    expect(await page.locator('.wall-cell .panel[data-status=live]').count()).toBe(8);
  });
});
