import { RawWebSocket } from './raw-websocket.ts';

/** Below the server's 20 messages a second. */
const ASK_EVERY_MS = 100;
const OPEN_LIMIT_MS = 10_000;

/**
 * Clients that subscribe and then never read a byte. Until `rest` they go on subscribing anew: each time they are owed
 * snapshots, which fills the kernel's buffers in seconds. Those hold some megabytes a socket and would otherwise hide for
 * minutes that nobody reads.
 */
export class NeverReaders {
  closed = 0;
  readonly #sockets: RawWebSocket[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #texts: readonly string[];
  #asked = 0;

  static async start(baseUrl: string, count: number, streams: readonly string[]): Promise<NeverReaders> {
    const readers = new NeverReaders(streams);
    await readers.#open(baseUrl, count);
    return readers;
  }

  private constructor(streams: readonly string[]) {
    this.#texts = ['subscribe', 'unsubscribe'].map((method) => JSON.stringify({ id: 1, method, params: { streams } }));
    this.#timer = setInterval(() => this.#ask(), ASK_EVERY_MS);
  }

  rest(): void {
    clearInterval(this.#timer);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
  }

  #ask(): void {
    const text = this.#texts[this.#asked++ % 2]!;
    for (const socket of this.#sockets) socket.send(text);
  }

  async #open(baseUrl: string, count: number): Promise<void> {
    const { hostname, port } = new URL(baseUrl);
    const opened = Array.from(
      { length: count },
      () =>
        new Promise<void>((resolve) => {
          const socket = new RawWebSocket(
            { host: hostname, port: Number(port), path: '/ws' },
            {
              onOpen() {
                socket.send(texts[0]!);
                socket.stopReading();
                sockets.push(socket);
                resolve();
              },
              onText: () => undefined,
              onClose: () => {
                this.closed += 1;
              },
            },
          );
        }),
    );
    const texts = this.#texts;
    const sockets = this.#sockets;
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error('never-reading clients could not connect')), OPEN_LIMIT_MS).unref();
    });
    await Promise.race([Promise.all(opened), late]);
  }
}
