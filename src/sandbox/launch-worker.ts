import { parentPort, workerData } from 'node:worker_threads';
import { createLog } from '../platform/log.ts';
import type { FromSandboxThread, SandboxThreadData, ToSandboxThread } from './launch.ts';
import { openRecording } from './recording-folder.ts';
import { startSandbox } from './server.ts';
import { createSimulation } from './simulation/index.ts';
import { SANDBOX_VENUES } from './tape.ts';
import type { SandboxVenue, TapeSource } from './tape.ts';

/** What a simulation lists when nobody says otherwise: the venues that the product starts with. */
const DEFAULT_VENUES: readonly SandboxVenue[] = ['binance', 'kraken', 'coinbase', 'kucoin'];

const config = workerData as SandboxThreadData;
const tell = (message: FromSandboxThread): void => parentPort!.postMessage(message);
const log = createLog({ level: config.logLevel, destination: { write: (line) => tell({ type: 'log', line }) } });
const clock = { now: () => Date.now(), monotonic: () => performance.now() };

try {
  const sources = config.marketData === 'recording' ? await recordings() : simulations();
  const { host, port, seed } = config;
  const sandbox = await startSandbox({
    sources,
    log,
    seed,
    ...(config.faults === null ? {} : { faults: config.faults }),
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
  });
  const origins = Object.fromEntries(sources.map(({ venue, origin }) => [venue, origin]));
  parentPort!.on('message', (message: ToSandboxThread) => {
    if (message.type === 'stop') void sandbox.stop().then(() => parentPort!.close());
  });
  tell({ type: 'ready', url: sandbox.url, venues: sandbox.venues, origins });
} catch (error) {
  tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  parentPort!.close();
}

async function recordings(): Promise<TapeSource[]> {
  const { replayDir, speed, loop, venues } = config;
  if (replayDir === null) throw new Error('a recording needs a folder: REPLAY_DIR');
  const sources = await openRecording(replayDir, { speed, loop, log });
  const wanted = sources.filter(({ venue }) => venues === null || venues.includes(venue));
  if (wanted.length === 0) {
    const held = sources.map(({ venue }) => venue).join(', ');
    throw new Error(`${replayDir} holds ${held}, not ${venues!.join(', ')}`);
  }
  return wanted;
}

function simulations(): TapeSource[] {
  const known: readonly string[] = SANDBOX_VENUES;
  const venues = (config.venues ?? DEFAULT_VENUES) as readonly SandboxVenue[];
  const strange = venues.filter((venue) => !known.includes(venue));
  if (strange.length > 0) throw new Error(`the sandbox exchange speaks ${known.join(', ')}, not ${strange.join(', ')}`);
  return createSimulation({ venues, seed: config.seed, clock });
}
