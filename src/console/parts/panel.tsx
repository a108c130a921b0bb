import type { ComponentChildren, JSX } from 'preact';
import type { Subscription, SubscriptionState } from '../../client/index.ts';
import { timeOfDay } from '../format.ts';
import { ProofLine } from './proof-line.tsx';

export type PanelProps = Readonly<{
  title: ComponentChildren;
  name: string;
  actions?: ComponentChildren;
  /** The stream that it shows. Without one (undefined) the panel has no proof line and no doubts. */
  stream?: Readonly<{ subscription: Subscription<unknown> | null; state: SubscriptionState | null }>;
  /** It holds more than it shows: the keyboard can scroll it. */
  scrolls?: string;
  children: ComponentChildren;
}>;

/** A titled region. What it shows is dimmed and said to be old as soon as its stream is not live. */
export function Panel({ title, name, actions, stream, scrolls, children }: PanelProps): JSX.Element {
  const doubt = stream?.state && stream.state.status !== 'live' ? stream.state : null;
  const status = stream ? (stream.state?.status ?? 'resyncing') : 'live';
  return (
    <section class={`panel panel-${name}`} aria-labelledby={`title-${name}`} data-status={status} data-panel={name}>
      <header class="panel-head">
        <h2 id={`title-${name}`}>{title}</h2>
        {actions && <div class="panel-actions">{actions}</div>}
      </header>
      <div class="panel-body" {...(scrolls ? { tabIndex: 0, role: 'region', 'aria-label': scrolls } : {})}>
        {doubt && <DoubtBadge doubt={doubt} />}
        {children}
      </div>
      {stream && <ProofLine stream={stream.subscription} state={stream.state} />}
    </section>
  );
}

const DOUBTS: Readonly<Record<string, string>> = {
  stale: 'Stale',
  resyncing: 'Resynchronising',
  down: 'No data',
  disconnected: 'Disconnected',
};

function DoubtBadge({ doubt }: Readonly<{ doubt: SubscriptionState }>): JSX.Element {
  const reason = doubt.reason === '' ? '' : `: ${doubt.reason}`;
  return (
    <p class="doubt" role="status">
      <strong>{DOUBTS[doubt.status] ?? doubt.status}</strong> since {timeOfDay(doubt.since)}
      {reason}
    </p>
  );
}
