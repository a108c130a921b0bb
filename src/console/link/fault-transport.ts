import type { Envelope, InboundFrame, Transport, TransportConnection, TransportHandlers } from '../../client/index.ts';

/** RFC 6455's "closed abnormally": what a cable that was pulled looks like. */
const CLOSED_ABNORMALLY = 1006;

/** Real faults on a real connection, for people who want to see it heal. */
export interface FaultSwitch {
  /** Ends the connection without a goodbye; for `holdMs` no new one gets through. */
  cut(holdMs: number): void;
  /** Swallows the next message of a stream whose name begins so. Answers the message once it is gone. */
  skipNext(prefix: string, onSkipped: (envelope: Envelope) => void): void;
}

/** `inner` with a tap on every message and two faults that can be switched on. */
export function faultTransport(
  inner: Transport,
  onMessage: (envelope: Envelope) => void,
): Readonly<{ transport: Transport; faults: FaultSwitch }> {
  let live: Readonly<{ connection: TransportConnection; handlers: TransportHandlers }> | undefined;
  let heldUntilMs = 0;
  let skip: Readonly<{ prefix: string; onSkipped: (envelope: Envelope) => void }> | undefined;

  function take(frame: InboundFrame, handlers: TransportHandlers): void {
    if (frame.type === 'message') {
      const { envelope } = frame;
      const changes = envelope.kind === 'delta' || envelope.kind === 'update';
      if (skip && changes && envelope.stream.startsWith(skip.prefix)) {
        const { onSkipped } = skip;
        skip = undefined;
        onSkipped(envelope);
        return;
      }
      onMessage(envelope);
    }
    handlers.onFrame(frame);
  }

  function open(handlers: TransportHandlers): TransportConnection {
    const connection = inner.connect({
      onOpen: () => handlers.onOpen(),
      onFrame: (frame) => take(frame, handlers),
      onClose(code, reason) {
        live = undefined;
        handlers.onClose(code, reason);
      },
    });
    live = { connection, handlers };
    return connection;
  }

  return {
    transport: {
      connect(handlers) {
        const waitMs = heldUntilMs - Date.now();
        return waitMs > 0 ? openLater(() => open(handlers), handlers, waitMs) : open(handlers);
      },
    },
    faults: {
      cut(holdMs) {
        heldUntilMs = Date.now() + holdMs;
        const cut = live;
        live = undefined;
        cut?.connection.abandon();
        cut?.handlers.onClose(CLOSED_ABNORMALLY, 'cut by hand');
      },
      skipNext(prefix, onSkipped) {
        skip = { prefix, onSkipped };
      },
    },
  };
}

/** While a cut is held, a connection that is being made gets nowhere. */
function openLater(open: () => TransportConnection, handlers: TransportHandlers, waitMs: number): TransportConnection {
  let connection: TransportConnection | undefined;
  const timer = setTimeout(() => {
    try {
      connection = open();
    } catch (error) {
      handlers.onClose(CLOSED_ABNORMALLY, String(error));
    }
  }, waitMs);
  return {
    send: (request) => connection?.send(request),
    abandon() {
      clearTimeout(timer);
      connection?.abandon();
    },
  };
}
