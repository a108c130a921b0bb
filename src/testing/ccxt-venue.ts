import ccxt from 'ccxt';
import type { Exchange } from 'ccxt';
import type { SandboxVenue } from '../sandbox/index.ts';

type Config = Record<string, unknown>;

/** URL overrides and options that point an unmodified ccxt.pro class at a sandbox venue. */
export function ccxtConfig(venue: SandboxVenue, url: string): Config {
  const http = `${url}/${venue}`;
  const ws = http.replace(/^http/, 'ws');
  const binance = (type: 'spot' | 'linear'): Config => ({
    options: {
      fetchMarkets: { types: [type] },
      fetchMargins: false,
      fetchCurrencies: false,
      watchOrderBookLimit: 5000,
    },
    urls: {
      api: {
        public: `${http}/api/v3`,
        private: `${http}/api/v3`,
        sapi: `${http}/sapi/v1`,
        fapiPublic: `${http}/fapi/v1`,
        dapiPublic: `${http}/dapi/v1`,
        ws: { spot: `${ws}/stream/ws`, margin: `${ws}/stream/ws`, future: `${ws}/fut/ws`, delivery: `${ws}/del/ws` },
      },
    },
  });
  const kucoin = { public: http, private: http, futuresPublic: http, futuresPrivate: http, webExchange: http };
  const configs: Readonly<Record<SandboxVenue, Config>> = {
    binance: binance('spot'),
    binanceusdm: binance('linear'),
    kraken: { urls: { api: { public: http, private: http, ws: { publicV2: `${ws}/v2`, privateV2: `${ws}/v2` } } } },
    coinbase: { urls: { api: { rest: http, ws } } },
    kucoin: {
      urls: { api: kucoin },
      options: {
        fetchMarkets: { types: ['spot'], fetchTickersFees: false },
        watchTicker: { spotMethod: '/market/ticker' },
      },
    },
    okx: { urls: { api: { rest: http, ws: `${ws}/ws/v5` } } },
  };
  return configs[venue];
}

/** A connected-ready ccxt.pro exchange with its markets loaded; the caller closes it. */
export async function openCcxt(venue: SandboxVenue, url: string): Promise<Exchange> {
  const classes = ccxt.pro as unknown as Record<string, new (config: Config) => Exchange>;
  const exchange = new classes[venue]!({ ...ccxtConfig(venue, url), enableRateLimit: false });
  // Without an agent of its own ccxt refuses every ws:// address.
  await exchange.loadHttpProxyAgent();
  await exchange.loadMarkets();
  return exchange;
}

export type CcxtBook = { nonce?: number; bids: [number, number][]; asks: [number, number][] };

/** Calls `watch` again and again until `stop`; errors are kept, as the product's loops would see them. */
export function watchLoop<T>(watch: () => Promise<T>, take: (value: T) => void): { errors: string[]; stop(): void } {
  let running = true;
  const errors: string[] = [];
  const loop = async (): Promise<void> => {
    while (running) {
      try {
        const value = await watch();
        if (running) take(value);
      } catch (error) {
        if (!running) return;
        errors.push(String(error));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  void loop();
  return {
    errors,
    stop: () => {
      running = false;
    },
  };
}

/** Waits for a condition, never for a time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 45_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
