import { createStore } from './store.ts';

const STORED_AS = 'tidewire.theme';
const DARK = matchMedia('(prefers-color-scheme: dark)');

export type Theme = 'dark' | 'light';

function wished(): Theme {
  const stored = localStorage.getItem(STORED_AS);
  if (stored === 'dark' || stored === 'light') return stored;
  return DARK.matches ? 'dark' : 'light';
}

export const theme = createStore<Theme>(wished());

function show(): void {
  document.documentElement.dataset.theme = theme.get();
}

/** Follows the system until somebody chooses. */
export function startTheme(): void {
  show();
  theme.subscribe(show);
  DARK.addEventListener('change', () => theme.set(wished()));
}

export function toggleTheme(): void {
  const next = theme.get() === 'dark' ? 'light' : 'dark';
  localStorage.setItem(STORED_AS, next);
  theme.set(next);
}
