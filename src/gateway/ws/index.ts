import type { Server } from 'node:http';
import type { Log } from '../../platform/log.ts';
import { clientAddressBehind } from './client-address.ts';
import type { ControlClients } from './control-adapter.ts';
import { attachPlainDoor } from './door-plain.ts';
import { attachSocketIoDoor } from './door-socketio.ts';
import type { HandshakePace } from './handshake-gate.ts';
import type { Hub } from './hub.ts';
import { UpgradeRouter } from './upgrade-router.ts';

export type DoorsOptions = Readonly<{
  /** Nobody else may listen to its `upgrade` event. */
  server: Server;
  hub: Hub;
  log: Log;
  /** Origins of pages that may connect; `*` allows all. */
  allowedOrigins: readonly string[];
  /** Proxies whose `X-Forwarded-For` is believed. */
  trustedProxies: readonly string[];
  control?: ControlClients;
  /** How fast new clients are let in. */
  handshakes?: HandshakePace;
  /** Milliseconds between the server's pings, and (Socket.IO) how long it waits for the pong. */
  pings?: Readonly<{ intervalMs: number; timeoutMs: number }>;
}>;

export interface Doors {
  /** Refuses new clients, tells the others in turn, lets requests finish; resolves when all are gone or by force at `deadlineMs`. */
  drain(options: { spreadMs: number; deadlineMs: number }): Promise<void>;
  /** Ends what is left. After `drain`, or instead of it. */
  close(): Promise<void>;
}

/** Opens both doors on one HTTP server. */
export function attachDoors(options: DoorsOptions): Doors {
  const { server, hub, allowedOrigins, trustedProxies } = options;
  const clientAddress = clientAddressBehind(trustedProxies);
  const { handshakes } = options;
  const router = new UpgradeRouter({ server, hub, allowedOrigins, clientAddress, ...(handshakes && { handshakes }) });
  const doors = [attachPlainDoor({ ...options, router }), attachSocketIoDoor({ ...options, router })];
  return {
    drain: (pace) => hub.drain(pace),
    async close() {
      hub.stop();
      await Promise.all(doors.map((door) => door.close()));
      router.close();
    },
  };
}

export { createHub } from './hub.ts';
export type { Hub, HubOptions } from './hub.ts';
export type { ControlClients } from './control-adapter.ts';
export { attachPlainDoor, PLAIN_DOOR_PATH } from './door-plain.ts';
export { attachSocketIoDoor, SOCKETIO_DOOR_PATH } from './door-socketio.ts';
export { UpgradeRouter } from './upgrade-router.ts';
export { clientAddressBehind } from './client-address.ts';
