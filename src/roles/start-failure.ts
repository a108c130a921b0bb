import { once } from 'node:events';
import { createServer } from 'node:net';
/** A start that failed for a reason which the person at the terminal can remove. The message names what to change. */
export class StartFailure extends Error {
  override name = 'StartFailure';
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process',
  EACCES: 'may not be used by this user',
  EADDRNOTAVAIL: 'is not an address of this machine',
  ENOTFOUND: 'is not an address of this machine',
};

/** Runs `listen` and puts the failures that a person can remove into words. */
export async function listening<T>(
  variable: 'PORT' | 'OPS_PORT',
  place: { host: string; port: number },
  listen: () => Promise<T>,
): Promise<T> {
  try {
    return await listen();
  } catch (error) {
    const reason = REASONS[(error as NodeJS.ErrnoException).code ?? ''];
    if (reason === undefined) throw error;
    const named = reason.includes('address') ? `HOST: ${place.host}` : `${variable}: ${place.port} on ${place.host}`;
    throw new StartFailure(`${named} ${reason}`, { cause: error });
  }
}

/** Whether the port could be had now: a start that will fail is told before anything slow has been started. */
export async function probePort(variable: 'PORT' | 'OPS_PORT', place: { host: string; port: number }): Promise<void> {
  if (place.port === 0) return;
  const probe = createServer();
  await listening(variable, place, async () => {
    probe.listen(place.port, place.host);
    await once(probe, 'listening');
  });
  probe.close();
  await once(probe, 'close');
}
