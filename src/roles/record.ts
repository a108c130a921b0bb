import type { RecordCommand } from '../config/command-line.ts';
import { recordMarketData } from '../feed/recorder.ts';
import type { Log } from '../platform/log.ts';
import type { Running } from './parts.ts';

/** `npm run record`: live market data to disk, in the format that REPLAY_DIR takes. Ends by itself when the time is up. */
export async function startRecording(command: RecordCommand, log: Log): Promise<Running> {
  const { venues, symbols, dir, seconds } = command;
  const ending = new AbortController();
  const finished = recordMarketData({ venues, symbols, dir, seconds, log, signal: ending.signal });
  return {
    finished,
    async stop() {
      ending.abort();
      await finished;
    },
  };
}
