import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLog } from '../../platform/log.ts';
import type { HubRig, RigOptions } from './hub-rig-contract.ts';
import { startHub } from './hub-rig-contract.ts';
import { attachDoors } from './index.ts';
import type { Doors, DoorsOptions } from './index.ts';

export type ServerRig = HubRig & Readonly<{ port: number; server: Server; doors: Doors; end: () => Promise<void> }>;

/** Both doors on a loopback server of their own. */
export async function startServer(
  options: RigOptions & Partial<Pick<DoorsOptions, 'allowedOrigins' | 'trustedProxies' | 'pings' | 'handshakes'>> = {},
): Promise<ServerRig> {
  const rig = startHub(options);
  const server = createServer((_request, response) => {
    response.statusCode = 404;
    response.end('http');
  });
  const doors = attachDoors({
    server,
    hub: rig.hub,
    log: createLog({ level: 'silent' }),
    allowedOrigins: options.allowedOrigins ?? [],
    trustedProxies: options.trustedProxies ?? [],
    ...(options.pings && { pings: options.pings }),
    ...(options.handshakes && { handshakes: options.handshakes }),
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const end = async (): Promise<void> => {
    await doors.close();
    rig.stop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { ...rig, port: (server.address() as AddressInfo).port, server, doors, end };
}
