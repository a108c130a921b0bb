import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'otplib';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, launchBrowser, openWatchedPage, screenshot, seriousAxeFindings } from '../testing/browser.ts';
import type { WatchedPage } from '../testing/browser.ts';
import { startServerProcess } from '../testing/server-process.ts';
import type { ServerProcess } from '../testing/server-process.ts';
import { CONSOLE_BUNDLE, buildConsole, isStale } from './build.ts';

const WAIT = { timeout: 30_000, interval: 100 };
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true } as const;
const PASSWORD = 'correct horse battery staple';
const MARKET = '#/trade/binance/BTC%2FUSDT';

describe.skipIf(!hasChromium)('trading in a browser (skipped without Chromium, see CHROMIUM)', () => {
  let folder: string;
  let server: ServerProcess | undefined;
  let browser: Browser;
  let url: string;
  let users = 0;
  const open: WatchedPage[] = [];

  beforeAll(async () => {
    if (isStale(CONSOLE_BUNDLE)) await buildConsole(CONSOLE_BUNDLE);
    folder = mkdtempSync(join(tmpdir(), 'tidewire-console-'));
    // As root the database runs as another user, who has to get in.
    chmodSync(folder, 0o755);
    const rates = {
      RATE_LIMIT_PER_MINUTE: '5000',
      RATE_LIMIT_TRADING_PER_MINUTE: '1000',
      RATE_LIMIT_AUTH_PER_MINUTE: '200',
    };
    server = startServerProcess({ DATA_DIR: folder, ...rates }, ['--demo']);
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

  async function visit(hash: string, options: Parameters<typeof openWatchedPage>[1] = {}): Promise<WatchedPage> {
    const watched = await openWatchedPage(browser, options);
    open.push(watched);
    await watched.page.goto(url + hash);
    return watched;
  }

  async function signUp(page: Page): Promise<string> {
    const email = `user${(users += 1)}@example.com`;
    await page.fill('[name=email]', email);
    await page.fill('[name=password]', PASSWORD);
    await page.getByRole('button', { name: 'Sign up and get paper money' }).click();
    await page.waitForSelector('.ticket');
    await expect.poll(() => statusOf(page, 'balances'), WAIT).toBe('live');
    await expect.poll(() => balance(page, 'USDT', 'total'), WAIT).toBeGreaterThan(0);
    return email;
  }

  const statusOf = (page: Page, panel: string) => page.locator(`[data-panel="${panel}"]`).getAttribute('data-status');
  const textOf = (page: Page, panel: string) => page.locator(`[data-panel="${panel}"]`).textContent();
  const rowsOf = (page: Page, panel: string) => page.locator(`[data-panel="${panel}"] tbody tr`).count();
  const COLUMNS = { available: 0, held: 1, total: 2 };
  async function balance(page: Page, asset: string, column: keyof typeof COLUMNS): Promise<number> {
    const cells = await page.locator(`[data-asset="PAPER:${asset}"] td`).allTextContents();
    return Number((cells[COLUMNS[column]] ?? '0').replaceAll(',', ''));
  }
  const ticket = (page: Page) => page.locator('.ticket');
  const type = (page: Page, kind: string) => ticket(page).locator('[name=kind]').selectOption(kind);
  const fill = (page: Page, field: string, text: string) => ticket(page).locator(`[name=${field}]`).fill(text);
  const bestBid = async (page: Page) =>
    Number(await page.locator('.ladder-side.bids .rung .price').first().textContent());

  it('a newcomer signs up, sees exactly what an order would do, places it, and it fills live on every panel', async () => {
    const { page, complaints } = await visit(MARKET);
    await signUp(page);
    const before = await balance(page, 'USDT', 'total');
    await fill(page, 'quantity', '0.25');
    const quote = page.getByTestId('quote');
    await expect.poll(() => quote.textContent(), WAIT).toMatch(/You receive0\.24975 BTC.*Would fill at once/);
    await ticket(page).getByRole('button', { name: 'Buy BTC' }).click();
    await expect.poll(() => rowsOf(page, 'fills'), WAIT).toBeGreaterThan(0);
    await expect.poll(() => balance(page, 'BTC', 'total'), WAIT).toBe(0.24975);
    expect(await balance(page, 'USDT', 'total')).toBeLessThan(before);
    expect(await balance(page, 'USDT', 'held')).toBe(0);
    await expect.poll(() => textOf(page, 'history'), WAIT).toMatch(/buy Market.*filled/);
    await expect.poll(() => ticket(page).locator('.done').textContent(), WAIT).toBe('Order filled');
    await expect.poll(() => textOf(page, 'positions'), WAIT).toContain('0.24975');
    await expect.poll(() => textOf(page, 'equity'), WAIT).toMatch(/Fills[1-9]/);
    expect(await textOf(page, 'fills')).toMatch(/#\d+, \d+ ms old, \d+ ms delay/);
    await screenshot(page, 'trade-dark', true);
    expect(complaints).toEqual([]);
  });

  it('a waiting order holds money that is explained, can be changed and cancelled, and gives all of it back', async () => {
    const { page } = await visit(MARKET);
    await signUp(page);
    const before = await balance(page, 'USDT', 'available');
    await type(page, 'limit');
    await fill(page, 'quantity', '0.5');
    await fill(page, 'price', '30000');
    await ticket(page).getByRole('button', { name: 'Buy BTC' }).click();
    await expect.poll(() => rowsOf(page, 'open-orders'), WAIT).toBe(1);
    await expect.poll(() => balance(page, 'USDT', 'held'), WAIT).toBe(15_000);
    await page.getByRole('button', { name: 'Where is my money?' }).click();
    await expect
      .poll(() => page.getByTestId('holds').textContent(), WAIT)
      .toMatch(/15,000 USDT.*Every held unit is explained/);
    const orders = page.locator('[data-panel="open-orders"]');
    await orders.getByRole('button', { name: 'Change' }).click();
    await orders.locator('.amend [name=price]').fill('31000');
    await orders.getByRole('button', { name: 'Change the order' }).click();
    await expect.poll(() => balance(page, 'USDT', 'held'), WAIT).toBe(15_500);
    await orders.getByRole('button', { name: 'Cancel', exact: true }).click();
    await expect.poll(() => textOf(page, 'open-orders'), WAIT).toContain('No open orders');
    await expect.poll(() => balance(page, 'USDT', 'available'), WAIT).toBe(before);
    await expect.poll(() => page.getByTestId('holds').textContent(), WAIT).toContain('Nothing is held');
  });

  it('takes every type of order there is', async () => {
    const { page, complaints } = await visit(MARKET);
    await signUp(page);
    await fill(page, 'quantity', '1');
    await ticket(page).getByRole('button', { name: 'Buy BTC' }).click();
    await expect.poll(() => balance(page, 'BTC', 'total'), WAIT).toBeGreaterThan(0.9);
    const bid = await bestBid(page);
    const at = (share: number) => String(Math.round(bid * share));
    const orders: readonly [string, Record<string, string>, 'Buy' | 'Sell', number][] = [
      ['limit', { price: at(0.7) }, 'Buy', 1],
      ['stop', { stopPrice: at(0.7) }, 'Sell', 1],
      ['stop_limit', { stopPrice: at(0.71), price: at(0.7) }, 'Sell', 1],
      ['take_profit', { stopPrice: at(1.3) }, 'Sell', 1],
      ['take_profit_limit', { stopPrice: at(1.3), price: at(1.29) }, 'Sell', 1],
      ['trailing_stop', { trailingPercent: '20' }, 'Sell', 1],
      ['oco', { price: at(1.3), stopPrice: at(0.7) }, 'Sell', 2],
      ['bracket', { takeProfit: at(1.3), stopPrice: at(0.7) }, 'Buy', 2],
    ];
    let expected = 0;
    for (const [kind, fields, side, count] of orders) {
      await type(page, kind);
      await ticket(page).locator('.side-choice').getByText(side).click();
      await fill(page, 'quantity', '0.01');
      for (const [field, text] of Object.entries(fields)) await fill(page, field, text);
      await ticket(page)
        .getByRole('button', { name: `${side} BTC` })
        .click();
      expected += count;
      await expect
        .poll(
          async () =>
            `${await rowsOf(page, 'open-orders')} ${(await ticket(page).locator('.problem').allTextContents()).join()}`,
          {
            ...WAIT,
            message: kind,
          },
        )
        .toMatch(new RegExp(`^${expected} `));
    }
    await page.getByRole('button', { name: 'Cancel all' }).click();
    await expect.poll(() => textOf(page, 'open-orders'), WAIT).toContain('No open orders');
    await expect.poll(() => balance(page, 'USDT', 'held'), WAIT).toBe(0);
    await expect.poll(() => balance(page, 'BTC', 'held'), WAIT).toBe(0);
    expect(complaints).toEqual([]);
  });

  it('is placed by the keyboard alone, and what was typed last is what is sent', async () => {
    const { page } = await visit(MARKET);
    await signUp(page);
    await ticket(page).locator('input[value=buy]').focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Tab');
    await page.keyboard.type('Limit');
    await page.keyboard.press('Tab');
    await page.keyboard.type('0.02');
    await page.keyboard.press('Tab');
    // No pause before Enter: a form that is one key behind would send 3000.
    await page.keyboard.type('30000');
    await page.keyboard.press('Enter');
    await expect.poll(() => textOf(page, 'open-orders'), WAIT).toMatch(/buy Limit.*0 \/ 0\.02.*30,000/);
    await page.getByRole('button', { name: 'Cancel', exact: true }).focus();
    await page.keyboard.press('Enter');
    await expect.poll(() => textOf(page, 'open-orders'), WAIT).toContain('No open orders');
  });

  it('says what is wrong with an order, before it is sent and when it is refused', async () => {
    const { page } = await visit(MARKET);
    await signUp(page);
    await fill(page, 'quantity', '1,5');
    await ticket(page).getByRole('button', { name: 'Buy BTC' }).click();
    await expect.poll(() => ticket(page).locator('[name=quantity]').getAttribute('aria-invalid'), WAIT).toBe('true');
    await fill(page, 'quantity', '500');
    await expect.poll(() => page.getByTestId('quote').locator('.problem').count(), WAIT).toBe(1);
    await ticket(page).getByRole('button', { name: 'Buy BTC' }).click();
    await expect.poll(() => ticket(page).locator('p[role=alert]').textContent(), WAIT).toMatch(/\w/);
    expect(await rowsOf(page, 'fills')).toBe(0);
  });

  it('a price that is picked on the ladder goes into the ticket', async () => {
    const { page } = await visit(MARKET);
    await signUp(page);
    await expect.poll(() => bestBid(page), WAIT).toBeGreaterThan(0);
    await page.locator('.ladder-side.bids .rung').nth(3).click();
    await expect.poll(() => ticket(page).locator('[name=price]').inputValue(), WAIT).toMatch(/^\d+\.\d\d$/);
    expect(await ticket(page).locator('[name=kind]').inputValue()).toBe('limit');
  });

  it('a cut in the middle loses nothing: what happened meanwhile is there when it heals', async () => {
    const { page } = await visit(MARKET);
    const email = await signUp(page);
    const other = await visit(MARKET);
    await other.page.getByRole('button', { name: 'Log in' }).click();
    await other.page.fill('[name=email]', email);
    await other.page.fill('[name=password]', PASSWORD);
    await other.page.locator('form button[type=submit]').click();
    await other.page.waitForSelector('.ticket');
    await page.goto(`${url}#/trust`);
    await page.getByRole('button', { name: 'Cut it for 8 s' }).click();
    await expect.poll(() => page.getByTestId('offline-banner').count(), WAIT).toBe(1);
    await page.goto(url + MARKET);
    await type(other.page, 'limit');
    await fill(other.page, 'quantity', '0.1');
    await fill(other.page, 'price', '20000');
    await ticket(other.page).getByRole('button', { name: 'Buy BTC' }).click();
    await expect.poll(() => rowsOf(other.page, 'open-orders'), WAIT).toBe(1);
    await expect.poll(() => textOf(page, 'open-orders'), WAIT).toContain('20,000');
    await expect.poll(() => balance(page, 'USDT', 'held'), WAIT).toBe(2_000);
  });

  it('a reload keeps the session, leaving ends it, and a second factor is asked for at the next login', async () => {
    const { page, complaints } = await visit(MARKET);
    const email = await signUp(page);
    await page.reload();
    await page.waitForSelector('.ticket');
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    await page.goto(`${url}#/account`);
    await page.getByRole('button', { name: 'Set up an authenticator app' }).click();
    const secret = (await page.getByTestId('totp-secret').textContent())!.replaceAll(/\s/g, '');
    await page.fill('[name=code]', await generate({ secret }));
    await page.getByRole('button', { name: 'Switch it on' }).click();
    await expect.poll(() => page.locator('.codes li').count(), WAIT).toBeGreaterThan(5);
    const recoveryCode = (await page.locator('.codes li').first().textContent())!;
    await page.getByRole('button', { name: 'Log out' }).click();
    await expect.poll(() => page.locator('.entry').textContent(), WAIT).toContain('You are logged out');
    await page.fill('[name=email]', email);
    await page.fill('[name=password]', PASSWORD);
    await page.locator('form button[type=submit]').click();
    await expect.poll(() => page.locator('[role=alert]').textContent(), WAIT).toContain('authenticator app');
    await page.fill('[name=code]', recoveryCode);
    await page.locator('form button[type=submit]').click();
    await expect.poll(() => textOf(page, 'second-factor'), WAIT).toContain('On: a login needs');
    // The browser itself reports the answer 401 that asks for the code.
    expect(complaints.filter((text) => !text.includes('401'))).toEqual([]);
  });

  it.each(['#/trade', '#/account', '#/operate'])(
    '%s: nobody is kept out without being told what to do',
    async (hash) => {
      const { page } = await visit(hash);
      await expect.poll(() => page.locator('.entry h1').textContent(), WAIT).toBe('Trade with paper money');
      expect(await seriousAxeFindings(page)).toEqual([]);
    },
  );

  it('an admin sees venues, figures and the ledger, and has the ledger recomputed', async () => {
    const { page, complaints } = await visit(MARKET);
    const email = await signUp(page);
    await page.goto(`${url}#/operate`);
    await expect.poll(() => page.locator('main').textContent(), WAIT).toContain(`admin:grant ${email}`);
    const granting = startServerProcess({ DATA_DIR: folder }, ['admin:grant', email]);
    expect((await granting.exited).code, granting.text()).toBe(0);
    await page.goto(`${url}#/account`);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.fill('[name=email]', email);
    await page.fill('[name=password]', PASSWORD);
    await page.locator('form button[type=submit]').click();
    await page.getByRole('link', { name: 'Operate' }).click();
    await expect.poll(() => rowsOf(page, 'venue-health'), WAIT).toBe(4);
    await expect.poll(() => textOf(page, 'figures'), WAIT).toMatch(/gateway connections, plain[1-9]/);
    await page.getByRole('button', { name: 'Recompute it now' }).click();
    await expect.poll(() => textOf(page, 'ledger'), WAIT).toContain('every promise holds');
    expect(await seriousAxeFindings(page)).toEqual([]);
    await screenshot(page, 'operate-dark', true);
    // A change of roles ends the sessions of before, and the browser itself reports the answer 401 that says so.
    expect(complaints.filter((text) => !text.includes('401'))).toEqual([]);
  });

  it('fits a phone of 360 px, and axe finds nothing serious there and on a large screen', async () => {
    const { page } = await visit(MARKET, { ...PHONE, colorScheme: 'light' });
    await signUp(page);
    await type(page, 'bracket');
    await page.getByRole('button', { name: 'Where is my money?' }).click();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    expect(await seriousAxeFindings(page)).toEqual([]);
    await screenshot(page, 'phone-trade-light');
    await page.setViewportSize({ width: 1920, height: 1080 });
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await seriousAxeFindings(page)).toEqual([]);
    await page.goto(`${url}#/account`);
    await expect.poll(() => rowsOf(page, 'sessions'), WAIT).toBe(1);
    expect(await seriousAxeFindings(page)).toEqual([]);
  });
});
