import { setTimeout as sleep } from 'node:timers/promises';
import { LineProcess } from './line-process.ts';
import { compiled, pinned } from './programs.ts';

export type Scenario = Readonly<{
  subscribers: number;
  /** Streams that are published, and how many of them each subscriber has. */
  streams: number;
  perSubscriber: number;
  /** All subscribers have the same streams, or each its own choice. */
  choice: 'same' | 'random';
  /** A round publishes every stream once, in so many turns of the event loop. */
  turnsPerRound: number;
}>;

export type Contestant = Readonly<{
  name: string;
  command: readonly string[];
  path: '/ws' | '/socket.io/?EIO=4&transport=websocket';
  /** Asks for the batch envelope. */
  batchMs?: number;
  compression?: boolean;
}>;

/** `rounds` were published, of which `measured` within `cpu` and `wall` (seconds). */
export type Measured = Readonly<{ rounds: number; measured: number; cpu: number; wall: number }>;
export type Received = Readonly<{
  opened: number;
  joined: number;
  closed: number;
  frames: number;
  updates: number;
  bytes: number;
  cpu: number;
  p50: number;
  p99: number;
  p999: number;
  max: number;
}>;
type Memory = Readonly<{ rss: number; heapUsed: number; arrayBuffers: number }>;

/** How far a publisher may be ahead of the receivers, in rounds; a round that is a window is awaited, so that windows stay apart. */
const DEPTH_ROUNDS = 3;
const WINDOW_DEPTH_ROUNDS = 1;
const SETTLE_MS = 250;
const JOIN_LIMIT_MS = 60_000;
const POLL_MS = 50;
const WARM_UP_SECONDS = 0.4;
const WAKE_UP_SECONDS = 0.3;

/** A server under the benchmark with its receivers, all connected and subscribed; at rest between measurements. */
export class Stand {
  readonly contestant: Contestant;
  readonly #scenario: Scenario;
  readonly #server: LineProcess;
  readonly #receivers: LineProcess;
  #rssPerConnection: number | null = null;

  private constructor(contestant: Contestant, scenario: Scenario, server: LineProcess, receivers: LineProcess) {
    this.contestant = contestant;
    this.#scenario = scenario;
    this.#server = server;
    this.#receivers = receivers;
  }

  static async open(contestant: Contestant, scenario: Scenario, random: () => number): Promise<Stand> {
    const { subscribers, perSubscriber } = scenario;
    const server = new LineProcess(pinned(0, contestant.command));
    const { port, creditPort } = await server.answer<{ port: number; creditPort: number }>();
    const isFloor = contestant.path === '/ws' && contestant.command[0]!.includes('write-loop');
    const before = isFloor ? null : await server.ask<Memory>('memory');
    const perRound = subscribers * perSubscriber;
    const receivers = new LineProcess(
      pinned(1, [
        compiled('receivers'),
        ...['127.0.0.1', port, creditPort, contestant.path, subscribers, perRound].map(String),
        contestant.compression === true ? '1' : '0',
      ]),
    );
    for (let index = 0; index < subscribers; index++) receivers.say(isFloor ? '' : words(contestant, scenario, random));
    const stand = new Stand(contestant, scenario, server, receivers);
    await stand.#joined();
    await stand.measure(`closed ${WARM_UP_SECONDS} ${stand.#depth}`);
    if (before !== null) {
      const after = await stand.#memory();
      stand.#rssPerConnection = (after.rss - before.rss) / subscribers;
    }
    server.rest();
    return stand;
  }

  get #depth(): number {
    return this.#scenario.turnsPerRound > 1 ? WINDOW_DEPTH_ROUNDS : DEPTH_ROUNDS;
  }

  get rssPerConnection(): number | null {
    return this.#rssPerConnection;
  }

  /** One pass; everything that was published must have arrived. */
  async pass(seconds: number, roundsPerSecond?: number): Promise<Measured & Received> {
    this.#server.wake();
    // The first rounds after a rest meet cold code and every heartbeat that was missed: no matter of latency at this load.
    if (roundsPerSecond !== undefined) await this.measure(`paced ${WAKE_UP_SECONDS} ${roundsPerSecond}`);
    const command =
      roundsPerSecond === undefined ? `closed ${seconds} ${this.#depth}` : `paced ${seconds} ${roundsPerSecond}`;
    const result = await this.measure(command);
    this.#server.rest();
    return result;
  }

  async measure(command: string): Promise<Measured & Received> {
    this.#receivers.say('reset');
    const measured = await this.#server.ask<Measured>(command);
    const { subscribers, perSubscriber } = this.#scenario;
    const expected = measured.rounds * subscribers * perSubscriber;
    let received = await this.#receivers.ask<Received>('report');
    for (let waited = 0; received.updates < expected && waited < JOIN_LIMIT_MS; waited += POLL_MS) {
      await sleep(POLL_MS);
      received = await this.#receivers.ask<Received>('report');
    }
    if (received.updates !== expected || received.closed > 0) {
      const { name } = this.contestant;
      throw new Error(`${name}: ${received.updates} of ${expected} updates, ${received.closed} closed`);
    }
    return { ...received, ...measured };
  }

  /** Updates delivered per second of the server's processor time. */
  rateOf({ measured, cpu }: Measured): number {
    return (measured * this.#scenario.subscribers * this.#scenario.perSubscriber) / cpu;
  }

  /** Lets the server end by itself, which a profiler needs. */
  async quit(): Promise<void> {
    this.#server.wake();
    this.#server.say('quit');
    await this.#server.ended;
  }

  close(): void {
    this.#receivers.stop();
    this.#server.stop();
  }

  async #joined(): Promise<void> {
    for (let waited = 0; ; waited += POLL_MS) {
      const { joined, closed } = await this.#receivers.ask<Received>('report');
      if (joined === this.#scenario.subscribers) break;
      if (closed > 0 || waited > JOIN_LIMIT_MS)
        throw new Error(`${this.contestant.name}: ${joined} joined, ${closed} closed`);
      await sleep(POLL_MS);
    }
    await sleep(SETTLE_MS + this.#scenario.subscribers);
  }

  async #memory(): Promise<Memory> {
    return this.#server.ask<Memory>('memory');
  }
}

/** What a subscriber says once: in our protocol, which the reference servers take too. */
function words({ path, batchMs }: Contestant, scenario: Scenario, random: () => number): string {
  const batch = batchMs === undefined ? {} : { batch: { windowMs: batchMs } };
  const params = { streams: chosen(scenario, random), ...batch };
  return path === '/ws'
    ? JSON.stringify({ id: 1, method: 'subscribe', params })
    : `42${JSON.stringify(['subscribe', params])}`;
}

function chosen({ streams, perSubscriber, choice }: Scenario, random: () => number): string[] {
  const all = Array.from({ length: streams }, (_, index) => index);
  if (choice === 'random') {
    for (let index = 0; index < perSubscriber; index++) {
      const other = index + Math.floor(random() * (streams - index));
      [all[index], all[other]] = [all[other]!, all[index]!];
    }
  }
  return all.slice(0, perSubscriber).map((index) => `ticker:sandbox:S${String(index).padStart(3, '0')}/USDT`);
}
