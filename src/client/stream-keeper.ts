import type { Envelope } from '../protocol/messages.ts';

/** `no_snapshot`: a change came without the state it changes. Everything but `applied` makes the client ask for a snapshot. */
export type KeeperVerdict = 'applied' | 'no_snapshot' | 'checksum_mismatch' | 'malformed';

/** What one stream has said so far. Told of snapshots, deltas and updates only, each exactly once and in order. */
export interface StreamKeeper {
  /** True: an update means nothing without a snapshot before it. */
  readonly needsSnapshot: boolean;
  /** True: every message is a fact of its own, so a hole in the sequence is a loss that the user must hear of. */
  readonly losesByGap: boolean;
  readonly hasData: boolean;
  apply(envelope: Envelope): KeeperVerdict;
  clear(): void;
  /** The `data` of a snapshot for somebody who joins the stream late; undefined where there is none. */
  snapshotData(): unknown;
}
