import type { JSX } from 'preact';
import type { Subscription } from '../../client/index.ts';
import { ABSENT, duration } from '../format.ts';
import { useStore } from '../store.ts';
import { useLink, useTick } from './hooks.ts';
import { Panel } from './panel.tsx';

const REFRESH_MS = 1_000;
const EPOCH_SHOWN_CHARS = 8;
const COLUMNS = ['Stream', 'State', 'Age', 'Certain', 'Epoch', 'Seq', 'Gaps', 'Resumes', 'Snapshots', 'CRC failures'];

/** Every stream that the page holds, each once, with the proof of it. */
export function StreamsPanel(): JSX.Element {
  const { streams, connection } = useLink();
  // Not only once a second: when the connection goes, nothing may look live for another moment.
  useStore(connection);
  useTick(REFRESH_MS);
  const held = new Map(useStore(streams).map((each) => [each.stream, each]));
  const sorted = [...held.values()].toSorted((left, right) => (left.stream < right.stream ? -1 : 1));
  return (
    <Panel name="streams" title={`Streams in use: ${sorted.length}`}>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Streams in use, table">
        <table>
          <thead>
            <tr>
              {COLUMNS.map((name, index) => (
                <th key={name} scope="col" class={index > 1 ? 'number' : ''}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sorted.map((each) => (
              <StreamRow key={each.stream} stream={each} />
            ))}
          </tbody>
        </table>
      </div>
      <p class="note">
        “Certain” is how long ago it was last known that nothing is missing: a message in sequence, or a heartbeat that
        names our place.
      </p>
    </Panel>
  );
}

function StreamRow({ stream }: Readonly<{ stream: Subscription<unknown> }>): JSX.Element {
  const { state, position, counters } = stream;
  const numbers = [
    duration(stream.ageMs()),
    duration(stream.confirmedMs()),
    position?.epoch.slice(0, EPOCH_SHOWN_CHARS) ?? ABSENT,
    position ? String(position.seq) : ABSENT,
    String(counters.gaps),
    String(counters.resumes),
    String(counters.snapshots),
    stream.stream.startsWith('book:') ? String(counters.checksumFailures) : ABSENT,
  ];
  return (
    <tr data-stream={stream.stream}>
      <th scope="row">{stream.stream}</th>
      <td>
        <span class={`dot ${state.status}`} aria-hidden="true" /> {state.status}
        {state.reason !== '' && <span class="soft"> {state.reason}</span>}
      </td>
      {numbers.map((text, index) => (
        <td key={COLUMNS[index + 2]} class="number">
          {text}
        </td>
      ))}
    </tr>
  );
}
