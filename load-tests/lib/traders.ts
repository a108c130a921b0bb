import { randomUUID } from 'node:crypto';
import { KeepAliveHttp } from './keep-alive-http.ts';

/** A registered user with paper funds and a session. */
export type Trader = { readonly email: string; token: string; tokenEndsMs: number };
type Grant = Readonly<{ accessToken: string; expiresAt: number }>;

export const PASSWORD = 'correct-horse-battery-staple-load';
/** Hashing a password is made expensive on purpose; more at a time would only queue. */
const AT_ONCE = 4;
/** Tokens with less left than this are renewed before a pass. */
const TOKEN_REST_MS = 120_000;

export async function registerTraders(baseUrl: string, count: number): Promise<Trader[]> {
  const traders = Array.from({ length: count }, () => ({
    email: `load-${randomUUID()}@example.com`,
    token: '',
    tokenEndsMs: 0,
  }));
  await forEach(traders, (http, trader) => begin(http, trader, 'register', 201), baseUrl);
  return traders;
}

/** Keeps the sessions usable for the next minutes. */
export async function renewTraders(baseUrl: string, traders: readonly Trader[]): Promise<void> {
  const ending = traders.filter(({ tokenEndsMs }) => tokenEndsMs < Date.now() + TOKEN_REST_MS);
  await forEach(ending, (http, trader) => begin(http, trader, 'login', 200), baseUrl);
}

/** Asks to cancel whatever they have open; an engine carries it out a moment later. */
export async function cancelAll(baseUrl: string, traders: readonly Trader[]): Promise<void> {
  await forEach(
    traders,
    async (http, { token }) => {
      const { status, body } = await http.request('DELETE', '/v1/orders', bearer(token));
      if (status !== 200) throw new Error(`cancelling all answered ${status} ${body}`);
    },
    baseUrl,
  );
}

export function bearer(token: string): string {
  return `Authorization: Bearer ${token}\r\n`;
}

async function begin(http: KeepAliveHttp, trader: Trader, act: 'register' | 'login', wanted: number): Promise<void> {
  const credentials = JSON.stringify({ email: trader.email, password: PASSWORD });
  const { status, body } = await http.request('POST', `/v1/auth/${act}`, '', credentials);
  if (status !== wanted) {
    throw new Error(
      `${act} answered ${status} ${body}: a server of your own needs high RATE_LIMIT_* and REGISTRATIONS_PER_IP`,
    );
  }
  const { accessToken, expiresAt } = JSON.parse(body) as Grant;
  trader.token = accessToken;
  trader.tokenEndsMs = expiresAt;
}

async function forEach(
  traders: readonly Trader[],
  act: (http: KeepAliveHttp, trader: Trader) => Promise<void>,
  baseUrl: string,
): Promise<void> {
  const waiting = [...traders];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      const http = new KeepAliveHttp(baseUrl);
      try {
        for (let trader = waiting.pop(); trader; trader = waiting.pop()) await act(http, trader);
      } finally {
        http.close();
      }
    }),
  );
}
