// Engine.IO 4 and Socket.IO 5 framing over one WebSocket, as much of it as a client of the default namespace needs:
// https://socket.io/docs/v4/engine-io-protocol/ and .../socket-io-protocol/. Pure, so that k6 and Node share it.

export const ENGINE_IO_PATH = '/socket.io/?EIO=4&transport=websocket';

export type EnginePacket =
  | Readonly<{ type: 'open' | 'connected' | 'ping' | 'pong' | 'close' | 'noop' }>
  | Readonly<{ type: 'refused'; message: string }>
  | Readonly<{ type: 'event'; name: string; data: unknown }>
  | Readonly<{ type: 'ack'; id: number; data: unknown }>
  | Readonly<{ type: 'unknown'; text: string }>;

export function decodePacket(text: string): EnginePacket {
  switch (text[0]) {
    case '0':
      return { type: 'open' };
    case '1':
      return { type: 'close' };
    case '2':
      return { type: 'ping' };
    case '3':
      return { type: 'pong' };
    case '4':
      return decodeMessage(text);
    case '6':
      return { type: 'noop' };
    default:
      return { type: 'unknown', text };
  }
}

function decodeMessage(text: string): EnginePacket {
  const body = text.slice(2);
  switch (text[1]) {
    case '0':
      return { type: 'connected' };
    case '1':
      return { type: 'close' };
    case '2': {
      const list = readList(body);
      return list && typeof list[0] === 'string'
        ? { type: 'event', name: list[0], data: list[1] }
        : { type: 'unknown', text };
    }
    case '3': {
      const digits = /^[0-9]+/.exec(body)?.[0] ?? '';
      const list = readList(body.slice(digits.length));
      return list && digits !== '' ? { type: 'ack', id: Number(digits), data: list[0] } : { type: 'unknown', text };
    }
    case '4':
      return { type: 'refused', message: body };
    default:
      return { type: 'unknown', text };
  }
}

export const PONG = '3';

export function encodeConnect(auth?: object): string {
  return auth ? `40${JSON.stringify(auth)}` : '40';
}

/** An event that asks for an acknowledgement under `id`. */
export function encodeEvent(id: number, name: string, data?: unknown): string {
  return `42${id}${JSON.stringify(data === undefined ? [name] : [name, data])}`;
}

function readList(text: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
