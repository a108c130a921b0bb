import type { Book } from '../../client/index.ts';
import { rungsOf, spreadOf } from '../book-levels.ts';
import type { LadderSide, Rung } from '../book-levels.ts';
import { ABSENT } from '../format.ts';

/** A change of a bar below this share is not worth a repaint. */
const BAR_STEP = 0.01;

export type LadderOptions = Readonly<{
  rows: number;
  label: string;
  /** A price was picked. */
  onPrice?: (price: string) => void;
}>;

/** A ladder of fixed rows: only the texts and bars that changed are touched, so a book ten times a second costs little. */
export interface BookLadder {
  draw(book: Book | null, step: string | null): void;
  remove(): void;
}

type Cell = { node: Text; text: string };
type Row = { element: HTMLElement; bar: HTMLElement; share: number; price: Cell; size: Cell; total: Cell };

export function createBookLadder(host: HTMLElement, options: LadderOptions): BookLadder {
  const table = element('div', 'ladder');
  table.setAttribute('role', 'table');
  table.setAttribute('aria-label', options.label);
  table.append(headerRow());
  const asks = addSide(table, 'asks', options.rows);
  const spread = addSpreadRow(table);
  const bids = addSide(table, 'bids', options.rows);
  host.append(table);
  const pick = (event: Event): void => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('.rung');
    const price = row?.dataset.price;
    if (price) options.onPrice?.(price);
  };
  if (options.onPrice) table.addEventListener('click', pick);
  return {
    draw(book, step) {
      const { bids: bidLevels, asks: askLevels } = book ?? { bids: [], asks: [] };
      drawSide(asks, rungsOf(askLevels, 'asks', step, options.rows), options.onPrice !== undefined);
      drawSide(bids, rungsOf(bidLevels, 'bids', step, options.rows), options.onPrice !== undefined);
      const distance = spreadOf(bidLevels, askLevels);
      setText(spread, distance ? `${distance.text}  ·  ${distance.basisPoints.toFixed(2)} bps` : ABSENT);
    },
    remove() {
      table.removeEventListener('click', pick);
      table.remove();
    },
  };
}

function headerRow(): HTMLElement {
  const group = element('div', 'ladder-head');
  group.setAttribute('role', 'rowgroup');
  const row = element('div', 'rung head');
  row.setAttribute('role', 'row');
  for (const name of ['Price', 'Size', 'Total']) {
    const cell = element('span', '');
    cell.setAttribute('role', 'columnheader');
    cell.textContent = name;
    row.append(cell);
  }
  group.append(row);
  return group;
}

function addSpreadRow(table: HTMLElement): Cell {
  const group = element('div', 'ladder-spread');
  group.setAttribute('role', 'rowgroup');
  const row = element('div', 'spread');
  row.setAttribute('role', 'row');
  const label = element('span', 'soft');
  label.setAttribute('role', 'rowheader');
  label.textContent = 'Spread';
  row.append(label);
  const cell = addCell(row, 'spread-value');
  group.append(row);
  table.append(group);
  return cell;
}

/** Best first; of asks the best is the lowest row on screen. */
function addSide(table: HTMLElement, side: LadderSide, count: number): Row[] {
  const group = element('div', `ladder-side ${side}`);
  group.setAttribute('role', 'rowgroup');
  const rows = Array.from({ length: count }, (): Row => {
    const line = element('div', `rung ${side}`);
    line.setAttribute('role', 'row');
    const bar = element('i', 'bar');
    bar.setAttribute('aria-hidden', 'true');
    line.append(bar);
    const price = addCell(line, 'price');
    return { element: line, bar, share: 0, price, size: addCell(line, ''), total: addCell(line, 'soft') };
  });
  const onScreen = side === 'asks' ? rows.toReversed() : rows;
  group.append(...onScreen.map((row) => row.element));
  table.append(group);
  return rows;
}

function drawSide(rows: readonly Row[], rungs: readonly Rung[], pickable: boolean): void {
  for (const [index, row] of rows.entries()) {
    const rung = rungs[index];
    if (pickable && row.price.text !== rung?.price) row.element.dataset.price = rung?.price ?? '';
    setText(row.price, rung?.price ?? '');
    setText(row.size, rung?.size ?? '');
    setText(row.total, rung?.total ?? '');
    const share = rung?.share ?? 0;
    if (Math.abs(share - row.share) < BAR_STEP) continue;
    row.share = share;
    row.bar.style.transform = `scaleX(${share.toFixed(2)})`;
  }
}

function addCell(row: HTMLElement, className: string): Cell {
  const cell = element('span', className);
  cell.setAttribute('role', 'cell');
  const node = document.createTextNode('');
  cell.append(node);
  row.append(cell);
  return { node, text: '' };
}

function setText(cell: Cell, text: string): void {
  if (cell.text === text) return;
  cell.text = text;
  cell.node.data = text;
}

function element(name: string, className: string): HTMLElement {
  const made = document.createElement(name);
  if (className !== '') made.className = className;
  return made;
}
