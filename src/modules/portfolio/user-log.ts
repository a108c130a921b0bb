import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Database, Queries } from '../../platform/postgres.ts';
import type { Signals } from '../../platform/signals.ts';
import type { Order, PrivateStream } from '../../protocol/trading.ts';
import { readLogHeads, selectBalances } from '../ledger/index.ts';
import type { Ledger } from '../ledger/index.ts';
import { LogFollowers } from './log-followers.ts';
import type { UserLog } from './portfolio.ts';
import { selectPositions } from './position-store.ts';
import { AssetScales, balanceText, syncEvents } from './sync-event.ts';

export type UserLogDeps = Readonly<{
  database: Database;
  ledger: Pick<Ledger, 'eventsSince' | 'streamSince' | 'news' | 'usersBehind' | 'eventEpoch' | 'assets'>;
  signals: Signals;
  log: Log;
  metrics: Metrics;
  /** The user's orders that are not over, newest first. Reads with these queries only: they see one instant. */
  openOrders: (queries: Queries, userId: string) => Promise<readonly Order[]>;
}>;

type State = Readonly<{ streamSeq: number; logSeq: number; data: unknown }>;

/** Resolves once the epoch has been read. Rejects with `DatabaseFailure`. */
export async function createUserLog(deps: UserLogDeps): Promise<UserLog> {
  const { ledger } = deps;
  const scales = new AssetScales(ledger);
  const followers = new LogFollowers({ ...deps, scales });
  return {
    epoch: await ledger.eventEpoch(),
    async since(userId, seq, limit) {
      const { events, headSeq } = await ledger.eventsSince({ userId, since: seq, limit });
      return { events: await syncEvents(events, scales), head: headSeq };
    },
    async streamSince(userId, stream, streamSeq, limit) {
      const { events, headSeq } = await ledger.streamSince({ userId, stream, since: streamSeq, limit });
      return { events: await syncEvents(events, scales), head: headSeq };
    },
    snapshot: (userId, stream) => readState(deps, scales, userId, stream),
    follow: (userId, afterSeq, listener) => followers.follow(userId, afterSeq, listener),
    stop: () => followers.stop(),
  };
}

/** The heads and the state come from one instant: whatever changes the state moves the head in the same statement. */
async function readState(
  deps: UserLogDeps,
  scales: AssetScales,
  userId: string,
  stream: PrivateStream,
): Promise<State> {
  const options = { name: `portfolio.${stream}_state`, mode: 'snapshot' } as const;
  const read = await deps.database.transaction(options, async (queries) => ({
    heads: await readLogHeads(queries, userId),
    orders: stream === 'orders' ? await deps.openOrders(queries, userId) : [],
    balances: stream === 'portfolio' ? await selectBalances(queries, userId) : [],
    positions: stream === 'portfolio' ? await selectPositions(queries, userId) : [],
  }));
  const position = { streamSeq: read.heads[stream], logSeq: read.heads.seq };
  switch (stream) {
    case 'orders':
      return { ...position, data: { logSeq: position.logSeq, orders: read.orders } };
    case 'portfolio': {
      await scales.learn(read.balances.map(({ asset }) => asset));
      const balances = read.balances.map((balance) => balanceText(balance, scales));
      return { ...position, data: { logSeq: position.logSeq, balances, positions: read.positions } };
    }
    case 'notifications':
      // They are no state: whoever wants the last ones reads them from the log.
      return { ...position, data: { logSeq: position.logSeq } };
  }
}
