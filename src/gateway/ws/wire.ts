import type { WireError } from '../../protocol/errors.ts';
import type { Codec } from './codec.ts';

export type DoorName = 'socketio' | 'plain';

/** Where a socket comes from, as its handshake said. */
export type Peer = Readonly<{ ip: string; userAgent: string | null }>;
export const UNKNOWN_PEER: Peer = { ip: 'unknown', userAgent: null };

/** Where an answer goes: the request's id on the plain door, the acknowledgement's on the Socket.IO door. */
export type ReplyAddress = string | number | null;
export type ReplyBody = Readonly<{ result: unknown } | { error: WireError }>;

/**
 * What the hub needs of one socket, whichever door it came through. Making frames and writing them are separate, because
 * a frame may wait in the hub's own bounded queue or be thrown away.
 */
export interface Wire {
  readonly codec: Codec;
  /**
   * Writes whole frames behind everything written before. True when nothing of them is left in this process; otherwise `written`
   * is called once that is so, and never from within `write`.
   */
  write(bytes: Buffer, written: () => void): boolean;
  /** Where ready bytes may go past `write` at this very moment, because nothing written earlier is still on its way; -1 where that cannot be. */
  descriptor(): number;
  /** Called every heartbeat. `dead` when the peer has not answered the door's own keep-alive in time. */
  keepAlive(): 'alive' | 'dead';
  /** Starts an orderly close after what has been written. */
  close(code: number, reason: string): void;
  terminate(): void;
}
