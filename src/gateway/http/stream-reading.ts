import type { StreamCache, StreamView } from '../../modules/market/stream-cache.ts';
import type { StreamMessage, StreamState } from '../../protocol/messages.ts';

/** What a stream said last, and how far it is to be believed. */
export type StreamReading = Readonly<{ message: StreamMessage; state: StreamState }>;

/**
 * The stream's state at this moment. A stream that nobody used until now is started and given `waitMs` to come alive;
 * one that has data answers at once, however old the data is: its state says so. Null: no data at all within the time.
 */
export async function readStream(cache: StreamCache, stream: string, waitMs: number): Promise<StreamReading | null> {
  let changed = (): void => {};
  const lease = cache.lease(stream, { onMessage: () => changed(), onReset: () => changed() });
  try {
    const known = readingOf(lease.view);
    if (known !== null) return known;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      // A stream that starts brings its first snapshot right before the word that it is live: waiting for both saves the
      // client a false doubt.
      changed = () => {
        if (lease.view.snapshot() === null || lease.view.state.status === 'resyncing') return;
        clearTimeout(timer);
        resolve();
      };
      void lease.ready.then(() => changed());
    });
    return readingOf(lease.view);
  } finally {
    lease.release();
  }
}

function readingOf(view: StreamView): StreamReading | null {
  const snapshot = view.snapshot();
  return snapshot === null ? null : { message: snapshot.message, state: view.state };
}
