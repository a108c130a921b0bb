import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Histogram } from './histogram.ts';

export type SubscriberSetup = Readonly<{
  host: string;
  port: number;
  path: string;
  count: number;
  streams: readonly string[];
}>;
export type SubscriberCommand = 'begin' | 'end' | 'leave' | 'join' | 'stop';
export type ChannelLatency = { ingestToSent: Histogram; sentToReceived: Histogram; ingestToReceived: Histogram };
export type PhaseCounts = { frames: number; bytes: number; channels: Record<string, ChannelLatency> };
export type SubscriberReport = Readonly<{
  at: 'joined' | 'ended' | 'left';
  joined: number;
  closed: number;
  counts: PhaseCounts;
}>;

/** Subscribers in threads of their own, so that this process's main thread is free to control them. */
export type Subscribers = Readonly<{
  begin(): void;
  /** What all of them saw since `begin`. */
  end(): Promise<PhaseCounts & { closed: number }>;
  /** All of them unsubscribe and keep their connections, so that the machine is somebody else's. Resolves when they are answered. */
  leave(): Promise<void>;
  /** All of them subscribe again. Resolves when they are answered. */
  join(): Promise<void>;
  stop(): Promise<void>;
}>;

/** Resolves when every subscriber has its answer; throws when one has not. */
export async function startSubscribers(
  baseUrl: string,
  options: Readonly<{ count: number; threads: number; streams: readonly string[] }>,
): Promise<Subscribers> {
  const { hostname, port } = new URL(baseUrl);
  const workers = Array.from({ length: options.threads }, (_, index) => {
    const count = Math.floor((options.count + index) / options.threads);
    const workerData: SubscriberSetup = {
      host: hostname,
      port: Number(port),
      path: '/ws',
      count,
      streams: options.streams,
    };
    return new Worker(new URL('./subscriber-worker.ts', import.meta.url), { workerData });
  });
  const joined = await Promise.all(workers.map(nextReport));
  const answered = joined.reduce((sum, report) => sum + report.joined, 0);
  const stop = async (): Promise<void> => {
    for (const worker of workers) worker.postMessage('stop' satisfies SubscriberCommand);
    await Promise.all(workers.map((worker) => once(worker, 'exit')));
  };
  if (answered < options.count) {
    await stop();
    throw new Error(`only ${answered} of ${options.count} subscribers were answered`);
  }
  const reports = (command: SubscriberCommand): Promise<SubscriberReport[]> => {
    const next = Promise.all(workers.map(nextReport));
    for (const worker of workers) worker.postMessage(command);
    return next;
  };
  const move = async (command: 'join' | 'leave'): Promise<void> => {
    const moved = await reports(command);
    const total = (of: 'joined' | 'closed'): number => moved.reduce((sum, report) => sum + report[of], 0);
    const wanted = command === 'join' ? options.count : 0;
    if (total('joined') !== wanted) {
      throw new Error(`${total('joined')} subscribers are joined, not ${wanted}; ${total('closed')} were closed`);
    }
  };
  return {
    begin: () => workers.forEach((worker) => worker.postMessage('begin' satisfies SubscriberCommand)),
    end: async () => merge(await reports('end')),
    leave: () => move('leave'),
    join: () => move('join'),
    stop,
  };
}

async function nextReport(worker: Worker): Promise<SubscriberReport> {
  const [report] = (await once(worker, 'message')) as [SubscriberReport];
  return report;
}

function merge(reports: readonly SubscriberReport[]): PhaseCounts & { closed: number } {
  const sum: PhaseCounts & { closed: number } = { frames: 0, bytes: 0, channels: {}, closed: 0 };
  for (const { counts, closed } of reports) {
    sum.frames += counts.frames;
    sum.bytes += counts.bytes;
    sum.closed += closed;
    for (const [channel, part] of Object.entries(counts.channels)) {
      addLatency((sum.channels[channel] ??= emptyLatency()), part);
    }
  }
  return sum;
}

/** Over all channels. */
export function overall(counts: PhaseCounts): ChannelLatency {
  const whole = emptyLatency();
  for (const part of Object.values(counts.channels)) addLatency(whole, part);
  return whole;
}

export function emptyLatency(): ChannelLatency {
  return { ingestToSent: new Histogram(), sentToReceived: new Histogram(), ingestToReceived: new Histogram() };
}

export function addLatency(whole: ChannelLatency, part: ChannelLatency): void {
  for (const name of ['ingestToSent', 'sentToReceived', 'ingestToReceived'] as const) {
    // A histogram that crossed a thread boundary is plain data.
    whole[name].add(new Histogram(part[name].counts, part[name].max));
  }
}
