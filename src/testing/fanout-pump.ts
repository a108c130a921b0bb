import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * What a server under the fan-out benchmark is told on its standard input, one command a line, and answers as one line of JSON:
 * `closed SECONDS DEPTH` publishes as fast as receivers take it, at most DEPTH rounds ahead of them; `paced SECONDS RATE` publishes
 * RATE rounds a second, and measures after the first second of it, in which the server finds its pace; `memory` answers bytes; `quit` ends. Receivers send one byte per round they have had whole to the credit port.
 */
export type FanoutServer = Readonly<{
  port: number;
  /** A round is made of so many turns of the event loop, each with its share of the streams. */
  turnsPerRound: number;
  publish(turn: number): void;
}>;

/** `rounds` were published, of which `measured` within `cpu` and `wall` (seconds). */
type Measured = Readonly<{ rounds: number; measured: number; cpu: number; wall: number }>;

const WARM_UP_SECONDS = 1.1;
const MICROSECONDS = 1_000n;

/** The clock that the receivers read. */
export function microseconds(): number {
  return Number(process.hrtime.bigint() / MICROSECONDS);
}

export async function serveFanout(server: FanoutServer): Promise<void> {
  let credits = 0;
  /** Rounds of the last run; the credits of some may still come. */
  let owed = 0;
  let onCredit = (): void => undefined;
  const creditServer = createServer((socket) => {
    socket.on('data', (chunk: Buffer) => {
      credits += chunk.length;
      onCredit();
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => creditServer.listen(0, '127.0.0.1', resolve));
  const creditPort = (creditServer.address() as AddressInfo).port;
  console.log(JSON.stringify({ port: server.port, creditPort }));

  const closed = (endMs: number, depth: number): Promise<number> =>
    new Promise((resolve) => {
      let rounds = 0;
      let turn = 0;
      let scheduled = false;
      // What is still under way from the run before is awaited by this one.
      credits -= owed;
      const schedule = (): void => {
        if (scheduled) return;
        scheduled = true;
        setImmediate(step);
      };
      const step = (): void => {
        scheduled = false;
        // A round that has begun is published whole.
        if (turn === 0 && performance.now() >= endMs) return finish();
        if (turn === 0 && rounds - credits >= depth) return;
        server.publish(turn);
        turn = (turn + 1) % server.turnsPerRound;
        if (turn === 0) rounds += 1;
        schedule();
      };
      const finish = (): void => {
        owed = rounds;
        onCredit = () => undefined;
        clearTimeout(timer);
        resolve(rounds);
      };
      // Receivers may be so far behind that no credit comes.
      const timer = setTimeout(schedule, Math.max(0, endMs - performance.now()));
      onCredit = schedule;
      schedule();
    });

  const paced = async (seconds: number, roundsPerSecond: number): Promise<Measured> => {
    const turnMs = 1_000 / roundsPerSecond / server.turnsPerRound;
    const warmUpTurns = Math.ceil(roundsPerSecond * WARM_UP_SECONDS) * server.turnsPerRound;
    const allTurns = warmUpTurns + Math.ceil(roundsPerSecond * seconds) * server.turnsPerRound;
    const startMs = performance.now();
    let meter = startMeter();
    for (let turns = 0; turns < allTurns;) {
      const waitMs = startMs + turns * turnMs - performance.now();
      // Timers are too coarse for waits below their own grain: those are spun through the event loop.
      if (waitMs > 1) await sleep(Math.floor(waitMs));
      else await nextTurn();
      if (waitMs > 0) continue;
      if (turns === warmUpTurns) meter = startMeter();
      server.publish(turns % server.turnsPerRound);
      turns += 1;
    }
    const rounds = allTurns / server.turnsPerRound;
    return { rounds, measured: (allTurns - warmUpTurns) / server.turnsPerRound, ...meter() };
  };

  const closedRun = async (seconds: number, depth: number): Promise<Measured> => {
    const warmUpSeconds = server.turnsPerRound > 1 ? WARM_UP_SECONDS : 0;
    const before = await closed(performance.now() + warmUpSeconds * 1_000, depth);
    const meter = startMeter();
    const measured = await closed(performance.now() + seconds * 1_000, depth);
    return { rounds: before + measured, measured, ...meter() };
  };

  for await (const line of createInterface({ input: process.stdin })) {
    const [command, seconds, amount] = line.split(' ');
    if (command === 'quit') break;
    if (command === 'memory') console.log(JSON.stringify(memory()));
    else {
      const run = command === 'closed' ? closedRun : paced;
      console.log(JSON.stringify(await run(Number(seconds), Number(amount))));
    }
  }
  process.exit();
}

function startMeter(): () => { cpu: number; wall: number } {
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { cpu: (user + system) / 1e6, wall: (performance.now() - startMs) / 1_000 };
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

let collect: (() => void) | undefined;

function memory(): object {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  const { rss, heapUsed, arrayBuffers, external } = process.memoryUsage();
  return { rss, heapUsed, arrayBuffers, external };
}
