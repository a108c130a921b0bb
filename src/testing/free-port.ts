import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** Taken and given back: for servers that must come back at the same place. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
