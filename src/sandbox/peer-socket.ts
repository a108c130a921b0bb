import type { WebSocket } from 'ws';
import { seededRandom } from '../kernel/random.ts';
import type { Faults, FramePlan } from './faults.ts';
import { garbled } from './garble.ts';
import type { Peer } from './venue.ts';

/** A client that lets more than this pile up is cut off, as exchanges do. A whole Coinbase book is 5 MB in one frame. */
const QUEUE_LIMIT_BYTES = 32 * 1024 * 1024;
/** Above this a source that plays as fast as it can waits for the client. */
const BEHIND_BYTES = 1024 * 1024;
/** RFC 6455 1006 is never sent: it is what the other side sees when the connection is simply gone. */
const CUT_CODE = 1006;

/** One WebSocket client of a venue: bounded sending, and the place where faults reach the wire. */
export class PeerSocket implements Peer {
  readonly id: number;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly #socket: WebSocket;
  readonly #faults: Faults;
  readonly #onSlow: () => void;
  /** Frames kept back by `reorder`, per stream; each leaves after the next frame of its stream. */
  readonly #held = new Map<string, string>();
  /** Pings since anything was last heard from the client. */
  unanswered = 0;

  constructor(options: {
    id: number;
    path: string;
    query: URLSearchParams;
    socket: WebSocket;
    faults: Faults;
    onSlow: () => void;
  }) {
    this.id = options.id;
    this.path = options.path;
    this.query = options.query;
    this.#socket = options.socket;
    this.#faults = options.faults;
    this.#onSlow = options.onSlow;
  }

  get behind(): boolean {
    return this.#socket.readyState === this.#socket.OPEN && this.#socket.bufferedAmount > BEHIND_BYTES;
  }

  send(text: string): void {
    this.#send(text);
  }

  close(code: number, reason: string): void {
    if (code === CUT_CODE) this.#socket.terminate();
    else this.#socket.close(code, reason);
  }

  ping(): void {
    this.unanswered += 1;
    this.#socket.ping();
  }

  cut(): void {
    this.#socket.terminate();
  }

  /** Sends one frame of a stream, suffering what the plan says. */
  deliver(text: string, stream: string, plan: FramePlan | undefined): void {
    if (plan === undefined) return this.#inOrder(text, stream);
    if (plan.crossed === true) this.#faults.count('crossed');
    if (plan.wrongChecksum === true) this.#faults.count('wrong-checksum');
    if (plan.disconnect !== undefined) {
      this.#faults.count('disconnect');
      return this.close(plan.disconnect, 'sandbox fault');
    }
    if (plan.drop !== undefined) return this.#faults.count(plan.drop);
    if (plan.reorder === true && !this.#held.has(stream)) {
      this.#held.set(stream, text);
      return this.#faults.count('reorder');
    }
    const { garbage } = plan;
    if (garbage?.replace !== true) this.#inOrder(text, stream);
    if (plan.duplicate === true) {
      this.#send(text);
      this.#faults.count('duplicate');
    }
    if (garbage !== undefined) {
      this.#send(garbled(text, garbage.kind, seededRandom(garbage.seed)));
      this.#faults.count('garbage');
    }
  }

  #inOrder(text: string, stream: string): void {
    this.#send(text);
    const held = this.#held.get(stream);
    if (held === undefined) return;
    this.#held.delete(stream);
    this.#send(held);
  }

  #send(data: string | Buffer): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > QUEUE_LIMIT_BYTES) {
      this.#onSlow();
      this.#socket.terminate();
      return;
    }
    this.#socket.send(data);
  }
}
