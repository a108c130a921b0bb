import type { FromThread } from './thread-protocol.ts';

const DETAIL_LIMIT_CHARS = 500;
type Note = Extract<FromThread, { type: 'note' }>;

/** A line for the log, which only the main thread writes. */
export function note(level: Note['level'], event: string, detail: string): Note {
  return { type: 'note', level, event, detail: detail.slice(0, DETAIL_LIMIT_CHARS) };
}

export function messageOf(error: unknown): string {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return message.slice(0, DETAIL_LIMIT_CHARS);
}
