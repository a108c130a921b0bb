import { closeSync, existsSync, fdatasync, openSync, readFileSync, writeSync } from 'node:fs';

/**
 * What a load client knew, and when: each line is on disk before the client goes on. An operation has one intent, written
 * before it was sent, and at most one outcome, written after the answer; the last outcome counts.
 */
export type DiaryLine =
  | Readonly<{ type: 'intent'; number: number; expiresAtMs?: number }>
  | Readonly<{ type: 'ok'; number: number; journalId: string }>
  | Readonly<{ type: 'fail'; number: number; code: string }>
  | Readonly<{ type: 'unknown'; number: number }>
  | Readonly<{ type: 'seen'; userId: string; seq: number }>
  | Readonly<{ type: 'wrong'; what: string }>;

export type Diary<Line = DiaryLine> = Readonly<{ write(line: Line): Promise<void>; close(): void }>;

/** Lines that wait together go to the disk together. */
export function openDiary<Line = DiaryLine>(path: string): Diary<Line> {
  const file = openSync(path, 'a');
  let waiting: { text: string; settle: () => void; fail: (error: Error) => void }[] = [];
  let flushing = false;
  const flush = () => {
    if (flushing || waiting.length === 0) return;
    flushing = true;
    const batch = waiting;
    waiting = [];
    writeSync(file, batch.map((each) => each.text).join(''));
    fdatasync(file, (error) => {
      flushing = false;
      for (const each of batch) {
        if (error) each.fail(error);
        else each.settle();
      }
      flush();
    });
  };
  return {
    write: (line) =>
      new Promise((settle, fail) => {
        waiting.push({ text: `${JSON.stringify(line)}\n`, settle, fail });
        flush();
      }),
    close: () => closeSync(file),
  };
}

/** Every whole line; a kill can cut the last one short, and a new life then begins behind it. */
export function readDiary<Line = DiaryLine>(path: string): Line[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((text) => {
      try {
        return text === '' ? [] : [JSON.parse(text) as Line];
      } catch {
        return [];
      }
    });
}
