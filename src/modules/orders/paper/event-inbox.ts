import type { PaperEvent } from './core-events.ts';

/** A market at 30 messages a second is behind by minutes then: what it shows now is worth more than how it came there. */
const INBOX_LIMIT_EVENTS = 5_000;

/**
 * What happened while decisions were carried out, in order. When it is full, the market's messages go (they can be told anew,
 * as a doubt and the whole) and of each order only the newest state stays.
 */
export class EventInbox {
  #events: PaperEvent[] = [];
  #head = 0;

  get length(): number {
    return this.#events.length - this.#head;
  }

  /** False: the market's messages were thrown away, and must be told anew. */
  offer(event: PaperEvent): boolean {
    this.#events.push(event);
    if (this.length <= INBOX_LIMIT_EVENTS) return true;
    this.#condense();
    return false;
  }

  take(): PaperEvent | undefined {
    const event = this.#events[this.#head];
    if (event === undefined) return undefined;
    this.#head += 1;
    if (this.#head * 2 >= this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
    return event;
  }

  #condense(): void {
    const newest = new Map<string, PaperEvent>();
    for (const event of this.#events.slice(this.#head)) {
      if (event.type === 'order') newest.set(event.working.order.id, event);
      else if (event.type === 'gone') newest.set(event.orderId, event);
    }
    this.#events = [...newest.values()];
    this.#head = 0;
  }
}
