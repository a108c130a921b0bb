import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/**
 * A TCP proxy on loopback that does to connections what networks do. It stands in front of any server under test: gateway,
 * exchange, Redis, Postgres.
 */
export interface CutProxy {
  readonly port: number;
  readonly connections: number;
  /** Resets every connection; new ones are welcome. */
  cut(): void;
  /** Bytes vanish in both directions on all connections, old and new, until `heal`: nobody is told. Vanished bytes never come back, so heal cuts. */
  blackhole(): void;
  /** Delays each chunk, in order, by `ms`. 0 ends it for new chunks. */
  delay(ms: number): void;
  /** Ends `blackhole` and `refuse`. Connections that lost bytes are reset. */
  heal(): void;
  /** New connections are reset at once, as by a host without the server. */
  refuse(): void;
  stop(): Promise<void>;
}

export async function startCutProxy(target: { port: number; host?: string }): Promise<CutProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let mode: 'forward' | 'blackhole' | 'refuse' = 'forward';
  let delayMs = 0;

  function pipe(from: Socket, to: Socket): void {
    // Whichever timer fires first, the chunk that came first goes first, also while the delay changes.
    const waiting: (Buffer | null)[] = [];
    const pass = (): void => {
      const chunk = waiting.shift();
      if (chunk === null) to.end();
      if (!chunk || mode === 'blackhole' || to.destroyed || to.write(chunk)) return;
      // Without this a never-reading client would fill this process instead of the server's buffers.
      from.pause();
      to.once('drain', () => from.resume());
    };
    const take = (chunk: Buffer | null): void => {
      if (mode === 'blackhole') return;
      waiting.push(chunk);
      if (delayMs === 0 && waiting.length === 1) pass();
      else setTimeout(pass, delayMs);
    };
    from.on('data', take);
    from.on('end', () => take(null));
    // A reset on one side is a reset on the other: that is what the two of them would see without us.
    from.on('error', () => to.resetAndDestroy());
    from.on('close', () => {
      // What is delayed still arrives: a close does not overtake the data before it.
      if (waiting.length === 0) to.destroy();
    });
  }

  function cut(): void {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  const server = net.createServer((client) => {
    client.on('error', () => undefined);
    if (mode === 'refuse') return void client.resetAndDestroy();
    const upstream = net.connect(target.port, target.host ?? '127.0.0.1');
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    pipe(client, upstream);
    pipe(upstream, client);
    upstream.on('close', () => pairs.delete(pair));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return pairs.size;
    },
    cut,
    blackhole: () => void (mode = 'blackhole'),
    delay: (ms) => void (delayMs = ms),
    refuse: () => void (mode = 'refuse'),
    heal() {
      if (mode === 'blackhole') cut();
      mode = 'forward';
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      cut();
      await closed;
    },
  };
}
