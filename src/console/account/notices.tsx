import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Panel } from '../parts/panel.tsx';
import { useEvents } from './data.ts';

const SHOWN_LIMIT = 30;
type Notice = Readonly<{ id: string; title: string; text: string }>;

/** What the server wants to say to this user, from now on. */
export function Notices(): JSX.Element {
  const [notices, setNotices] = useState<readonly Notice[]>([]);
  const stream = useEvents('notifications', ({ event }) => {
    if (event.type !== 'notification') return;
    const { id, title, text } = event.notification;
    setNotices((known) => [{ id, title, text }, ...known].slice(0, SHOWN_LIMIT));
  });
  return (
    <Panel name="notices" title="Messages" stream={{ subscription: null, state: stream.state }}>
      {notices.length === 0 && <p class="empty">Nothing to tell. Fills, expiries and warnings will show here.</p>}
      <ol class="journal" aria-live="polite">
        {notices.map(({ id, title, text }) => (
          <li key={id}>
            <strong>{title}</strong> {text}
          </li>
        ))}
      </ol>
    </Panel>
  );
}
