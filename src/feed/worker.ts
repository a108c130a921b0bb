import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../kernel/assert.ts';
import { messageOf, note } from './thread-notes.ts';
import type { FromThread, ThreadSettings, ToThread } from './thread-protocol.ts';
import { VenueThread } from './venue-thread.ts';

/** Entry of a venue's thread: one exchange, so that one that hangs or leaks harms no other and can be ended. */
assert(parentPort !== null, 'the feed worker runs as a worker thread');
const port = parentPort;
const post = (message: FromThread, moved?: ArrayBuffer[]): void => port.postMessage(message, moved);

const venue = new VenueThread({
  thread: workerData as ThreadSettings,
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  random: Math.random,
  post,
});

// ccxt leaves some promises alone; a rejection nobody awaits must not end the thread. Real crashes still do.
process.on('unhandledRejection', (error) => post(note('warn', 'feed_unhandled_rejection', messageOf(error))));

port.on('message', (message: ToThread) => {
  venue.handle(message);
  if (message.type === 'stop') port.close();
});
await venue.start();
