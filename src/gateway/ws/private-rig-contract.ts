import { randomUUID } from 'node:crypto';
import { createMarketDirectory, createStreamCache } from '../../modules/market/index.ts';
import type { Identity } from '../../modules/identity/index.ts';
import type { Ledger } from '../../modules/ledger/index.ts';
import { createLedger } from '../../modules/ledger/index.ts';
import { createUserLog, tellUserEvents } from '../../modules/portfolio/index.ts';
import type { UserLog, Valuations } from '../../modules/portfolio/index.ts';
import type { Database } from '../../platform/postgres.ts';
import { createMemorySignals } from '../../platform/signals-memory.ts';
import { RETENTION_LIMITS } from '../../protocol/limits.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';
import type { Envelope, StreamPosition, Subscribed } from '../../protocol/messages.ts';
import type { Portfolio } from '../../protocol/trading.ts';
import { startTestPostgres, surroundings } from '../../testing/postgres.ts';
import { openGroundOrders, prepareGround, stepOrder } from '../../testing/trading-ground.ts';
import type { Connection } from './connection.ts';
import { createHub } from './hub.ts';
import type { Hub } from './hub.ts';
import { MemoryWire } from './memory-wire-contract.ts';
import { until } from './raw-client-contract.ts';
import { ScriptedMarket, VENUE } from './scripted-market-contract.ts';

export const PAPER_USDT = 'PAPER:USDT';

/** The real hub over a real ledger and a real log in Postgres; connections are given their principal without a proof. */
export type PrivateRig = Readonly<{
  hub: Hub;
  market: ScriptedMarket;
  database: Database;
  ledger: Ledger;
  userLog: UserLog;
  /** What `valuation` tells next. */
  value(portfolio: Portfolio): void;
  credit(userId: string, amount: bigint): Promise<void>;
  order(userId: string, order: string, status: string, note?: string): Promise<void>;
  stop(): Promise<void>;
}>;

export async function startPrivateRig(limits: Partial<ConnectionLimits> = {}): Promise<PrivateRig> {
  const server = await startTestPostgres();
  const at = await server.createDatabase();
  await prepareGround(at);
  const database = await at.open();
  const around = surroundings();
  const signals = createMemorySignals(around);
  const tell = tellUserEvents(signals);
  const ledger = createLedger({ database, tell });
  await ledger.defineAsset({ code: PAPER_USDT, scale: 2 });
  const userLog = await createUserLog({ ...around, database, ledger, signals, openOrders: openGroundOrders });
  const market = new ScriptedMarket();
  const { clock, log, metrics } = around;
  const cache = createStreamCache({
    bus: market.bus,
    clock,
    retention: RETENTION_LIMITS,
    lingerMs: 30_000,
    metrics,
    log,
  });
  const directory = createMarketDirectory({ bus: market.bus, venues: [VENUE] });
  let valued = emptyPortfolio();
  const following = new Set<(portfolio: Portfolio) => void>();
  const valuations: Valuations = {
    follow(_userId, listener) {
      following.add(listener);
      setImmediate(() => listener(valued));
      return () => following.delete(listener);
    },
    stop: async () => {},
  };
  const identity = { onRevoked: () => () => {} } as unknown as Identity;
  const portfolio = null as never;
  const accounts = { identity, orders: null as never, ledger, portfolio, userLog, valuations };
  const hub = createHub({ ...around, cache, directory, accounts, limits });
  return {
    hub,
    market,
    database,
    ledger,
    userLog,
    value(next) {
      valued = next;
      for (const listener of following) listener(next);
    },
    async credit(owner, amount) {
      const origin = { key: { scope: 'test', key: randomUUID() }, actor: 'test' };
      await ledger.credit({ ...origin, owner, asset: PAPER_USDT, amount, from: { house: 'equity' } });
    },
    async order(userId, order, status, note) {
      await stepOrder(database, userId, { order, status, ...(note === undefined ? {} : { note }) });
      tell([{ userId, seq: Number.MAX_SAFE_INTEGER }]);
    },
    async stop() {
      hub.stop();
      directory.stop();
      cache.stop();
      await userLog.stop();
      await signals.stop();
      await server.stop();
    },
  };
}

export function emptyPortfolio(equity: string | null = null): Portfolio {
  return {
    account: 'paper',
    currency: 'USDT',
    equity,
    unvalued: [],
    realizedPnl: '0',
    unrealizedPnl: null,
    positions: [],
    balances: [],
    at: 1,
  };
}

type Kept = { position: StreamPosition | null; pushes: string[]; gaps: { from: number; to: number }[] };

/** A client that follows PROTOCOL.md and writes down whatever does not fit; its state survives a lost connection. */
export class PrivateClient {
  readonly userId: string;
  readonly kept = new Map<string, Kept>();
  /** By asset: total as the stream says. */
  readonly balances = new Map<string, string>();
  readonly orders = new Map<string, string>();
  readonly notes: string[] = [];
  readonly problems: string[] = [];
  readonly #hub: Hub;
  #ids = 0;
  #asked = new Map<number, (result: unknown) => void>();
  wire = new MemoryWire();
  connection!: Connection;

  constructor(hub: Hub, userId: string, scopes: readonly ('read' | 'trade')[] = ['read', 'trade']) {
    this.#hub = hub;
    this.userId = userId;
    this.connect(scopes);
  }

  connect(scopes: readonly ('read' | 'trade')[] = ['read', 'trade']): void {
    const wire = new MemoryWire();
    this.wire = wire;
    this.#asked.clear();
    wire.onEntry = (entry) => {
      if (wire !== this.wire) return;
      if (entry.type === 'push') this.#push(entry.envelope);
      else if (entry.type === 'reply') this.#asked.get(entry.id as number)?.(entry.body);
    };
    this.connection = this.#hub.open(wire, this.#hub.createGuard());
    this.connection.principal = {
      userId: this.userId,
      roles: ['user'],
      sessionId: 'session',
      keyId: null,
      scopes,
      expiresAtMs: Number.MAX_SAFE_INTEGER,
    };
  }

  /** The transport breaks: nothing that was under way arrives any more. */
  cut(): void {
    const { connection } = this;
    this.wire = new MemoryWire();
    connection.onClosed(1006);
  }

  ask(method: string, params?: unknown): Promise<{ result?: unknown; error?: { code: string } }> {
    const address = (this.#ids += 1);
    const reply = new Promise<never>((resolve) => this.#asked.set(address, resolve as never));
    this.#hub.receive(this.connection, () => ({ ok: true, address, method, params }));
    return reply;
  }

  /** Subscribes where each stream was left, or anew. Answers without waiting for what follows. */
  async subscribe(...streams: string[]): Promise<Subscribed[]> {
    const entries = streams.map((stream) => {
      const since = this.kept.get(stream)?.position;
      return since ? { stream, since } : stream;
    });
    return this.subscribeAs(...entries);
  }

  async subscribeAs(...entries: (string | { stream: string; since: StreamPosition })[]): Promise<Subscribed[]> {
    const results = new Promise<Subscribed[]>((resolve, reject) => {
      const address = (this.#ids += 1);
      this.#asked.set(address, (body) => {
        const { result, error } = body as { result?: Subscribed[]; error?: unknown };
        if (result === undefined) return reject(new Error(JSON.stringify(error)));
        // In the step in which the reply arrives: pushes follow at once.
        for (const each of result) this.#joined(each);
        return resolve(result);
      });
      this.#hub.receive(this.connection, () => ({
        ok: true,
        address,
        method: 'subscribe',
        params: { streams: entries },
      }));
    });
    return results;
  }

  positionOf(stream: string): number {
    return this.kept.get(stream)?.position?.seq ?? -1;
  }

  async reaches(stream: string, seq: number): Promise<void> {
    await until(() => this.positionOf(stream) >= seq, `${stream} ${seq} (is ${this.positionOf(stream)})`);
  }

  keep(stream: string): Kept {
    let kept = this.kept.get(stream);
    if (kept === undefined) {
      kept = { position: null, pushes: [], gaps: [] };
      this.kept.set(stream, kept);
    }
    return kept;
  }

  #joined(result: Subscribed): void {
    if ('error' in result) return;
    const kept = this.keep(result.stream);
    const { epoch, seq, recovered } = result;
    if (!recovered) kept.position = { epoch, seq };
    else if (kept.position?.epoch !== epoch) this.problems.push(`${result.stream}: recovered into another epoch`);
  }

  #push({ stream, epoch, seq, kind, data, conflated }: Envelope): void {
    const kept = this.keep(stream);
    kept.pushes.push(`${kind} ${seq}`);
    const here = kept.position;
    if (kind === 'snapshot') this.#takeSnapshot(stream, data as never);
    else if (kind === 'gap') kept.gaps.push(data as never);
    else if (here === null || here.epoch !== epoch || seq !== here.seq + 1) {
      this.problems.push(`${stream}: ${kind} ${seq} after ${here?.seq}`);
    } else if (kind === 'update' && stream !== 'valuation') this.#takeEvent((data as { event: never }).event);
    if (conflated !== undefined && stream !== 'valuation') this.problems.push(`${stream}: conflated`);
    kept.position = { epoch, seq };
  }

  #takeSnapshot(
    stream: string,
    data: { orders?: { id: string; status: string }[]; balances?: { asset: string; total: string }[] },
  ): void {
    if (stream === 'orders') {
      this.orders.clear();
      for (const { id, status } of data.orders ?? []) this.orders.set(id, status);
    }
    if (stream === 'portfolio') {
      this.balances.clear();
      for (const { asset, total } of data.balances ?? []) this.balances.set(asset, total);
    }
  }

  #takeEvent(event: {
    type: string;
    order: { id: string; status: string };
    balance: { asset: string; total: string };
    notification: { id: string };
  }): void {
    if (event.type === 'order') this.orders.set(event.order.id, event.order.status);
    if (event.type === 'balance') this.balances.set(event.balance.asset, event.balance.total);
    if (event.type === 'notification') this.notes.push(event.notification.id);
  }
}
