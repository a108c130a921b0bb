import type { JSX } from 'preact';
import type { Book, Subscription, SubscriptionState, ValueSubscription } from '../../client/index.ts';
import { ABSENT, duration } from '../format.ts';
import { useTick } from './hooks.ts';
import { useVenues } from './venues.ts';

/** Often enough that an age looks like a clock, seldom enough to cost nothing. */
const REFRESH_MS = 500;
const EPOCH_SHOWN_CHARS = 6;

type ProofProps = Readonly<{ stream: Subscription<unknown> | null; state: SubscriptionState | null }>;

/** Where a panel's data comes from, how old it is, where in its stream it stands and whether its checksum holds. */
export function ProofLine({ stream, state }: ProofProps): JSX.Element {
  useTick(REFRESH_MS);
  const venues = useVenues();
  const source = venues.get(stream?.stream.split(':')[1] ?? '')?.source;
  const position = stream?.position;
  return (
    <footer class="proof">
      <span class={`dot ${state?.status ?? 'resyncing'}`} aria-hidden="true" />
      <span data-proof="status">{state?.status ?? 'resyncing'}</span>
      {source && <span class={`source ${source}`}>{source}</span>}
      <span title="Time since the last message of this stream">age {duration(stream?.ageMs() ?? null)}</span>
      <span data-proof="position" title={`epoch ${position?.epoch ?? 'unknown'}`}>
        {position ? `${position.epoch.slice(0, EPOCH_SHOWN_CHARS)}#${position.seq}` : ABSENT}
      </span>
      {stream?.stream.startsWith('book:') && <ChecksumState stream={stream as ValueSubscription<Book>} />}
    </footer>
  );
}

function ChecksumState({ stream }: Readonly<{ stream: ValueSubscription<Book> }>): JSX.Element {
  const book = stream.last;
  const { checksumFailures } = stream.counters;
  const failures = checksumFailures === 0 ? '' : `, ${checksumFailures} failed`;
  if (!book) return <span class="checksum none">checksum {ABSENT}</span>;
  const behind = book.seq - book.provedSeq;
  return (
    <span
      class="checksum good"
      data-proof="checksum"
      title={`CRC-32 of the top ten levels agreed at #${book.provedSeq}, ${behind} messages ago${failures}`}
    >
      ✓ {book.checksum.toString(16).padStart(8, '0')}
      {failures}
    </span>
  );
}
