import type { Socket as IoSocket } from 'socket.io';
import type { Log } from '../../platform/log.ts';
import { wireError } from '../../protocol/errors.ts';
import type { WireError } from '../../protocol/errors.ts';
import { AuthenticateParams } from '../../protocol/messages.ts';
import type { Proof } from './authentication.ts';
import type { Hub } from './hub.ts';
import type { UpgradeRouter } from './upgrade-router.ts';
import type { Peer } from './wire.ts';

/** What is known of a Socket.IO client before its connection begins; `proof` when it gave `auth`. */
export type Admission = Readonly<{ peer: Peer; proof: Proof | null }>;
type Next = (error?: Error & { data?: WireError }) => void;

/**
 * Checks the `auth` of a Socket.IO handshake before there is a connection, so that no message can come in between. A refusal is
 * the library's `connect_error`, with the error in its `data`. Nothing else of the handshake counts: no cookie, no query.
 */
export function createAdmission({ hub, router, log }: { hub: Hub; router: UpgradeRouter; log: Log }) {
  const admissions = new WeakMap<IoSocket, Admission>();
  /** Transports whose one join is being decided or was granted. The library knows of a join only when it has been answered. */
  const joined = new WeakSet<IoSocket['conn']>();
  const decide = async (socket: IoSocket): Promise<WireError | null> => {
    const peer = router.peerOf(socket.request);
    const auth: object = socket.handshake.auth;
    if (Object.keys(auth).length === 0) {
      admissions.set(socket, { peer, proof: null });
      return null;
    }
    const parsed = AuthenticateParams.safeParse(auth);
    if (!parsed.success) return wireError('bad_request', 'auth is {token}, {ticket} or {signed}');
    if (hub.authenticator === null) return wireError('unauthorized', 'This server has no accounts');
    const proof = await hub.authenticator.prove(parsed.data, peer);
    const { outcome, retryAfterMs } = proof;
    if (!outcome.ok) return wireError(outcome.code, outcome.message, retryAfterMs);
    admissions.set(socket, { peer, proof });
    return null;
  };
  const decideSafely = async (socket: IoSocket): Promise<WireError | null> => {
    try {
      return await decide(socket);
    } catch (error) {
      log.error({ event: 'admission_failed', err: error });
      return wireError('overloaded');
    }
  };
  return {
    middleware: async (socket: IoSocket, next: Next): Promise<void> => {
      const { conn } = socket;
      if (joined.has(conn)) {
        hub.refused('bad_request');
        // The first is not answered any more either: as when a second comes later.
        conn.close();
        return next(new Error('bad_request'));
      }
      joined.add(conn);
      const error = await decideSafely(socket);
      if (error === null) return next();
      joined.delete(conn);
      hub.refused(error.code);
      next(Object.assign(new Error(error.code), { data: error }));
    },
    of: (socket: IoSocket): Admission => admissions.get(socket)!,
  };
}
