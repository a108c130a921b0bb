import type { JSX } from 'preact';
import { useContext } from 'preact/hooks';
import type { z } from 'zod';
import type { AdminStatusSchema, LedgerCheck } from '../../protocol/trading-answers.ts';
import { AccountContext, useAccount } from '../account/account.ts';
import { EntryCard } from '../account/entry-card.tsx';
import { DataTable } from '../account/table.tsx';
import { useAct } from '../account/use-act.ts';
import { ABSENT, dateAndTime, duration } from '../format.ts';
import { useLoaded, useTick } from '../parts/hooks.ts';
import type { Loaded } from '../parts/hooks.ts';
import { Fact } from '../parts/market-head.tsx';
import { Panel } from '../parts/panel.tsx';
import { useVenues } from '../parts/venues.ts';
import { messageOf } from '../rest.ts';

const REFRESH_MS = 5_000;
type AdminStatus = Readonly<z.infer<typeof AdminStatusSchema>>;

/** How the system does. The server decides who may see it. */
export function OperateScreen(): JSX.Element {
  const account = useContext(AccountContext);
  if (!account) return <EntryCard />;
  if (!account.user.roles.includes('admin')) {
    return (
      <p class="empty">
        This page is for admins. Whoever runs the server makes you one with{' '}
        <code>node src/main.ts admin:grant {account.user.email}</code>; then log in again.
      </p>
    );
  }
  return <Operations />;
}

function Operations(): JSX.Element {
  const { session } = useAccount();
  const round = Math.floor(useTick(REFRESH_MS) / REFRESH_MS);
  const loaded = useLoaded(`status ${round}`, (signal) => session.request<AdminStatus>('/v1/admin/status', { signal }));
  const status = loaded.value;
  return (
    <div class="operate">
      <h1 class="visually-hidden">Operations</h1>
      {loaded.status === 'failed' && (
        <p class="problem" role="alert">
          {messageOf(loaded.error)}. {status && `What stands below is of ${dateAndTime(status.at)}.`}
        </p>
      )}
      <VenueHealth unreported={status?.unreported ?? []} />
      <Figures figures={status?.figures ?? {}} at={status?.at ?? null} />
      <LedgerState check={status?.ledger ?? null} loaded={loaded} />
    </div>
  );
}

const VENUE_COLUMNS = [
  { name: 'Venue' },
  { name: 'State' },
  { name: 'Source' },
  { name: 'Messages/s', number: true },
  { name: 'Lag', number: true },
  { name: 'Last message', number: true },
  { name: 'Subscriptions', number: true },
  { name: 'Reconnects', number: true },
  { name: 'Circuit' },
];

/** From the public streams, which are newer than any answer. */
function VenueHealth({ unreported }: Readonly<{ unreported: readonly string[] }>): JSX.Element {
  const at = useTick(REFRESH_MS);
  const venues = [...useVenues().values()];
  return (
    <Panel name="venue-health" title="Venues">
      <DataTable
        label="Venue health"
        columns={VENUE_COLUMNS}
        empty="No venue has reported yet."
        rows={venues.map((venue) => (
          <tr key={venue.venue}>
            <th scope="row">{venue.venue}</th>
            <td>
              <span class={`dot ${venue.status}`} aria-hidden="true" /> {venue.status}{' '}
              <span class="soft">{venue.reason}</span>
            </td>
            <td>{venue.source}</td>
            <td class="number">{venue.messagesPerSecond.toFixed(1)}</td>
            <td class="number">{duration(venue.lagMs)}</td>
            <td class="number">{venue.lastMessageTs === null ? ABSENT : duration(at - venue.lastMessageTs)}</td>
            <td class="number">{venue.upstreams}</td>
            <td class="number">{venue.reconnects}</td>
            <td>{venue.circuit.replace('_', ' ')}</td>
          </tr>
        ))}
      />
      {unreported.length > 0 && <p class="note down">Configured and never heard of: {unreported.join(', ')}.</p>}
    </Panel>
  );
}

function Figures({
  figures,
  at,
}: Readonly<{ figures: Readonly<Record<string, number>>; at: number | null }>): JSX.Element {
  const names = Object.keys(figures).toSorted();
  return (
    <Panel name="figures" title={`This process${at === null ? '' : `, ${dateAndTime(at)}`}`}>
      {names.length === 0 && <p class="empty">Nothing was measured yet.</p>}
      <dl class="facts padded">
        {names.map((name) => (
          <Fact key={name} name={name.replaceAll('_', ' ').replaceAll('.', ', ')} text={String(figures[name])} />
        ))}
      </dl>
    </Panel>
  );
}

function LedgerState({
  check,
  loaded,
}: Readonly<{ check: LedgerCheck | null; loaded: Loaded<AdminStatus> }>): JSX.Element {
  const { session } = useAccount();
  const { run, busy, problem } = useAct();
  const verify = async (): Promise<void> => {
    await session.request<LedgerCheck>('/v1/admin/ledger/verification');
    loaded.reload();
  };
  return (
    <Panel
      name="ledger"
      title="Ledger"
      actions={
        <button type="button" disabled={busy} onClick={() => void run(verify)}>
          {busy ? 'Recomputing…' : 'Recompute it now'}
        </button>
      }
    >
      {!check && <p class="empty">Not checked since this process started.</p>}
      {check && (
        <>
          <dl class="facts padded">
            <Fact name="Verdict" text={check.ok ? 'every promise holds' : 'BROKEN'} tone={check.ok ? 'up' : 'down'} />
            <Fact name="Checked" text={dateAndTime(check.at)} />
            <Fact name="Promises" text={String(check.checks)} />
            <Fact name="Journals" text={String(check.journals)} />
            <Fact name="Accounts" text={String(check.accounts)} />
          </dl>
          <ul class="padded">
            {check.breaches.map(({ invariant, promise, count }) => (
              <li key={invariant} class="down">
                {invariant}: {promise} ({count})
              </li>
            ))}
          </ul>
        </>
      )}
      {problem && (
        <p class="problem padded" role="alert">
          {problem}
        </p>
      )}
    </Panel>
  );
}
