import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../kernel/assert.ts';
import { createLog } from '../platform/log.ts';
import type { Log } from '../platform/log.ts';
import type { SandboxConfig, ThreadNote } from './launch.ts';
import { openRecording } from './recording-folder.ts';
import type { Sandbox } from './server.ts';
import { startSandbox } from './server.ts';
import { createSimulation } from './simulation/index.ts';
import type { SandboxVenue, TapeSource } from './tape.ts';
import { SANDBOX_VENUES } from './tape.ts';

/** The simulation's venues when none are named: those whose listings it has been calibrated for. */
const SIMULATED_VENUES: readonly SandboxVenue[] = ['binance', 'kraken', 'coinbase', 'kucoin'];
const LEVELS: Readonly<Record<number, 'info' | 'warn' | 'error'>> = {
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'error',
};

const { config, level } = workerData as { config: SandboxConfig; level: string };

function tell(note: ThreadNote): void {
  assert(parentPort, 'the sandbox thread was started as a program');
  parentPort.postMessage(note);
}

/** Lines go to the parent, which has the process's one log. */
function relayLog(): Log {
  const write = (line: string): void => {
    const { level: number, time: _time, ...fields } = JSON.parse(line) as Record<string, unknown>;
    const name = LEVELS[number as number];
    if (name !== undefined) tell({ type: 'log', level: name, fields });
  };
  return createLog({ level, destination: { write } });
}

async function openSources(log: Log): Promise<TapeSource[]> {
  const named = config.venues === null ? null : SANDBOX_VENUES.filter((venue) => config.venues!.includes(venue));
  if (config.marketData === 'simulation') {
    const clock = { now: () => Date.now(), monotonic: () => performance.now() };
    return createSimulation({ venues: named ?? SIMULATED_VENUES, seed: config.seed, clock });
  }
  if (config.replayDir === null) throw new Error('REPLAY_DIR must name a folder of recordings');
  const sources = await openRecording(config.replayDir, { speed: config.speed, loop: config.loop, log });
  const wanted = sources.filter((source) => named === null || named.includes(source.venue));
  if (wanted.length > 0) return wanted;
  const recorded = sources.map((source) => source.venue).join(', ');
  throw new Error(`VENUES names none of the venues in ${config.replayDir}: ${recorded}`);
}

async function serve(): Promise<Sandbox> {
  const log = relayLog();
  const sources = await openSources(log);
  const { seed, faults, host } = config;
  return startSandbox({
    sources,
    log,
    seed,
    ...(faults === null ? {} : { faults }),
    ...(host === undefined ? {} : { host }),
  });
}

serve().then(
  (sandbox) => {
    parentPort!.once('message', () => {
      void sandbox.stop().then(() => parentPort!.close());
    });
    tell({ type: 'ready', url: sandbox.url, venues: sandbox.venues });
  },
  (error: unknown) => {
    tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
    parentPort!.close();
  },
);
