import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { RestFailure, messageOf } from '../rest.ts';
import { useStore } from '../store.ts';
import { useSession } from './account.ts';
import { formText } from './form-text.ts';

const PASSWORD_LEAST_CHARS = 8;

type Mode = 'register' | 'login';

/** The way in: a new account, or the one that is there. */
export function EntryCard(): JSX.Element {
  const state = useStore(useSession().state);
  const goodbye = state.status === 'out' ? state.reason : null;
  const [mode, setMode] = useState<Mode>(goodbye ? 'login' : 'register');
  return (
    <section class="entry panel" aria-labelledby="entry-title">
      <h1 id="entry-title">Trade with paper money</h1>
      <p class="soft">
        Orders fill against the live books you see here, with delay, depth and fees as they are. The money is made up;
        nothing here can cost you anything.
      </p>
      {goodbye && <p role="status">{goodbye}.</p>}
      <div class="segments" role="group" aria-label="New here or not">
        {(['register', 'login'] as const).map((each) => (
          <button key={each} type="button" aria-pressed={mode === each} onClick={() => setMode(each)}>
            {each === 'register' ? 'Sign up' : 'Log in'}
          </button>
        ))}
      </div>
      <EntryForm mode={mode} />
    </section>
  );
}

function EntryForm({ mode }: Readonly<{ mode: Mode }>): JSX.Element {
  const { enter, needsCode, problem, busy } = useEntry(mode);
  const isNew = mode === 'register';
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void enter(new FormData(event.currentTarget));
      }}
    >
      <label class="field">
        E-mail
        <input name="email" type="email" autocomplete="username" required maxLength={254} />
      </label>
      <label class="field">
        Password
        <input
          name="password"
          type="password"
          autocomplete={isNew ? 'new-password' : 'current-password'}
          required
          minLength={isNew ? PASSWORD_LEAST_CHARS : 1}
          maxLength={256}
        />
      </label>
      {needsCode && !isNew && (
        <label class="field">
          Code of the authenticator app, or a recovery code
          <input name="code" autocomplete="one-time-code" required maxLength={23} />
        </label>
      )}
      <button type="submit" class="primary" disabled={busy}>
        {isNew ? 'Sign up and get paper money' : 'Log in'}
      </button>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

function useEntry(mode: Mode) {
  const session = useSession();
  const [needsCode, setNeedsCode] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const enter = async (form: FormData): Promise<void> => {
    const code = formText(form, 'code').trim().toUpperCase();
    const credentials = {
      email: formText(form, 'email').trim(),
      password: formText(form, 'password'),
      ...(code !== '' && { code }),
    };
    setBusy(true);
    setProblem(null);
    try {
      await (mode === 'register' ? session.register(credentials) : session.login(credentials));
    } catch (error) {
      const wantsCode = error instanceof RestFailure && error.code === 'second_factor_required';
      if (wantsCode) setNeedsCode(true);
      setProblem(wantsCode ? 'Enter the code that your authenticator app shows now' : messageOf(error));
      setBusy(false);
    }
  };
  return { enter, needsCode, problem, busy };
}
