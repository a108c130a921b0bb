import type { JSX } from 'preact';
import { useContext } from 'preact/hooks';
import type { AuditEntry, Session as SessionShape } from '../../protocol/accounts.ts';
import { AccountContext, useAccount } from '../account/account.ts';
import { EntryCard } from '../account/entry-card.tsx';
import { SecondFactor } from '../account/second-factor.tsx';
import { DataTable } from '../account/table.tsx';
import { useAct } from '../account/use-act.ts';
import { ABSENT, dateAndTime } from '../format.ts';
import { useLoaded } from '../parts/hooks.ts';
import { Fact } from '../parts/market-head.tsx';
import { Panel } from '../parts/panel.tsx';

const AUDIT_LIMIT = 50;

export function AccountScreen(): JSX.Element {
  return useContext(AccountContext) ? <Settings /> : <EntryCard />;
}

function Settings(): JSX.Element {
  return (
    <div class="settings">
      <h1 class="visually-hidden">Account</h1>
      <Profile />
      <SecondFactor />
      <Sessions />
      <Audit />
    </div>
  );
}

function Profile(): JSX.Element {
  const { user, session } = useAccount();
  const { run, busy, problem } = useAct();
  return (
    <Panel name="profile" title="You">
      <dl class="facts padded">
        <Fact name="E-mail" text={user.email} />
        <Fact name="Roles" text={user.roles.join(', ')} />
        <Fact name="Since" text={dateAndTime(user.createdAt)} />
      </dl>
      <p class="padded">
        <button type="button" disabled={busy} onClick={() => void run(() => session.logout())}>
          Log out
        </button>
      </p>
      {problem && (
        <p class="problem padded" role="alert">
          {problem}
        </p>
      )}
    </Panel>
  );
}

const SESSION_COLUMNS = [
  { name: 'Device' },
  { name: 'Address' },
  { name: 'Since' },
  { name: 'Last used' },
  { name: '' },
];

function Sessions(): JSX.Element {
  const { session } = useAccount();
  const loaded = useLoaded('sessions', (signal) =>
    session.request<{ sessions: SessionShape[] }>('/v1/auth/sessions', { signal }),
  );
  const { run, busy, problem } = useAct();
  const end = async (id: string): Promise<void> => {
    await session.request(`/v1/auth/sessions/${id}`, { method: 'DELETE' });
    loaded.reload();
  };
  return (
    <Panel name="sessions" title="Where you are logged in">
      {problem && (
        <p class="problem padded" role="alert">
          {problem}
        </p>
      )}
      <DataTable
        label="Sessions"
        columns={SESSION_COLUMNS}
        loaded={loaded}
        empty="No sessions."
        rows={(loaded.value?.sessions ?? []).map((each) => (
          <tr key={each.id}>
            <td class="wraps">{each.device ?? each.userAgent ?? 'unknown'}</td>
            <td>{each.ip}</td>
            <td>{dateAndTime(each.createdAt)}</td>
            <td>{dateAndTime(each.lastUsedAt)}</td>
            <td>
              {each.current ? (
                'this one'
              ) : (
                <button type="button" disabled={busy} onClick={() => void run(() => end(each.id))}>
                  End it
                </button>
              )}
            </td>
          </tr>
        ))}
      />
    </Panel>
  );
}

const AUDIT_COLUMNS = [{ name: 'When' }, { name: 'What' }, { name: 'Outcome' }, { name: 'From' }];

function Audit(): JSX.Element {
  const { session } = useAccount();
  const loaded = useLoaded('audit', (signal) =>
    session.request<{ entries: AuditEntry[] }>(`/v1/audit?limit=${AUDIT_LIMIT}`, { signal }),
  );
  return (
    <Panel name="audit" title="What was done in your name">
      <DataTable
        label="Audit log"
        columns={AUDIT_COLUMNS}
        loaded={loaded}
        empty="Nothing yet."
        rows={(loaded.value?.entries ?? []).map((entry) => (
          <tr key={entry.seq}>
            <td>{dateAndTime(entry.at)}</td>
            <td>{entry.act.replaceAll('_', ' ')}</td>
            <td class={entry.outcome === 'ok' ? 'up' : 'down'}>{entry.outcome}</td>
            <td>{entry.ip ?? ABSENT}</td>
          </tr>
        ))}
      />
    </Panel>
  );
}
