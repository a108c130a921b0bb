import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { Clock } from '../../../kernel/clock.ts';
import type { Log } from '../../../platform/log.ts';
import type { Database } from '../../../platform/postgres.ts';
import type { MarketName } from './market-runner.ts';

/** A process that dies is followed by another after this at the latest, plus the other's next look. */
const LEASE_MS = 10_000;
const RENEW_MS = 3_000;

/** The markets that are ours to fill. */
export interface MarketLeases {
  /** False: another process has it. */
  take(market: MarketName): Promise<boolean>;
  /** Ours for certain at this moment, by our own clock since we last asked. */
  holds(market: MarketName): boolean;
  release(market: MarketName): Promise<void>;
  /** Ends the renewals; what was not released expires. */
  stop(): Promise<void>;
}

/** `onLost`: another process has taken the market. */
export function createMarketLeases(deps: {
  database: Database;
  clock: Clock;
  log: Log;
  onLost: (market: MarketName) => void;
}): MarketLeases {
  const { database, clock, log } = deps;
  const owner = randomUUID();
  /** Until when each is ours, by the monotonic clock. */
  const held = new Map<string, { market: MarketName; untilMs: number }>();
  let renewal: Promise<void> | null = null;

  const run = (name: string, statement: ReturnType<typeof sql>) =>
    database.runCommand({ name: `orders.${name}`, statement, repeatable: true });
  const renew = async (): Promise<void> => {
    // What is taken while the answer is on its way is not in it, and is not lost for that.
    const asked = [...held.values()];
    // Counted from before the question: the database extends it later than that.
    const untilMs = clock.monotonic() + LEASE_MS;
    try {
      const [row] = await run(
        'renew_paper_leases',
        sql`select orders.renew_paper_leases(${owner}::uuid, ${LEASE_MS}) as held`,
      );
      const names = new Set((parsed(row?.held) as MarketName[]).map(nameOf));
      for (const lease of asked) {
        const name = nameOf(lease.market);
        if (held.get(name) !== lease) continue;
        if (names.has(name)) lease.untilMs = untilMs;
        else {
          held.delete(name);
          deps.onLost(lease.market);
        }
      }
    } catch (error) {
      log.warn({ event: 'paper_lease_renewal_failed', err: error });
    }
  };
  const timer = setInterval(() => {
    if (held.size === 0 || renewal !== null) return;
    renewal = renew().finally(() => {
      renewal = null;
    });
  }, RENEW_MS);
  return {
    async take(market) {
      const untilMs = clock.monotonic() + LEASE_MS;
      const [row] = await run(
        'take_paper_lease',
        sql`select orders.take_paper_lease(${market.venue}, ${market.symbol}, ${owner}::uuid, ${LEASE_MS}) as taken`,
      );
      if (row?.taken !== true) return false;
      held.set(nameOf(market), { market, untilMs });
      return true;
    },
    holds: (market) => (held.get(nameOf(market))?.untilMs ?? -Infinity) > clock.monotonic(),
    async release(market) {
      held.delete(nameOf(market));
      await run(
        'release_paper_lease',
        sql`select orders.release_paper_lease(${market.venue}, ${market.symbol}, ${owner}::uuid)`,
      );
    },
    async stop() {
      clearInterval(timer);
      await renewal;
    },
  };
}

export function nameOf({ venue, symbol }: MarketName): string {
  return `${venue}:${symbol}`;
}

/** The driver gives json as text or as a value, by its settings. */
function parsed(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value;
}
