import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { WireError } from '../../protocol/errors.ts';
import type { SystemEvents } from '../../protocol/messages.ts';

export type DoorName = 'socketio' | 'plain';

/** Where a socket comes from, as its handshake said. */
export type Peer = Readonly<{ ip: string; userAgent: string | null }>;
export const UNKNOWN_PEER: Peer = { ip: 'unknown', userAgent: null };

/** Bytes ready for a socket, shared by all receivers of one message behind one door. `packet` is for the library behind the Socket.IO door. */
export type Frame = Readonly<{ buffer: Buffer; packet?: SocketIoPacket }>;
export type SocketIoPacket = Readonly<{
  text: string;
  options: { compress: false; wsPreEncodedFrame: Buffer[] };
}>;

/** Where an answer goes: the request's id on the plain door, the acknowledgement's on the Socket.IO door. */
export type ReplyAddress = string | number | null;
export type ReplyBody = Readonly<{ result: unknown } | { error: WireError }>;

/**
 * What the hub needs of one socket, whichever door it came through. Making frames and writing them are separate, because
 * a frame may wait in the hub's own bounded queue or be thrown away.
 */
export interface Wire {
  readonly door: DoorName;
  push(prepared: PreparedMessage): Frame;
  /** A push of this receiver only: an envelope as JSON. */
  pushJson(json: string): Frame;
  event<K extends keyof SystemEvents>(name: K, data: SystemEvents[K]): Frame;
  /** Null where the client has asked for no answer and there is nothing wrong to tell. */
  reply(address: ReplyAddress, body: ReplyBody): Frame | null;
  /** Frames leave in the order of the calls. `written` is called once the bytes have left this process, and never from within `write`. */
  write(frame: Frame, written: () => void): void;
  /** Called every heartbeat. `dead` when the peer has not answered the door's own keep-alive in time. */
  keepAlive(): 'alive' | 'dead';
  /** Starts an orderly close after what has been written. */
  close(code: number, reason: string): void;
  terminate(): void;
}
