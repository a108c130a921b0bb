import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { seededRandom } from '../../kernel/random.ts';
import type { Random } from '../../kernel/random.ts';
import type { NativeWriter } from '../../platform/native-writer/native-writer.ts';
import { PreparedMessage } from '../../protocol/envelope.ts';
import type { Connection } from './connection.ts';
import type { PeersReport, PeersSetup } from './descriptor-stress-peers-contract.ts';
import type { ServerRig } from './server-rig-contract.ts';
import { startServer } from './server-rig-contract.ts';

export type StressOptions = Readonly<{
  native: NativeWriter | null;
  flushWindowMs: number;
  peers: number;
  seconds: number;
  seed: number;
}>;

/**
 * A kernel whose buffers are mostly nearly full: of what is to be sent it takes all, nothing, or a part that ends anywhere. Even with
 * the smallest buffers the real one does that too rarely on loopback.
 */
export function stingy(native: NativeWriter, random: Random): NativeWriter {
  return {
    send(frames, program, length, results) {
      const pieces = [...frames];
      const orders: number[] = [];
      const places: number[] = [];
      let count = 0;
      for (let at = 0; at < length; at += 2 + program[at + 1]!, count++) {
        const slots = [...program.subarray(at + 2, at + 2 + program[at + 1]!)];
        const dice = random();
        results[count] = -EAGAIN;
        if (dice < 0.1) continue;
        places.push(count);
        if (dice < 0.6) orders.push(program[at]!, slots.length, ...slots);
        else {
          const whole = Buffer.concat(slots.map((slot) => frames[slot]!));
          orders.push(program[at]!, 1, pieces.push(whole.subarray(0, 1 + Math.floor(random() * whole.length))) - 1);
        }
      }
      const own = new Int32Array(places.length);
      native.send(pieces, Int32Array.from(orders), orders.length, own);
      for (const [index, place] of places.entries()) results[place] = own[index]!;
      return count;
    },
  };
}

export type StressResult = Readonly<{
  wrong: readonly string[];
  connections: number;
  privatePushes: number;
  /** Connections of which every private message is known to have come. */
  complete: number;
  churned: number;
  /** Connections that the hub still has when all clients are gone. */
  left: number;
  writes: string;
}>;

const STEP_MS = 2;
const SYMBOLS = ['A/USDT', 'B/USDT', 'C/USDT', 'D/USDT', 'E/USDT', 'F/USDT'];
/** The chance of a connection to be ended by the server in one step. */
const CLOSE = 0.004;
const SETTLE_MS = 1_500;
const WRONG_LIMIT = 20;
const GONE_WAIT_MS = 10;
const GONE_WAITS = 300;
const EAGAIN = 11;

/** What one connection was sent, by the secret that its client has given itself. */
type Account = { pushed: number; closedWhole: boolean };

/**
 * The real server, whose clients come, go and stop reading at random, in one process with threads that open and close sockets all
 * the time. Everything that any client takes for wrong is reported.
 */
export async function stress(options: StressOptions): Promise<StressResult> {
  const { native, flushWindowMs, peers, seconds, seed } = options;
  const random = seededRandom(seed);
  const pace = { capacity: 1_000, refillPerSecond: 5_000, waitingLimit: 5_000 };
  const pings = { intervalMs: 700, timeoutMs: 2_000 };
  const rig = await startServer({ symbols: SYMBOLS, nativeWriter: native, flushWindowMs, handshakes: pace, pings });
  const publicStreams = SYMBOLS.map((symbol) => `ticker:sandbox:${symbol}`);
  for (const stream of publicStreams) rig.market.begin(stream);
  const workerData: PeersSetup = { port: rig.port, count: peers, seed, publicStreams };
  const clients = new Worker(join(import.meta.dirname, 'descriptor-stress-peers-contract.ts'), { workerData });
  const churn = new Worker(join(import.meta.dirname, 'descriptor-churn-contract.ts'));
  const accounts = new Map<string, Account>();
  const result = {
    wrong: [] as string[],
    connections: 0,
    privatePushes: 0,
    complete: 0,
    churned: 0,
    left: 0,
    writes: '',
  };
  const complain = (wrong: string): void => {
    if (result.wrong.length < WRONG_LIMIT) result.wrong.push(wrong);
  };
  clients.on('message', (told: PeersReport) => {
    const wrong = 'wrong' in told ? told.wrong : missing(told, accounts, result);
    if (wrong !== null) complain(wrong);
  });
  churn.on('message', (told: { wrong: string } | { opened: number }) => {
    if ('wrong' in told) complain(told.wrong);
    else result.churned = told.opened;
  });
  const endMs = performance.now() + seconds * 1_000;
  while (performance.now() < endMs) {
    // First: their descriptors are free from now on, and the hub hears of it only after what follows has been sent.
    closeSome(rig, accounts, random);
    publish(rig, publicStreams, random);
    for (const connection of rig.hub.connections()) {
      if (connection.isOpen && random() < 0.4) result.privatePushes += pushSecrets(connection, accounts, random);
    }
    await sleep(STEP_MS);
  }
  clients.postMessage('settle');
  await sleep(SETTLE_MS);
  const metrics = await rig.metrics.render();
  result.connections = [...metrics.matchAll(/gateway_closes_total\{.*\} (\d+)/g)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
  result.writes = [...metrics.matchAll(/socket_writes_total\{how="(\w+)"\} (\d+)/g)]
    .map(([, how, n]) => `${how} ${n}`)
    .join(', ');
  for (const worker of [clients, churn]) {
    const ended = once(worker, 'exit');
    worker.postMessage('end');
    await ended;
  }
  // Who never read is noticed when its pings are not answered.
  for (let waits = 0; waits < GONE_WAITS && rig.hub.connectionCount > 0; waits++) await sleep(GONE_WAIT_MS);
  result.left = rig.hub.connectionCount;
  await rig.end();
  return result;
}

/** Compares what came with what was sent, where all of it must have come. */
function missing(
  told: Exclude<PeersReport, { wrong: string }>,
  accounts: Map<string, Account>,
  result: { complete: number },
): string | null {
  const account = accounts.get(told.token);
  accounts.delete(told.token);
  if (account === undefined) return null;
  // Whoever cut the connection off itself, or was cut off, need not have seen everything; an orderly close or none must.
  const whole = !told.cut && (told.closed ? account.closedWhole && told.closeCode === 3500 : !account.closedWhole);
  if (!whole) return null;
  result.complete += 1;
  if (told.lastPrivate === account.pushed) return null;
  return `${told.token}: ${told.lastPrivate} of ${account.pushed} private messages came`;
}

function publish({ market }: ServerRig, streams: readonly string[], random: Random): void {
  for (const stream of streams) {
    if (random() > 0.3) continue;
    const size = random() < 0.02 ? random() * 150_000 : random() * 300;
    market.update(stream, { pad: 'x'.repeat(Math.floor(size)) });
  }
}

/** The private way of the real server from the point where its log has been read. Answers how many were taken. */
function pushSecrets({ peer, delivery }: Connection, accounts: Map<string, Account>, random: Random): number {
  const secret = peer.userAgent!;
  let account = accounts.get(secret);
  if (account === undefined) {
    account = { pushed: 0, closedWhole: false };
    accounts.set(secret, account);
  }
  let pushed = 0;
  for (let left = 1 + Math.floor(random() * 3); left > 0; left--) {
    const seq = account.pushed + 1;
    const pad = 'y'.repeat(Math.floor(random() < 0.02 ? random() * 70_000 : random() * 200));
    const message = { stream: 'orders', epoch: 'e', seq, kind: 'update', ingestTs: 1, data: { secret, pad } } as const;
    if (!delivery.pushPrivate(new PreparedMessage(message, Date.now))) break;
    account.pushed = seq;
    pushed += 1;
  }
  return pushed;
}

/** As an ended session, a slow consumer, a shutdown and a dead peer end connections. */
function closeSome({ hub }: ServerRig, accounts: ReadonlyMap<string, Account>, random: Random): void {
  for (const connection of hub.connections()) {
    if (!connection.isOpen || random() > CLOSE) continue;
    const dice = random();
    if (dice < 0.5) {
      const account = accounts.get(connection.peer.userAgent!);
      if (account !== undefined) account.closedWhole = true;
      connection.close('unauthorized');
    } else if (dice < 0.7) connection.close('slow_consumer');
    else if (dice < 0.8) connection.close('no_pong');
    else connection.terminate();
  }
}
