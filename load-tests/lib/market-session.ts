import type { Door, WireEnvelope } from './door.ts';
import { StreamAudit } from './stream-audit.ts';
import type { AuditVerdict, Position } from './stream-audit.ts';

const STREAMS_PER_REQUEST = 100;

type Subscribed = Position & Readonly<{ stream: string; recovered: boolean }>;
type SubscribeResult = Subscribed | Readonly<{ stream: string; error: { code: string } }>;

export type SessionEvents = Readonly<{
  /** Every stream has its answer, whatever that is. Told once. */
  answered(): void;
  joined(result: Subscribed, resumed: boolean): void;
  refused(stream: string, code: string): void;
  message(envelope: WireEnvelope, verdict: AuditVerdict): void;
  /** Every stream has what its reply announced. Told once. */
  caughtUp(): void;
  malformed(problem: string): void;
  /** Any other event of the server. */
  event?(name: string, data: unknown): void;
}>;

/** One connection of a subscriber. `audits` outlive it: a stream that is known there is resumed where it stands. */
export class MarketSession {
  readonly #door: Door;
  readonly #streams: readonly string[];
  readonly #audits: Map<string, StreamAudit>;
  readonly #send: (text: string) => void;
  readonly #events: SessionEvents;
  readonly #targets = new Map<string, Position>();
  readonly #answered = new Set<string>();
  #nextId = 1;
  #caughtUp = false;

  constructor(
    setup: Readonly<{
      door: Door;
      streams: readonly string[];
      audits: Map<string, StreamAudit>;
      send(text: string): void;
    }>,
    events: SessionEvents,
  ) {
    this.#door = setup.door;
    this.#streams = setup.streams;
    this.#audits = setup.audits;
    this.#send = setup.send;
    this.#events = events;
  }

  /** The socket is open. Speaks first, because k6 may lose what a server says in the moment of opening (k6-world.ts). */
  opened(): void {
    if (this.#door.hello === null) this.#subscribe();
    else this.#send(this.#door.hello);
  }

  receive(text: string): void {
    const inbound = this.#door.decode(text);
    switch (inbound.type) {
      case 'message':
        return this.#message(inbound.envelope);
      case 'reply':
        return this.#reply(inbound.body);
      case 'event':
        return this.#events.event?.(inbound.name, inbound.data);
      case 'admitted':
        return this.#subscribe();
      case 'answer':
        return this.#send(inbound.text);
      case 'malformed':
        return this.#events.malformed(inbound.problem);
      case 'nothing':
        return;
    }
  }

  #subscribe(): void {
    const entries = this.#streams.map((stream) => {
      const since = this.#audits.get(stream)?.position;
      return since ? { stream, since } : stream;
    });
    for (let from = 0; from < entries.length; from += STREAMS_PER_REQUEST) {
      const streams = entries.slice(from, from + STREAMS_PER_REQUEST);
      this.#send(this.#door.encode(this.#nextId++, 'subscribe', { streams }));
    }
  }

  #reply({ result, error }: { result?: unknown; error?: { code: string } }): void {
    if (error || !Array.isArray(result))
      return this.#events.malformed(`subscribe failed: ${error?.code ?? 'no result'}`);
    const wasAnswered = this.#isAnswered();
    for (const each of result as SubscribeResult[]) {
      this.#answered.add(each.stream);
      if ('error' in each) {
        this.#events.refused(each.stream, each.error.code);
        continue;
      }
      const known = this.#audits.get(each.stream);
      const audit = known ?? new StreamAudit();
      this.#audits.set(each.stream, audit);
      audit.joined(each);
      this.#targets.set(each.stream, each);
      this.#events.joined(each, known !== undefined);
    }
    if (!wasAnswered && this.#isAnswered()) this.#events.answered();
    this.#judge();
  }

  #message(envelope: WireEnvelope): void {
    const audit = this.#audits.get(envelope.stream);
    if (!audit) return this.#events.malformed(`a push of ${envelope.stream}, which nobody asked for`);
    const verdict = audit.take(envelope);
    this.#events.message(envelope, verdict);
    if (!this.#caughtUp) this.#judge();
  }

  #isAnswered(): boolean {
    return this.#answered.size === this.#streams.length;
  }

  #judge(): void {
    if (this.#caughtUp || !this.#isAnswered()) return;
    for (const [stream, target] of this.#targets) if (!this.#audits.get(stream)!.has(target)) return;
    this.#caughtUp = true;
    this.#events.caughtUp();
  }
}
