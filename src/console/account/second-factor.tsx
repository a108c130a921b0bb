import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { StepUpAct } from '../../protocol/accounts.ts';
import { Panel } from '../parts/panel.tsx';
import { useAccount } from './account.ts';
import type { Session } from './session.ts';
import { formText } from './form-text.ts';
import { useAct } from './use-act.ts';

type Setup = Readonly<{ secret: string; uri: string }>;
type RecoveryCodes = Readonly<{ recoveryCodes: readonly string[] }>;

/** A code of an authenticator app at each login: set up, switched off, and the way back in without the app. */
export function SecondFactor(): JSX.Element {
  const { user } = useAccount();
  const [codes, setCodes] = useState<readonly string[]>([]);
  return (
    <Panel name="second-factor" title="Second factor">
      <div class="padded stack">
        <p>
          {user.totp
            ? 'On: a login needs your password and a code of your authenticator app.'
            : 'Off: whoever knows your password can log in. An authenticator app on your phone stops that.'}
        </p>
        {codes.length > 0 && <Codes codes={codes} />}
        {user.totp ? <WhileOn onCodes={setCodes} /> : <WhileOff onCodes={setCodes} />}
      </div>
    </Panel>
  );
}

function Codes({ codes }: Readonly<{ codes: readonly string[] }>): JSX.Element {
  return (
    <div role="status">
      <p>
        <strong>Recovery codes.</strong> Each lets you in once without the app. They are shown this one time: keep them
        where you keep what matters.
      </p>
      <ul class="codes">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ul>
    </div>
  );
}

type OnCodes = Readonly<{ onCodes: (codes: readonly string[]) => void }>;

function WhileOff({ onCodes }: OnCodes): JSX.Element {
  const { session } = useAccount();
  const [setup, setSetup] = useState<Setup | null>(null);
  const { run, busy, problem } = useAct();
  const begin = async (): Promise<void> => setSetup(await session.request<Setup>('/v1/auth/totp', { method: 'POST' }));
  const confirm = async (form: FormData): Promise<void> => {
    const body = { code: formText(form, 'code').trim() };
    const { recoveryCodes } = await session.request<RecoveryCodes>('/v1/auth/totp/confirm', { method: 'POST', body });
    onCodes(recoveryCodes);
    await session.reloadUser();
  };
  return (
    <>
      {!setup && (
        <button type="button" disabled={busy} onClick={() => void run(begin)}>
          Set up an authenticator app
        </button>
      )}
      {setup && (
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            void run(() => confirm(form));
          }}
        >
          <p>
            Add an account in your app by this key, or <a href={setup.uri}>open the app on this device</a>:
          </p>
          <p>
            <code class="secret" data-testid="totp-secret">
              {setup.secret.replaceAll(/(.{4})(?=.)/g, '$1 ')}
            </code>
          </p>
          <CodeField />
          <button type="submit" class="primary" disabled={busy}>
            Switch it on
          </button>
        </form>
      )}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </>
  );
}

function CodeField(): JSX.Element {
  return (
    <label class="field">
      The code that the app shows
      <input name="code" inputMode="numeric" autocomplete="one-time-code" required maxLength={23} />
    </label>
  );
}

function WhileOn({ onCodes }: OnCodes): JSX.Element {
  const { session } = useAccount();
  const { run, busy, problem } = useAct();
  const [act, setAct] = useState<'totp_disable' | 'recovery_codes' | null>(null);
  const prove = async (form: FormData): Promise<void> => {
    const token = await stepUp(session, act!, formText(form, 'code').trim().toUpperCase());
    const headers = { 'x-step-up-token': token };
    if (act === 'totp_disable') {
      await session.request('/v1/auth/totp', { method: 'DELETE', headers });
      onCodes([]);
      await session.reloadUser();
    } else {
      const made = await session.request<RecoveryCodes>('/v1/auth/recovery-codes', { method: 'POST', headers });
      onCodes(made.recoveryCodes);
      setAct(null);
    }
  };
  return (
    <>
      <p class="row-actions">
        <button type="button" onClick={() => setAct('recovery_codes')}>
          New recovery codes
        </button>
        <button type="button" onClick={() => setAct('totp_disable')}>
          Switch it off
        </button>
      </p>
      {act && (
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            void run(() => prove(form));
          }}
        >
          <CodeField />
          <button type="submit" class="primary" disabled={busy}>
            {act === 'totp_disable' ? 'Switch the second factor off' : 'Make new recovery codes'}
          </button>
        </form>
      )}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </>
  );
}

/** Proof of who sits here, for one act only. */
async function stepUp(session: Session, act: StepUpAct, code: string): Promise<string> {
  const body = { act, operation: {}, code };
  return (await session.request<{ stepUpToken: string }>('/v1/auth/step-up', { method: 'POST', body })).stepUpToken;
}
