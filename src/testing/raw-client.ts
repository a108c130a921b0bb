import { WebSocket } from 'ws';
import { until } from './ccxt-venue.ts';

/** A WebSocket client that keeps every frame as it came: nothing between the test and the wire. */
export class RawClient {
  readonly frames: (string | Buffer)[] = [];
  readonly #socket: WebSocket;
  closeCode: number | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer, binary: boolean) => this.frames.push(binary ? data : data.toString()));
    socket.on('close', (code) => {
      this.closeCode = code;
    });
    socket.on('error', () => {});
  }

  static async open(url: string): Promise<RawClient> {
    const socket = new WebSocket(url.replace(/^http/, 'ws'));
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  send(message: unknown): void {
    this.#socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  get texts(): string[] {
    return this.frames.filter((frame) => typeof frame === 'string');
  }

  /** Frames that are JSON objects; broken ones are left out. */
  get objects(): Record<string, unknown>[] {
    return this.texts.flatMap((text) => {
      try {
        const value: unknown = JSON.parse(text);
        return typeof value === 'object' && value !== null ? [value as Record<string, unknown>] : [];
      } catch {
        return [];
      }
    });
  }

  /** Waits for a frame and answers the first that fits. */
  async seen(fits: (frame: Record<string, unknown>) => boolean, what: string): Promise<Record<string, unknown>> {
    await until(() => this.objects.some(fits), what, 10_000);
    return this.objects.find(fits)!;
  }

  /** Stops reading: what the server sends piles up on its side. */
  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.terminate();
  }
}
