import { vi } from 'vitest';
import { createStreamCache, createMarketDirectory } from '../../modules/market/index.ts';
import { createLog } from '../../platform/log.ts';
import type { NativeWriter } from '../../platform/native-writer/native-writer.ts';
import { createMetrics } from '../../platform/metrics.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { RETENTION_LIMITS } from '../../protocol/limits.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';
import { seededRandom } from '../../kernel/random.ts';
import type { StreamPosition, SubscribeFailed, Subscribed } from '../../protocol/messages.ts';
import type { Connection } from './connection.ts';
import { createHub } from './hub.ts';
import type { Hub } from './hub.ts';
import { MemoryWire } from './memory-wire-contract.ts';
import type { WireEntry } from './memory-wire-contract.ts';
import { applyPush, applyReply, emptyModel } from './model-client-contract.ts';
import type { ModelStream } from './model-client-contract.ts';
import { ScriptedMarket, VENUE } from './scripted-market-contract.ts';

export type RigOptions = Readonly<{
  limits?: Partial<ConnectionLimits>;
  retention?: { messages: number; bytes: number; ageMs: number };
  coldStreamMs?: number;
  symbols?: readonly string[];
  nativeWriter?: NativeWriter | null;
  flushWindowMs?: number;
  onBusy?: (busy: boolean) => void;
}>;

export type HubRig = Readonly<{ market: ScriptedMarket; hub: Hub; metrics: Metrics; stop: () => void }>;

const clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** The real hub over the real stream cache, directory and in-process bus; only the venue behind them is scripted. */
export function startHub(options: RigOptions = {}): HubRig {
  const market = new ScriptedMarket(options.symbols);
  const metrics = createMetrics({ processMetrics: false });
  const log = createLog({ level: 'silent' });
  const { bus } = market;
  const retention = options.retention ?? RETENTION_LIMITS;
  const cache = createStreamCache({ bus, clock, retention, lingerMs: 30_000, metrics, log });
  const directory = createMarketDirectory({ bus, venues: [VENUE, 'absent'] });
  const hub = createHub({
    cache,
    directory,
    clock,
    random: seededRandom(1),
    log,
    metrics,
    nativeWriter: options.nativeWriter ?? null,
    ...(options.flushWindowMs !== undefined && { flushWindowMs: options.flushWindowMs }),
    ...(options.onBusy && { onBusy: options.onBusy }),
    ...(options.limits && { limits: options.limits }),
    ...(options.coldStreamMs !== undefined && { coldStreamMs: options.coldStreamMs }),
  });
  const stop = (): void => {
    hub.stop();
    directory.stop();
    cache.stop();
  };
  return { market, hub, metrics, stop };
}

export type SubscribeEntry = string | { stream: string; since: StreamPosition };
export type SubscribeResult = Subscribed | SubscribeFailed;

/** A client on a memory wire that checks every push against the protocol's rules as it comes. */
export class RigClient {
  readonly wire = new MemoryWire();
  readonly streams = new Map<string, ModelStream>();
  readonly problems: string[] = [];
  readonly connection: Connection;
  readonly #hub: Hub;
  readonly #asked = new Map<number, readonly SubscribeEntry[]>();
  #ids = 0;

  constructor(hub: Hub) {
    this.#hub = hub;
    this.wire.onEntry = (entry) => this.#take(entry);
    this.connection = hub.open(this.wire, hub.createGuard());
  }

  get log(): readonly WireEntry[] {
    return this.wire.log;
  }

  stream(name: string): ModelStream {
    let stream = this.streams.get(name);
    if (stream === undefined) {
      stream = emptyModel();
      this.streams.set(name, stream);
    }
    return stream;
  }

  /** Sends a request and answers its id. */
  send(method: string, params?: unknown): number {
    this.#ids += 1;
    const address = this.#ids;
    const entries = (params as { streams?: SubscribeEntry[] } | null | undefined)?.streams;
    if (method === 'subscribe' && Array.isArray(entries)) this.#asked.set(address, entries);
    this.#hub.receive(this.connection, () => ({ ok: true, address, method, params }));
    return address;
  }

  subscribe(...streams: SubscribeEntry[]): number {
    return this.send('subscribe', { streams });
  }

  reply(id: number): { result?: unknown; error?: { code: string; temporary: boolean } } | undefined {
    const entry = this.log.find((each) => each.type === 'reply' && each.id === id);
    return entry?.type === 'reply' ? (entry.body as never) : undefined;
  }

  /** Sends a request and waits for its reply, which leaves at the end of the turn. */
  async answer(method: string, params?: unknown): Promise<ReturnType<RigClient['reply']>> {
    const id = this.send(method, params);
    await new Promise<void>((resolve) => process.nextTick(resolve));
    return this.reply(id);
  }

  results(id: number): SubscribeResult[] {
    return this.reply(id)?.result as SubscribeResult[];
  }

  /** Kinds and seqs of a stream's pushes, such as `snapshot 7`. */
  pushes(stream: string): string[] {
    return this.log.flatMap((entry) =>
      entry.type === 'push' && entry.envelope.stream === stream ? [`${entry.envelope.kind} ${entry.envelope.seq}`] : [],
    );
  }

  events(name: string): Record<string, unknown>[] {
    return this.log.flatMap((entry) => (entry.type === 'event' && entry.name === name ? [entry.data] : []));
  }

  #take(entry: WireEntry): void {
    try {
      if (entry.type === 'push') applyPush(this.stream(entry.envelope.stream), entry.envelope);
      else if (entry.type === 'reply') this.#takeReply(entry.id as number, entry.body as { result?: unknown });
    } catch (error) {
      this.problems.push((error as Error).message);
    }
  }

  #takeReply(id: number, body: { result?: unknown }): void {
    const entries = this.#asked.get(id);
    if (entries === undefined || !Array.isArray(body.result)) return;
    for (const [index, result] of (body.result as SubscribeResult[]).entries()) {
      if ('error' in result) continue;
      const entry = entries[index]!;
      applyReply(this.stream(result.stream), result, typeof entry === 'string' ? undefined : entry.since);
    }
  }
}

const realImmediate = setImmediate;
/** Lets microtasks, next ticks and I/O callbacks run, also under fake timers. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise<void>((resolve) => realImmediate(resolve));
}

/** Time under the test's control, except for what I/O is made of: next ticks and microtasks. */
export function fakeTime(): void {
  const timers = [
    'setTimeout',
    'clearTimeout',
    'setInterval',
    'clearInterval',
    'setImmediate',
    'clearImmediate',
  ] as const;
  vi.useFakeTimers({ toFake: [...timers, 'Date', 'performance'] });
}

export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settle();
}
