import type { ComponentChildren, JSX } from 'preact';
import type { Loaded } from '../parts/hooks.ts';
import { messageOf } from '../rest.ts';

export type Column = Readonly<{ name: string; number?: boolean }>;
type DataTableProps = Readonly<{
  label: string;
  columns: readonly Column[];
  /** What to say when there are no rows: it tells what to do. */
  empty: string;
  rows: readonly ComponentChildren[];
  loaded?: Loaded<unknown>;
}>;

/** A table that scrolls sideways on a phone, and says what is the matter when it has nothing to show. */
export function DataTable({ label, columns, empty, rows, loaded }: DataTableProps): JSX.Element {
  if (loaded?.status === 'failed' && rows.length === 0) {
    return (
      <p class="empty" role="alert">
        {messageOf(loaded.error)}.{' '}
        <button type="button" onClick={loaded.reload}>
          Try again
        </button>
      </p>
    );
  }
  if (rows.length === 0) return <p class="empty">{loaded?.status === 'loading' ? 'Loading…' : empty}</p>;
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={`${label}, table`}>
      <table>
        <caption class="visually-hidden">{label}</caption>
        <thead>
          <tr>
            {columns.map(({ name, number }) => (
              <th key={name} scope="col" class={number ? 'number' : ''}>
                {name === '' ? <span class="visually-hidden">Actions</span> : name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{rows}</tbody>
      </table>
    </div>
  );
}
