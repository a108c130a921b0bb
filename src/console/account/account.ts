import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { User } from '../../protocol/accounts.ts';
import { createLink } from '../link/link.ts';
import type { Link } from '../link/link.ts';
import { messageOf } from '../rest.ts';
import { useStore } from '../store.ts';
import type { Session } from './session.ts';

/** Somebody who is logged in, and the connection that is theirs. */
export type Account = Readonly<{ user: User; session: Session; link: Link }>;
export const SessionContext = createContext<Session | null>(null);
export const AccountContext = createContext<Account | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new TypeError('there is no session above this component');
  return session;
}

/** Only below components that are shown to users who are logged in. */
export function useAccount(): Account {
  const account = useContext(AccountContext);
  if (!account) throw new TypeError('nobody is logged in');
  return account;
}

/** Between a connection that the server ended and the next one, if the session still stands. */
const AGAIN_MS = 2_000;

/** A connection of its own for what is private: it begins and ends with the session, and the public one goes on. */
export function useAccountLink(session: Session, market: Link): Account | null {
  const state = useStore(session.state);
  const [link, setLink] = useState<Link | null>(null);
  const [round, setRound] = useState(0);
  const userId = state.status === 'in' ? state.user.id : null;
  useEffect(() => {
    if (userId === null) return setLink(null);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const opened: { link?: Link } = {};
    opened.link = createLink({
      origin: location.origin,
      beside: market,
      authenticate: async () => ({ token: await session.token() }),
      onRefused() {
        // Either the session is over, which this finds out, or the connection alone is.
        session.reloadUser().catch((error: unknown) => market.journal.add('session', messageOf(error), false));
        if (opened.link?.client.connection.status === 'stopped')
          timer ??= setTimeout(() => setRound(round + 1), AGAIN_MS);
      },
    });
    setLink(opened.link);
    return () => {
      clearTimeout(timer);
      opened.link?.close();
    };
  }, [userId, session, market, round]);
  return state.status === 'in' && link ? { user: state.user, session, link } : null;
}
