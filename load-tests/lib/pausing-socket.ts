import { WebSocket } from 'ws';
import type { Errand, SlowSocketHandlers } from './scenario.ts';

/** A WebSocket of plain Node that is not read while its user is busy. */
export function openPausingSocket(url: string, { onOpen, onText, onClose }: SlowSocketHandlers): void {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  /** What had been read when the socket was paused: one chunk at most. */
  const waiting: string[] = [];
  let errands: readonly Errand[] = [];
  let timer: NodeJS.Timeout | undefined;
  const goOn = (): void => {
    timer = undefined;
    while (timer === undefined) {
      const [errand, ...rest] = errands;
      if (errand === undefined) {
        const text = waiting.shift();
        if (text === undefined) return socket.resume();
        errands = onText(text, socket);
        continue;
      }
      errands = rest;
      if (errand.send !== undefined) socket.send(errand.send);
      socket.pause();
      timer = setTimeout(goOn, errand.waitMs);
    }
  };
  socket.on('open', () => onOpen(socket));
  socket.on('message', (data: Buffer) => {
    waiting.push(data.toString());
    if (timer === undefined) goOn();
  });
  // Told by the close that follows it.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    clearTimeout(timer);
    onClose();
  });
}
