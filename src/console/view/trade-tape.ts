import type { Trade } from '../../client/index.ts';
import { timeOfDay } from '../format.ts';

/** Newest first, a fixed number of rows; the oldest row is used again for the newest trade. */
export interface TradeTape {
  add(trades: readonly Trade[]): void;
  /** A line that says that trades are missing here. */
  addGap(text: string): void;
  draw(): void;
  remove(): void;
}

type Line = Readonly<{ time: string; price: string; size: string; side: string }>;
type Row = { element: HTMLElement; time: Text; price: Text; size: Text };

export function createTradeTape(host: HTMLElement, options: Readonly<{ rows: number; label: string }>): TradeTape {
  const table = document.createElement('div');
  table.className = 'tape';
  table.setAttribute('role', 'table');
  table.setAttribute('aria-label', options.label);
  table.append(headerRow());
  const body = document.createElement('div');
  body.setAttribute('role', 'rowgroup');
  table.append(body);
  host.append(table);
  const rows: Row[] = [];
  /** What the next frame shows; never more than fit on the screen. */
  let waiting: Line[] = [];
  const wait = (line: Line): void => {
    waiting.push(line);
    if (waiting.length > options.rows) waiting = waiting.slice(-options.rows);
  };
  return {
    add(trades) {
      for (const { ts, price, size, side } of trades.slice(-options.rows)) {
        wait({ time: timeOfDay(ts), price, size, side: side ?? 'unknown' });
      }
    },
    addGap: (text) => wait({ time: '', price: text, size: '', side: 'gap' }),
    draw() {
      const lines = waiting;
      waiting = [];
      for (const line of lines) {
        const row = rows.length < options.rows ? createRow() : rows.shift()!;
        rows.push(row);
        row.element.className = `print ${line.side}`;
        row.time.data = line.time;
        row.price.data = line.price;
        row.size.data = line.size;
        body.prepend(row.element);
      }
    },
    remove: () => table.remove(),
  };
}

function headerRow(): HTMLElement {
  const group = document.createElement('div');
  group.setAttribute('role', 'rowgroup');
  const row = document.createElement('div');
  row.className = 'print head';
  row.setAttribute('role', 'row');
  for (const name of ['Time', 'Price', 'Size']) {
    const cell = document.createElement('span');
    cell.setAttribute('role', 'columnheader');
    cell.textContent = name;
    row.append(cell);
  }
  group.append(row);
  return group;
}

function createRow(): Row {
  const element = document.createElement('div');
  element.setAttribute('role', 'row');
  const [time, price, size] = ['soft', 'price', ''].map((className) => {
    const cell = document.createElement('span');
    cell.className = className;
    cell.setAttribute('role', 'cell');
    const node = document.createTextNode('');
    cell.append(node);
    element.append(cell);
    return node;
  }) as [Text, Text, Text];
  return { element, time, price, size };
}
