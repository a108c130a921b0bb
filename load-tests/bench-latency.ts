// npm run bench:latency. From the arrival of exchange data to the sockets of many subscribers, and what a message costs.
import { setTimeout as sleep } from 'node:timers/promises';
import { describeConditions, inMs } from './lib/conditions.ts';
import { histogramQuantile, sumOf } from './lib/prometheus.ts';
import type { Samples } from './lib/prometheus.ts';
import { freePort, startServer } from './lib/server-process.ts';
import { readNumber, readSettings } from './lib/settings.ts';
import { profileThreads } from './lib/thread-profile.ts';
import type { ThreadProfile } from './lib/thread-profile.ts';
import { overall, startSubscribers } from './lib/subscribers.ts';
import type { ChannelLatency, PhaseCounts } from './lib/subscribers.ts';

const settings = readSettings(process.env, { users: 1_000, seconds: 15 });
const threads = readNumber('THREADS', process.env.THREADS, 1);
/** Subscribing a thousand clients is a burst of its own; what it left behind is not measured. */
const SETTLE_MS = 3_000;
const PROFILE_MS = 5_000;
const VENUE_THREAD = 'feed/worker';

function latencyLine(name: string, { ingestToSent, sentToReceived, ingestToReceived }: ChannelLatency): string {
  const pair = (histogram: ChannelLatency['sentToReceived']): string =>
    `${inMs(histogram.quantile(0.5)).padStart(5)} / ${inMs(histogram.quantile(0.99)).padStart(5)}`;
  const count = ingestToReceived.count.toLocaleString('en');
  return `  ${name.padEnd(8)} ${pair(ingestToReceived)}    ${pair(ingestToSent)}    ${pair(sentToReceived)}   ${count} frames`;
}

function printLatencies(counts: PhaseCounts, seconds: number, before: Samples, after: Samples): void {
  const { frames, bytes, channels } = counts;
  const rate = Math.round(frames / seconds).toLocaleString('en');
  console.log(`${rate} frames/s to ${settings.users} subscribers, ${(bytes / seconds / 2 ** 20).toFixed(1)} MiB/s`);
  console.log('  p50 / p99 ms   ingest->received   ingest->sent    sent->received');
  for (const [channel, latency] of Object.entries(channels)) console.log(latencyLine(channel, latency));
  console.log(latencyLine('all', overall(counts)));
  const quantile = (share: number): string =>
    inMs(histogramQuantile(before, after, 'gateway_ingest_to_socket_ms', share));
  console.log(`server's own sample, ingest -> last socket written: p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms`);
}

function printCosts(before: Samples, after: Samples, seconds: number, profile: ThreadProfile): void {
  const gained = (name: string): number => sumOf(after, name) - sumOf(before, name);
  const cpuMs = gained('process_cpu_seconds_total') * 1_000;
  const venueMs = gained('feed_thread_cpu_ms_total');
  const frames = gained('feed_frames_total');
  const share = (part: number): string => `${((100 * part) / cpuMs).toFixed(0)} %`;
  const perFrameUs = (1_000 * venueMs) / frames;
  console.log(
    `exchange frames: ${Math.round(frames / seconds)}/s; server CPU ${(cpuMs / seconds / 10).toFixed(0)} % of one core`,
  );
  console.log(
    `  venue thread: ${perFrameUs.toFixed(0)} us per exchange frame, ${share(venueMs)} of the server's CPU, of that`,
  );
  const parts = {
    ccxt: profile.ccxt,
    'our tap and normalising': profile.ours,
    'Node, sockets, native code': profile.runtime,
    'garbage collection': profile.garbage,
  };
  for (const [name, part] of Object.entries(parts)) {
    console.log(
      `    ${name.padEnd(28)} ${(100 * part).toFixed(0).padStart(3)} %, ${(perFrameUs * part).toFixed(0)} us`,
    );
  }
  console.log(
    `  everything else (sequencer, gateway with ${settings.users} sockets, simulated exchange): ${share(cpuMs - venueMs)}`,
  );
}

async function run(): Promise<void> {
  console.log(describeConditions());
  console.log(`streams of each subscriber: ${settings.streams.join(' ')}`);
  const inspectPort = await freePort();
  const server = await startServer({ nodeArguments: [`--inspect=127.0.0.1:${inspectPort}`] });
  try {
    const subscribers = await startSubscribers(server.baseUrl, {
      count: settings.users,
      threads,
      streams: settings.streams,
    });
    await sleep(SETTLE_MS);
    const before = await server.metrics();
    const startedAt = performance.now();
    subscribers.begin();
    await sleep(settings.durationMs);
    const counts = await subscribers.end();
    const seconds = (performance.now() - startedAt) / 1_000;
    const after = await server.metrics();
    // Only now: a profiler costs time of its own.
    const profile = await profileThreads(inspectPort, VENUE_THREAD, PROFILE_MS);
    await subscribers.stop();
    printLatencies(counts, seconds, before, after);
    printCosts(before, after, seconds, profile);
    if (counts.closed > 0 || counts.frames === 0)
      throw new Error(`${counts.closed} subscribers were closed, ${counts.frames} frames came`);
  } finally {
    await server.stop();
  }
}

await run();
