import type { Clock } from '../../kernel/clock.ts';
import type { Identity, Origin } from '../../modules/identity/index.ts';
import type { Ledger } from '../../modules/ledger/index.ts';
import type { OrderDesk } from '../../modules/orders/index.ts';
import type { PortfolioDesk, UserLog, Valuations } from '../../modules/portfolio/index.ts';
import type { Log } from '../../platform/log.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import type { ConnectionLimits } from '../../protocol/limits.ts';
import type { Authenticator } from './authentication.ts';
import type { DeliverySetup } from './delivery.ts';
import type { HubMetrics } from './hub-metrics.ts';
import type { PrivateStreams } from './private-streams.ts';
import type { StreamGate } from './stream-gate.ts';
import type { Topics } from './topic.ts';
import type { DoorName } from './wire.ts';

export type SocketRefusal = Readonly<{ userId: string | null; keyId: string | null; route: string; code: ErrorCode }>;

/** Everything that belongs to users. A hub without it serves public streams only. */
export type HubAccounts = Readonly<{
  identity: Identity;
  orders: OrderDesk;
  ledger: Ledger;
  portfolio: PortfolioDesk;
  userLog: UserLog;
  /** Without it nobody gets the stream `valuation`. */
  valuations?: Valuations;
  /**
   * Counts one order command of a user, over REST and sockets together: milliseconds until it may be tried again, null when it
   * may go on. Without it nothing is counted.
   */
  countCommand?: (userId: string) => Promise<number | null>;
  /** Told of every refused proof and right; decides itself how much of it is written. */
  auditRefusal?: (refusal: SocketRefusal, origin: Origin) => void;
}>;

/** What connections share. */
export type HubContext = Readonly<{
  limits: ConnectionLimits;
  clock: Clock;
  log: Log;
  metrics: HubMetrics;
  topics: Topics;
  /** What the sending halves of connections share, by door. */
  deliveries: Readonly<Record<DoorName, DeliverySetup>>;
  gate: StreamGate;
  accounts: HubAccounts | null;
  /** Null exactly when there are no accounts. */
  authenticator: Authenticator | null;
  /** Null exactly when there are no accounts. */
  privateStreams: PrivateStreams | null;
  /** How long a subscribe request waits for a stream that nobody used until now. */
  coldStreamMs: number;
  isDraining: () => boolean;
}>;
