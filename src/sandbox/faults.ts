import { seededRandom, seedFrom } from '../kernel/random.ts';
import type { Random } from '../kernel/random.ts';
import { FAULTS, GARBAGE_KINDS, parseFaultScript } from './fault-script.ts';
import type { FaultChannel, FaultName, FaultRule, GarbageKind } from './fault-script.ts';

/** What is done to one frame of a stream, the same for every client. */
export type FramePlan = Readonly<{
  drop?: 'gap' | 'silence';
  duplicate?: boolean;
  reorder?: boolean;
  garbage?: Readonly<{ kind: GarbageKind; replace: boolean; seed: number }>;
  disconnect?: number;
  crossed?: boolean;
  wrongChecksum?: boolean;
}>;
export type RestPlan = Readonly<{ retryAfterSeconds?: number }>;
export type SnapshotPlan = Readonly<{ delayMs: number; failStatus?: number; staleMs?: number }>;
export type FaultCounts = Readonly<Record<FaultName, number>>;

const DEFAULT_SEED = 1;
const DEFAULTS = {
  ms: { silence: 5000, 'clock-skew': 60_000, 'slow-snapshot': 2000, 'stale-snapshot': 2000 },
} as const;

/** A rule in force, with what it remembers per stream. */
type Armed = FaultRule & {
  readonly index: number;
  readonly frames: Map<string, number>;
  readonly spells: Map<string, number>;
};

/**
 * Decides which frames and answers suffer. A decision hangs on the seed, the rule, the stream and the frame's number in its stream
 * and on nothing else, so one tape under one seed always suffers at the same places, whoever listens.
 */
export class Faults {
  readonly #monotonic: () => number;
  #seed = DEFAULT_SEED;
  #rules: Armed[] = [];
  #setMs = 0;
  #counts: Record<FaultName, number> = emptyCounts();

  constructor(options: { monotonic: () => number; seed?: number; script?: string }) {
    this.#monotonic = options.monotonic;
    this.#seed = options.seed ?? DEFAULT_SEED;
    this.set(options.script ?? '');
  }

  /** Replaces the script; windows count from now. Throws with a reason for a script that does not parse. */
  set(script: string): void {
    const { seed, rules } = parseFaultScript(script);
    if (seed !== undefined) this.#seed = seed;
    this.#rules = rules.map((rule, index) => ({ ...rule, index, frames: new Map(), spells: new Map() }));
    this.#setMs = this.#monotonic();
  }

  clear(): void {
    this.#rules = [];
  }

  get active(): boolean {
    return this.#rules.length > 0;
  }

  has(fault: FaultName, venue: string): boolean {
    return this.#rules.some((rule) => rule.fault === fault && matches(rule, venue));
  }

  /** How often each fault reached a client (or, for REST, a caller). */
  counts(): FaultCounts {
    return { ...this.#counts };
  }

  count(fault: FaultName): void {
    this.#counts[fault] += 1;
  }

  /** Undefined: the frame leaves unharmed. To be called once per frame of a stream, in order. */
  frame(venue: string, channel: FaultChannel, symbol: string): FramePlan | undefined {
    let plan: FramePlan | undefined;
    for (const rule of this.#rules) {
      if (!matches(rule, venue, channel, symbol)) continue;
      const part = this.#partOf(rule, `${venue}/${channel}/${symbol}`);
      if (part !== undefined) plan = { ...part, ...plan };
    }
    return plan;
  }

  rest(venue: string): RestPlan {
    const rule = this.#hit('http429', venue, 'rest');
    if (rule === undefined) return {};
    this.count('http429');
    return { retryAfterSeconds: Number(rule.options['retry'] ?? 1) };
  }

  /** For the book of one symbol, asked for by REST or by a subscription. */
  snapshot(venue: string, symbol: string): SnapshotPlan {
    const slow = this.#hit('slow-snapshot', venue, symbol);
    const fail = this.#hit('fail-snapshot', venue, symbol);
    const stale = this.#hit('stale-snapshot', venue, symbol);
    for (const rule of [slow, fail, stale]) if (rule !== undefined) this.count(rule.fault);
    return {
      delayMs: slow === undefined ? 0 : msOf(slow),
      ...(fail === undefined ? {} : { failStatus: Number(fail.options['status'] ?? 500) }),
      ...(stale === undefined ? {} : { staleMs: msOf(stale) }),
    };
  }

  skewMs(venue: string): number {
    const rule = this.#rules.find((each) => each.fault === 'clock-skew' && matches(each, venue) && this.#open(each));
    return rule === undefined ? 0 : msOf(rule);
  }

  /** The close code of a scheduled disconnect that is due now; once per window. */
  dueDisconnect(venue: string): number | undefined {
    for (const rule of this.#rules) {
      if (rule.fault !== 'disconnect' || !isScheduled(rule) || !matches(rule, venue)) continue;
      const window = this.#window(rule);
      if (window < 0 || rule.spells.get(venue) === window) continue;
      rule.spells.set(venue, window);
      return Number(rule.options['code'] ?? 1006);
    }
    return undefined;
  }

  #partOf(rule: Armed, stream: string): FramePlan | undefined {
    const { fault } = rule;
    const nowMs = this.#monotonic();
    if (fault === 'silence' && (rule.spells.get(stream) ?? 0) > nowMs) return { drop: 'silence' };
    if (fault === 'gap' && (rule.spells.get(stream) ?? 0) > 0) {
      rule.spells.set(stream, rule.spells.get(stream)! - 1);
      return { drop: 'gap' };
    }
    if (fault === 'disconnect' && isScheduled(rule)) return undefined;
    const random = this.#decide(rule, stream);
    if (random === undefined) return undefined;
    switch (fault) {
      case 'gap':
        rule.spells.set(stream, Number(rule.options['count'] ?? 1) - 1);
        return { drop: 'gap' };
      case 'silence':
        // A window is silent as long as it lasts; a chance starts a spell.
        if (rule.probability < 1) rule.spells.set(stream, nowMs + msOf(rule));
        return { drop: 'silence' };
      case 'duplicate':
        return { duplicate: true };
      case 'reorder':
        return { reorder: true };
      case 'garbage':
        return {
          garbage: {
            kind: garbageKind(rule, random),
            replace: rule.options['mode'] === 'replace',
            seed: Math.floor(random() * 2 ** 32),
          },
        };
      case 'disconnect':
        return { disconnect: Number(rule.options['code'] ?? 1006) };
      case 'crossed':
        return { crossed: true };
      case 'wrong-checksum':
        return { wrongChecksum: true };
      default:
        return undefined;
    }
  }

  #hit(fault: FaultName, venue: string, key: string): FaultRule | undefined {
    return this.#rules.find(
      (rule) => rule.fault === fault && matches(rule, venue, undefined, key) && this.#decide(rule, key) !== undefined,
    );
  }

  /** A random source for the rest of the decision when the rule strikes, else undefined. */
  #decide(rule: Armed, stream: string): Random | undefined {
    const number = (rule.frames.get(stream) ?? 0) + 1;
    rule.frames.set(stream, number);
    if (!this.#open(rule)) return undefined;
    const random = seededRandom(seedFrom(`${this.#seed}|${rule.index}|${stream}|${number}`));
    return random() < rule.probability ? random : undefined;
  }

  #open(rule: FaultRule): boolean {
    return this.#window(rule) >= 0;
  }

  /** Number of the window that is open now; -1: none. */
  #window(rule: FaultRule): number {
    const sinceMs = this.#monotonic() - this.#setMs - rule.atMs;
    if (sinceMs < 0) return -1;
    const number = Number.isFinite(rule.everyMs) ? Math.floor(sinceMs / rule.everyMs) : 0;
    const withinMs = number === 0 ? sinceMs : sinceMs - number * rule.everyMs;
    return withinMs < rule.forMs ? number : -1;
  }
}

/** A disconnect with a time and no chance happens at that time, not at the next frame. */
function isScheduled(rule: FaultRule): boolean {
  return rule.probability === 1 && (rule.atMs > 0 || Number.isFinite(rule.everyMs));
}

function matches(rule: FaultRule, venue: string, channel?: string, symbol?: string): boolean {
  return (
    (rule.venue === '*' || rule.venue === venue) &&
    (channel === undefined || rule.channel === '*' || rule.channel === channel) &&
    (symbol === undefined || rule.symbol === '*' || rule.symbol === symbol)
  );
}

function msOf(rule: FaultRule): number {
  const defaults: Readonly<Record<string, number>> = DEFAULTS.ms;
  return Number(rule.options['ms'] ?? defaults[rule.fault] ?? 0);
}

function garbageKind(rule: FaultRule, random: Random): GarbageKind {
  const named = GARBAGE_KINDS.find((kind) => kind === rule.options['kind']);
  return named ?? GARBAGE_KINDS[Math.floor(random() * GARBAGE_KINDS.length)]!;
}

function emptyCounts(): Record<FaultName, number> {
  return Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<FaultName, number>;
}
