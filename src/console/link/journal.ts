import { createStore } from '../store.ts';
import type { Store } from '../store.ts';

const ENTRIES_LIMIT = 200;

export type JournalEntry = Readonly<{ id: number; at: number; subject: string; text: string; good: boolean }>;
/** What happened to the connection and its streams, newest first. */
export type Journal = Readonly<{
  entries: Store<readonly JournalEntry[]>;
  add(subject: string, text: string, good: boolean): void;
}>;

export function createJournal(now: () => number): Journal {
  const entries = createStore<readonly JournalEntry[]>([]);
  let id = 0;
  return {
    entries,
    add(subject, text, good) {
      const entry = { id: ++id, at: now(), subject, text, good };
      entries.set([entry, ...entries.get().slice(0, ENTRIES_LIMIT - 1)]);
    },
  };
}
