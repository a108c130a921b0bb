import type { Envelope } from '../../protocol/messages.ts';
import { plainCodec } from './codec.ts';
import type { ReplyAddress, ReplyBody, Wire } from './wire.ts';

export type WireEntry =
  | { type: 'push'; envelope: Envelope }
  | { type: 'event'; name: string; data: Record<string, unknown> }
  | { type: 'reply'; id: ReplyAddress; body: ReplyBody };

/** A socket that the test opens and closes: `stalled` takes frames but never reports them written, like a peer that does not read. */
export class MemoryWire implements Wire {
  readonly codec = plainCodec;
  /** What has left the process, in order. */
  readonly log: WireEntry[] = [];
  readonly closes: { code: number; reason: string }[] = [];
  terminated = false;
  onEntry: (entry: WireEntry) => void = () => {};
  #stalled = false;
  #held: { bytes: Buffer; written: () => void }[] = [];

  get heldWrites(): number {
    return this.#held.length;
  }

  get heldBytes(): number {
    return this.#held.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  stall(): void {
    this.#stalled = true;
  }

  /** Reads on: everything held leaves now. */
  resume(): void {
    this.#stalled = false;
    this.release(this.#held.length);
  }

  release(writes: number): void {
    for (const { bytes, written } of this.#held.splice(0, writes)) {
      this.#deliver(bytes);
      process.nextTick(written);
    }
  }

  write(bytes: Buffer, written: () => void): boolean {
    if (this.#stalled) this.#held.push({ bytes, written });
    else this.#deliver(bytes);
    return !this.#stalled;
  }

  /** Not of this world: there is nothing to send natively on. */
  descriptor(): number {
    return -1;
  }

  keepAlive(): 'alive' {
    return 'alive';
  }

  close(code: number, reason: string): void {
    this.closes.push({ code, reason });
  }

  terminate(): void {
    this.terminated = true;
  }

  #deliver(bytes: Buffer): void {
    for (const text of textsOf(bytes)) {
      const value = JSON.parse(text);
      if ('batch' in value) for (const envelope of value.batch) this.#take({ type: 'push', envelope });
      else if ('stream' in value) this.#take({ type: 'push', envelope: value });
      else if ('event' in value) this.#take({ type: 'event', name: value.event, data: value.data });
      else this.#take({ type: 'reply', id: value.id, body: value });
    }
  }

  #take(entry: WireEntry): void {
    this.log.push(entry);
    this.onEntry(entry);
  }
}

/** The messages of bytes that are whole frames. */
export function textsOf(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const short = bytes[at + 1]!;
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    const size =
      short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
    texts.push(bytes.toString('utf8', at + head, at + head + size));
    at += head + size;
  }
  return texts;
}
