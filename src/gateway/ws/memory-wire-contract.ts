import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { Envelope, SystemEvents } from '../../protocol/messages.ts';
import { textFrame } from './text-frame.ts';
import type { Frame, ReplyAddress, ReplyBody, Wire } from './wire.ts';

export type WireEntry =
  | { type: 'push'; envelope: Envelope }
  | { type: 'event'; name: string; data: Record<string, unknown> }
  | { type: 'reply'; id: ReplyAddress; body: ReplyBody };

/** A socket that the test opens and closes: `stalled` takes frames but never reports them written, like a peer that does not read. */
export class MemoryWire implements Wire {
  readonly door = 'plain';
  /** What has left the process, in order. */
  readonly log: WireEntry[] = [];
  readonly closes: { code: number; reason: string }[] = [];
  terminated = false;
  onEntry: (entry: WireEntry) => void = () => {};
  #stalled = false;
  #held: { frame: Frame; written: () => void }[] = [];

  get heldFrames(): number {
    return this.#held.length;
  }

  get heldBytes(): number {
    return this.#held.reduce((sum, { frame }) => sum + frame.buffer.length, 0);
  }

  stall(): void {
    this.#stalled = true;
  }

  /** Reads on: everything held leaves now. */
  resume(): void {
    this.#stalled = false;
    this.release(this.#held.length);
  }

  release(frames: number): void {
    for (const { frame, written } of this.#held.splice(0, frames)) this.#deliver(frame, written);
  }

  push(prepared: PreparedMessage): Frame {
    return (prepared.frames.plain ??= { buffer: textFrame('', prepared.json, '') }) as Frame;
  }

  pushJson(json: string): Frame {
    return { buffer: textFrame('', json, '') };
  }

  event<K extends keyof SystemEvents>(event: K, data: SystemEvents[K]): Frame {
    return this.pushJson(JSON.stringify({ event, data }));
  }

  reply(id: ReplyAddress, body: ReplyBody): Frame {
    return this.pushJson(JSON.stringify({ id, ...body }));
  }

  write(frame: Frame, written: () => void): void {
    if (this.#stalled) this.#held.push({ frame, written });
    else this.#deliver(frame, written);
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

  #deliver({ buffer }: Frame, written: () => void): void {
    const headerBytes = buffer[1]! < 126 ? 2 : buffer[1] === 126 ? 4 : 10;
    const value = JSON.parse(buffer.toString('utf8', headerBytes));
    const entry: WireEntry =
      'stream' in value
        ? { type: 'push', envelope: value }
        : 'event' in value
          ? { type: 'event', name: value.event, data: value.data }
          : { type: 'reply', id: value.id, body: value };
    this.log.push(entry);
    this.onEntry(entry);
    process.nextTick(written);
  }
}
