import type { JSX } from 'preact';
import { timeOfDay } from '../format.ts';
import { useStore } from '../store.ts';
import { useLink } from './hooks.ts';
import { Panel } from './panel.tsx';

const SHOWN_LIMIT = 60;

/** What happened to the connection and its streams, newest first. */
export function JournalPanel(): JSX.Element {
  const { journal } = useLink();
  const entries = useStore(journal.entries);
  return (
    <Panel name="journal" title="What happened">
      {entries.length === 0 && <p class="empty">Nothing yet.</p>}
      <ol class="journal" tabIndex={0} aria-label="Events, newest first">
        {entries.slice(0, SHOWN_LIMIT).map(({ id, at, subject, text, good }) => (
          <li key={id}>
            <span class="soft">
              {timeOfDay(at)}.{String(at % 1_000).padStart(3, '0')}
            </span>{' '}
            <span class={good ? 'up' : 'down'}>{good ? '●' : '▲'}</span> <strong>{subject}</strong> {text}
          </li>
        ))}
      </ol>
    </Panel>
  );
}
