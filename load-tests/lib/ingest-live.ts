import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';

/** The exchange, and the processes that take its frames (what the modes are stands there). */
const SENDER = resolve(import.meta.dirname, '../../src/testing/depth-sender.ts');
const PASS = resolve(import.meta.dirname, '../../src/testing/ingest-live.ts');
/** A market changes this often a second; a sender that gets less than nearly all of it out was short of a processor. */
const CHANGES_PER_SECOND = 10;
const PACE_KEPT = 0.98;
/** A stream at `100ms` whose book changes every 100 ms has little to leave out. */
const PUBLISHED_LEAST = 0.7;
/** A process that has been asked something answers, or ends, within this. */
const ANSWER_MS = 120_000;

export const LIVE_MODES = ['ccxt', 'handler', 'whole'] as const;
export type LiveMode = (typeof LIVE_MODES)[number];
/** `us`: CPU of the process per frame, microseconds; `busyShare`: of one core. */
export type LiveFigures = Readonly<{
  us: number;
  framesPerSecond: number;
  busyShare: number;
  publishedPerFrame: number;
  doubts: number;
}>;
export type LiveCase = Readonly<{ levels: number; markets: number }>;

/** One process takes the frames of an exchange of its own. Throws when the pass is void: frames lost, late or left out. */
export async function playLive(mode: LiveMode, { levels, markets }: LiveCase): Promise<LiveFigures> {
  const sender = fork(SENDER, [String(markets), String(levels)]);
  const processes = [sender];
  try {
    const { url } = await answerOf<{ url: string }>(sender);
    const pass = fork(PASS, [mode, String(markets), url]);
    processes.push(pass);
    const { figures } = await answerOf<{ figures: LiveFigures }>(pass);
    sender.send('stop');
    pass.send(await answerOf<{ lastIds: number }>(sender));
    const { complete } = await answerOf<{ complete: boolean }>(pass);
    const fault = faultOf(mode, markets, figures, complete);
    if (fault !== undefined)
      throw new Error(`void pass (${mode}, ${levels} levels): ${fault}: ${JSON.stringify(figures)}`);
    return figures;
  } finally {
    await Promise.all(processes.map(end));
  }
}

function faultOf(mode: LiveMode, markets: number, figures: LiveFigures, complete: boolean): string | undefined {
  if (!complete) return 'it did not end where the exchange ended';
  if (figures.framesPerSecond < PACE_KEPT * markets * CHANGES_PER_SECOND) return 'the exchange did not keep its pace';
  if (figures.doubts > 0) return 'a book was in doubt';
  if (mode === 'whole' && figures.publishedPerFrame < PUBLISHED_LEAST) return 'too little was published';
  return undefined;
}

/** The next thing that a process says. */
async function answerOf<Answer>(process: ChildProcess): Promise<Answer> {
  const given = new AbortController();
  const signal = AbortSignal.any([given.signal, AbortSignal.timeout(ANSWER_MS)]);
  try {
    const message = once(process, 'message', { signal }).then(([first]) => first as Answer);
    const ended = once(process, 'exit', { signal }).then(([code]) => {
      throw new Error(`${process.spawnargs.slice(1).join(' ')} ended with ${code}`);
    });
    return await Promise.race([message, ended]);
  } finally {
    given.abort();
  }
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  process.kill('SIGKILL');
  await once(process, 'exit');
}
