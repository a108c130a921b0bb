/** For what is absent; never a zero that nobody said. */
export const ABSENT = '–';

let secondText = '';
let secondOf = -1;

/** `HH:MM:SS` in the reader's time zone. Made once a second: tapes ask for it hundreds of times. */
export function timeOfDay(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== secondOf) {
    const date = new Date(ms);
    secondOf = second;
    secondText = [date.getHours(), date.getMinutes(), date.getSeconds()]
      .map((part) => String(part).padStart(2, '0'))
      .join(':');
  }
  return secondText;
}

export function dateAndTime(ms: number): string {
  const date = new Date(ms);
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, '0'));
  return `${day.join('-')} ${timeOfDay(ms)}`;
}

/** A length of time in the unit that suits it. */
export function duration(ms: number | null): string {
  if (ms === null) return ABSENT;
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  return `${Math.floor(ms / 3_600_000)} h`;
}

export function milliseconds(value: number | null): string {
  if (value === null) return ABSENT;
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

/** Groups of three before the point: `61837.63` -> `61,837.63`. */
export function grouped(decimal: string | null): string {
  if (decimal === null) return ABSENT;
  const [whole = '', fraction] = decimal.split('.');
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? text : `${text}.${fraction}`;
}

/** For the eye only: a large number in few digits. */
export function compact(decimal: string | null): string {
  if (decimal === null) return ABSENT;
  return new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 }).format(Number(decimal));
}

/** The change from `open` to `last` in percent with its sign; null where one is unknown. */
export function changePercent(open: string | null, last: string | null): string | null {
  if (open === null || last === null || Number(open) === 0) return null;
  const change = ((Number(last) - Number(open)) / Number(open)) * 100;
  return `${change >= 0 ? '+' : '−'}${Math.abs(change).toFixed(2)} %`;
}

/** The class of a change that was made by `changePercent`. */
export function toneOf(change: string | null): 'up' | 'down' | '' {
  if (change === null) return '';
  return change.startsWith('+') ? 'up' : 'down';
}
