import { FEED_LIMITS } from './settings.ts';
import { ThreadLink } from './thread-link.ts';

/** A process of its own: prints the native modules that it has once a venue's thread has loaded all that it needs. */
const link = new ThreadLink(
  {
    // Nobody listens there: the first attempt fails when everything has been loaded.
    settings: { venue: 'kucoin', ccxtId: 'kucoin', source: 'simulation', sandboxUrl: 'http://127.0.0.1:1' },
    limits: FEED_LIMITS,
    bannedUntil: 0,
  },
  {
    onMessage(message) {
      if (!('type' in message) || message.type !== 'attempt') return;
      const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: readonly string[] };
      process.stdout.write(JSON.stringify(sharedObjects.filter((path) => path.endsWith('.node'))));
      void link.stop();
    },
    onEnd(reason) {
      throw new Error(reason);
    },
  },
);
