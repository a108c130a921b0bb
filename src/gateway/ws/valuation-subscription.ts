import type { PreparedMessage } from '../../protocol/envelope.ts';
import type { StreamPosition } from '../../protocol/messages.ts';
import type { PrivateOutlet } from './log-subscription.ts';
import type { ValuationRecipient, ValuationTopic } from './valuation-topic.ts';

/** One connection's hold on the valuation. Latest wins: who has no room gets one snapshot for all that was skipped. */
export class ValuationSubscription implements ValuationRecipient {
  readonly topic: ValuationTopic;
  readonly #outlet: PrivateOutlet;
  #at: StreamPosition;
  /** `skipped`: the next push is a snapshot that says what it stands for. */
  #owed: 'nothing' | 'first' | 'skipped' = 'nothing';
  #quiet = true;

  constructor(topic: ValuationTopic, outlet: PrivateOutlet) {
    this.topic = topic;
    this.#outlet = outlet;
    this.#at = topic.position;
    topic.recipients.add(this);
  }

  get position(): StreamPosition {
    return this.#at;
  }

  /** True when `since` is where the stream stands: nothing is owed then. */
  start(since: StreamPosition | undefined): boolean {
    const { epoch, seq } = this.topic.position;
    const recovered = since?.epoch === epoch && since.seq === seq;
    this.#at = { epoch, seq };
    this.#owed = recovered ? 'nothing' : 'first';
    return recovered;
  }

  valued(prepared: PreparedMessage): void {
    if (this.#owed !== 'nothing') return;
    if (this.#outlet.pushPrivate(prepared)) this.#sent();
    else this.#owed = 'skipped';
  }

  pump(): void {
    if (this.#owed === 'nothing') return;
    const skipped = this.#owed === 'skipped' ? this.#at.seq + 1 : undefined;
    if (!this.#outlet.pushPrivate(this.topic.message('snapshot', skipped))) return;
    this.#owed = 'nothing';
    this.#sent();
  }

  takeQuiet(): StreamPosition | null {
    const quiet = this.#quiet && this.#owed === 'nothing';
    this.#quiet = true;
    return quiet ? this.#at : null;
  }

  end(): void {
    this.#owed = 'nothing';
    this.topic.recipients.delete(this);
  }

  #sent(): void {
    this.#at = this.topic.position;
    this.#quiet = false;
  }
}
