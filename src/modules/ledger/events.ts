import type { PrivateStream } from '../../protocol/trading.ts';

/** What happened to a user's money, as it stands in the user's event log. Amounts are smallest units, as text. */
export type BalanceEvent = Readonly<{
  type: 'balance';
  payload: Readonly<{
    asset: string;
    posted: string;
    held: string;
    /** Number of the account's entry that this event tells of. */
    version: number;
    /** Kind of the command, such as `trade`. */
    kind: string;
    journalId: string;
    referenceType: string | null;
    referenceId: string | null;
  }>;
}>;

/** An event in one user's log. `seq` rises by exactly 1 per user, whichever module wrote it; types are `BalanceEvent`'s and others'. */
export type UserEvent = Readonly<{
  userId: string;
  seq: number;
  type: string;
  payload: Readonly<Record<string, unknown>>;
  /** When its transaction began, by the database's clock; not in the order of `seq`. Unix milliseconds. */
  atMs: number;
}>;

/** An event as the log has it: with its place in the private stream that carries it, which rises by exactly 1 there. */
export type LoggedEvent = UserEvent & Readonly<{ stream: PrivateStream; streamSeq: number }>;
