import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, launchBrowser, openWatchedPage, screenshot, seriousAxeFindings } from '../testing/browser.ts';
import type { WatchedPage } from '../testing/browser.ts';
import { startServerProcess } from '../testing/server-process.ts';
import type { ServerProcess } from '../testing/server-process.ts';
import { CONSOLE_BUNDLE, buildConsole, isStale } from './build.ts';

const FIRST_DATA_LIMIT_MS = 2_000;
const WAIT = { timeout: 30_000, interval: 100 };
/** One book of one venue says nothing for half of the time, and for longer each time than its silence may last. */
const SILENCE = 'silence kraken/book/BTC/USD at=15s for=35s every=70s';
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true } as const;

describe.skipIf(!hasChromium)('the console in a browser (skipped without Chromium, see CHROMIUM)', () => {
  let folder: string;
  let server: ServerProcess | undefined;
  let browser: Browser;
  let url: string;
  const open: WatchedPage[] = [];

  beforeAll(async () => {
    if (isStale(CONSOLE_BUNDLE)) await buildConsole(CONSOLE_BUNDLE);
    folder = mkdtempSync(join(tmpdir(), 'tidewire-console-'));
    // As root the database runs as another user, who has to get in.
    chmodSync(folder, 0o755);
    server = startServerProcess({ DATA_DIR: folder, RATE_LIMIT_PER_MINUTE: '1000', SANDBOX_FAULTS: SILENCE }, [
      '--demo',
    ]);
    const { port } = (await server.event('tidewire ready')) as { port: number };
    url = `http://127.0.0.1:${port}/`;
    browser = await launchBrowser();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()));
  });
  afterAll(async () => {
    await browser.close();
    // Not killed: the database that it started must end with it.
    server?.kill('SIGTERM');
    await server?.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  async function visit(hash = '', options: Parameters<typeof openWatchedPage>[1] = {}): Promise<WatchedPage> {
    const watched = await openWatchedPage(browser, options);
    open.push(watched);
    await watched.page.goto(url + hash);
    return watched;
  }

  const statusOf = (page: Page, panel: string) => page.locator(`[data-panel="${panel}"]`).getAttribute('data-status');
  const bestBid = (page: Page) => page.locator('.ladder-side.bids .rung .price').first().textContent();
  const journal = (page: Page) => page.locator('.journal').textContent();

  async function expectBookAgreesWithRest(page: Page): Promise<void> {
    await expect
      .poll(async () => {
        await page.getByRole('button', { name: 'Compare the book with REST' }).click();
        await page.waitForSelector('button.primary:not(:disabled)');
        return page.getByTestId('verdict').textContent();
      }, WAIT)
      .toMatch(/^agrees: same book at #\d+/);
  }

  // A machine that is busy with other things may need another try; a page that is slow fails them all.
  it('has a price and a book on the screen within two seconds of being opened', { retry: 3 }, async () => {
    const { page } = await visit();
    await page.waitForFunction(() => document.querySelector('.ladder-side.bids .price')?.textContent);
    const shownAtMs = await page.evaluate(() => performance.now());
    await expect.poll(() => page.getByTestId('last-price').textContent(), WAIT).toMatch(/^[\d,.]+$/);
    expect(shownAtMs).toBeLessThan(FIRST_DATA_LIMIT_MS);
  });

  it('shows every panel live and moving, says where the data is from, and complains of nothing', async () => {
    const { page, complaints } = await visit();
    for (const panel of ['chart', 'book', 'tape']) {
      await expect.poll(() => statusOf(page, panel), { ...WAIT, message: panel }).toBe('live');
    }
    for (const panel of ['chart', 'book', 'tape']) {
      await expect.poll(() => page.locator(`[data-panel="${panel}"] .source`).textContent(), WAIT).toBe('simulation');
    }
    const before = await bestBid(page);
    await expect.poll(() => bestBid(page), WAIT).not.toBe(before);
    const trades = page.locator('.tape .print:not(.head)');
    await expect.poll(() => trades.count(), WAIT).toBeGreaterThan(5);
    const newest = await page.locator('.tape').textContent();
    await expect.poll(() => page.locator('.tape').textContent(), WAIT).not.toBe(newest);
    await expect.poll(() => page.locator('[data-proof="checksum"]').textContent(), WAIT).toMatch(/✓ [0-9a-f]{8}/);
    await expect.poll(() => page.locator('.best-row').count(), WAIT).toBeGreaterThan(0);
    expect(await page.locator('.chart-host canvas').count()).toBeGreaterThan(3);
    await screenshot(page, 'market-dark', true);
    expect(complaints).toEqual([]);
  });

  it('never lets a bid cross an ask on the ladder, also in steps', async () => {
    const { page } = await visit();
    const prices = async (side: string) =>
      (await page.locator(`.ladder-side.${side} .rung .price`).allTextContents()).filter(Boolean).map(Number);
    const grouping = page.getByLabel('Group prices by');
    await expect.poll(() => grouping.locator('option').count(), WAIT).toBeGreaterThan(3);
    for (const index of [0, 1, 3]) {
      await grouping.selectOption({ index });
      await expect.poll(() => statusOf(page, 'book'), WAIT).toBe('live');
      await expect.poll(async () => (await prices('bids')).length, WAIT).toBeGreaterThan(3);
      const [asks, bids] = [(await prices('asks')).toReversed(), await prices('bids')];
      expect(asks).toEqual(asks.toSorted((left, right) => left - right));
      expect(bids).toEqual(bids.toSorted((left, right) => right - left));
    }
  });

  it('finds a market by the keyboard alone, and shows another timeframe', async () => {
    const { page, complaints } = await visit();
    await expect.poll(() => page.locator('.picker-list a').count(), WAIT).toBeGreaterThan(3);
    await page.keyboard.press('/');
    await page.keyboard.type('ETH/USD');
    await expect.poll(() => page.locator('.picker-list').textContent(), WAIT).not.toContain('BTC');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.locator('.market-head h1').textContent(), WAIT).toContain('ETH/');
    await page.getByRole('button', { name: '5m', exact: true }).click();
    await expect.poll(() => statusOf(page, 'chart'), WAIT).toBe('live');
    await page.keyboard.press('/');
    await page.keyboard.type('no such thing');
    await expect.poll(() => page.locator('.picker').textContent(), WAIT).toContain('Nothing is listed');
    expect(complaints).toEqual([]);
  });

  it('a message that is thrown away is noticed, fetched, and the book is right again', async () => {
    const { page } = await visit('#/trust');
    await expect.poll(() => statusOf(page, 'book'), WAIT).toBe('live');
    await page.getByRole('button', { name: 'Skip a book message' }).click();
    await expect.poll(() => journal(page), WAIT).toMatch(/expected message \d+, got \d+/);
    await expect.poll(() => journal(page), WAIT).toMatch(/live again after \d+ ms.*thrown away by hand/);
    await expect.poll(() => page.getByTestId('connection-facts').textContent(), WAIT).toMatch(/Gaps found1/);
    await expectBookAgreesWithRest(page);
    await screenshot(page, 'trust-dark', true);
  });

  it('a cut connection dims everything, says so, comes back by itself and resumes without loss', async () => {
    const { page, complaints } = await visit('#/trust');
    await expect.poll(() => statusOf(page, 'book'), WAIT).toBe('live');
    await page.getByRole('button', { name: 'Cut it for 8 s' }).click();
    const banner = page.getByTestId('offline-banner');
    await expect.poll(() => banner.count(), WAIT).toBe(1);
    expect(await statusOf(page, 'book')).toBe('disconnected');
    expect(await banner.textContent()).toMatch(/cut by hand.*Trying again by itself/);
    expect(await page.locator('.chip').first().getAttribute('data-status')).toBe('disconnected');
    await screenshot(page, 'offline-dark');
    await expect.poll(() => banner.count(), WAIT).toBe(0);
    await expect.poll(() => statusOf(page, 'book'), WAIT).toBe('live');
    await expect
      .poll(() => page.getByTestId('connection-facts').textContent(), WAIT)
      .toMatch(/Resumed without loss[1-9]/);
    await expectBookAgreesWithRest(page);
    expect(complaints).toEqual([]);
  });

  it('a source that goes silent is dimmed and told of, and nothing else is; it is live again when the source is', async () => {
    const { page } = await visit('#/market/kraken/BTC%2FUSD');
    const patience = { timeout: 100_000, interval: 50 };
    await expect.poll(() => statusOf(page, 'book'), patience).toBe('live');
    // All at one moment: the doubt may be over a moment later.
    const look = () =>
      page.evaluate(() => {
        const panel = document.querySelector('.panel-book')!;
        const opacity = Number(getComputedStyle(panel.querySelector('.ladder-host')!).opacity);
        const others = document.querySelectorAll('.panel-tape:not([data-status=live]), [data-testid=offline-banner]');
        return [
          panel.getAttribute('data-status'),
          panel.querySelector('.doubt')?.textContent ?? '',
          opacity < 0.6 ? 'dimmed' : 'bright',
          others.length,
        ].join(' | ');
      });
    await expect
      .poll(look, patience)
      .toMatch(/^(?:stale|resyncing|down) \| [A-Z][a-z ]+ since \d\d:\d\d:\d\d: \w.* \| dimmed \| 0$/);
    await screenshot(page, 'stale-dark');
    await expect.poll(() => statusOf(page, 'book'), patience).toBe('live');
    expect(await page.locator('.panel-book .doubt').count()).toBe(0);
  });

  it.each(['#/market', '#/wall', '#/trust'])('%s fits a phone of 360 px, in light colours as well', async (hash) => {
    const { page } = await visit(hash, { ...PHONE, colorScheme: 'light' });
    await expect.poll(() => page.locator('.ladder .price').first().textContent(), WAIT).toMatch(/\d/);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    await screenshot(page, `phone-${hash.slice(2)}-light`, hash === '#/market');
  });

  it.each([
    ['#/market', 'dark'],
    ['#/market', 'light'],
    ['#/wall', 'dark'],
    ['#/trust', 'light'],
  ] as const)('axe finds nothing serious on %s, %s', async (hash, colorScheme) => {
    const { page } = await visit(hash, { colorScheme });
    await expect.poll(() => page.locator('.ladder .price').first().textContent(), WAIT).toMatch(/\d/);
    expect(await seriousAxeFindings(page)).toEqual([]);
  });

  it('links to what it is built on, and everything there is', async () => {
    const { page } = await visit();
    const links = await page
      .locator('footer.site a')
      .evaluateAll((all) => all.map((each) => each.getAttribute('href')));
    expect(links).toEqual(['/docs', '/docs/streams', '/openapi.json', '/asyncapi.json']);
    for (const link of links) expect((await fetch(new URL(link!, url))).status, link!).toBe(200);
  });
});
