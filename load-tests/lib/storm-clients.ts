import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export type StormSetup = Readonly<{ host: string; port: number; count: number; streams: readonly string[] }>;
export type StormCommand = 'cut' | 'stop';
/**
 * Times are milliseconds from the moment of the cut, one per client, unsorted. `refused`: handshakes answered with an error, `broken`:
 * connections that ended otherwise before their book was proved; with one per client that is back, both make up `attempts`.
 * `wrong`: books that failed their proof.
 */
export type StormReport = Readonly<{
  back: readonly number[];
  missing: number;
  attempts: number;
  refused: number;
  broken: number;
  wrong: number;
  silentGaps: number;
}>;

/** Clients with one book each, that can all be cut in one moment and then come back as clients do: with jittered backoff. */
export type StormClients = Readonly<{
  /** What it took until every client had its book for the first time. */
  first: StormReport;
  /** All connections end at once; resolves when every client has its proved book again, or at the limit. */
  cut(): Promise<StormReport>;
  stop(): Promise<void>;
}>;

/** Resolves when every client has its book; throws when one has not. */
export async function startStormClients(
  baseUrl: string,
  options: Readonly<{ count: number; streams: readonly string[] }>,
): Promise<StormClients> {
  const { hostname, port } = new URL(baseUrl);
  const workerData: StormSetup = { host: hostname, port: Number(port), ...options };
  const worker = new Worker(new URL('./storm-worker.ts', import.meta.url), { workerData });
  const next = async (): Promise<StormReport> => ((await once(worker, 'message')) as [StormReport])[0];
  const stop = async (): Promise<void> => {
    worker.postMessage('stop' satisfies StormCommand);
    await once(worker, 'exit');
  };
  const first = await next();
  if (first.missing > 0) {
    await stop();
    throw new Error(`${first.missing} of ${options.count} clients never had their book`);
  }
  return {
    first,
    cut() {
      const report = next();
      worker.postMessage('cut' satisfies StormCommand);
      return report;
    },
    stop,
  };
}
