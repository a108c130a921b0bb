import { expect } from 'vitest';
import type { NativeWriter } from '../../platform/native-writer/native-writer.ts';
import { plainCodec } from './codec.ts';
import type { Wire } from './wire.ts';

/** A socket whose kernel buffer takes what the test says; what it does not take its stream keeps until `drain`. */
export class PipeWire implements Wire {
  readonly codec = plainCodec;
  readonly fd: number;
  received = '';
  room = 20_000;
  raw = true;
  #kept: Buffer[] = [];
  #written: (() => void) | null = null;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** What the kernel takes of bytes that are offered now. */
  take(bytes: Buffer): number {
    const taken = Math.min(this.room, bytes.length);
    this.room -= taken;
    this.received += bytes.toString('latin1', 0, taken);
    return taken;
  }

  write(bytes: Buffer, written: () => void): boolean {
    expect(this.#written, 'a second write while one is on its way').toBeNull();
    const taken = this.take(bytes);
    if (taken === bytes.length) return true;
    this.#kept.push(bytes.subarray(taken));
    this.#written = written;
    return false;
  }

  drain(room: number): void {
    this.room += room;
    while (this.#kept.length > 0) {
      const first = this.#kept[0]!;
      const taken = this.take(first);
      if (taken < first.length) {
        this.#kept[0] = first.subarray(taken);
        return;
      }
      this.#kept.shift();
    }
    const written = this.#written;
    this.#written = null;
    written?.();
  }

  descriptor(): number {
    return this.#kept.length > 0 || !this.raw ? -1 : this.fd;
  }

  keepAlive(): 'alive' {
    return 'alive';
  }

  close(): void {}
  terminate(): void {}
}

/** Sends as the kernel would: each wire takes what it has room for. */
export function writerFor(wires: readonly PipeWire[]): NativeWriter {
  const byDescriptor = new Map(wires.map((wire) => [wire.fd, wire]));
  return {
    send(frames, program, length, results) {
      let orders = 0;
      for (let at = 0; at < length;) {
        const count = program[at + 1]!;
        const slots = program.subarray(at + 2, at + 2 + count);
        const bytes = Buffer.concat(Array.from(slots, (slot) => frames[slot]!));
        const wire = byDescriptor.get(program[at]!)!;
        expect(wire.descriptor(), 'sent past bytes that are still on their way').toBe(wire.fd);
        const taken = wire.take(bytes);
        results[orders++] = taken === 0 ? -11 : taken;
        at += 2 + count;
      }
      return orders;
    },
  };
}
