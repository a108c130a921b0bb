import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { messageOf } from '../rest.ts';
import { routeHash } from '../route.ts';
import type { Screen } from '../route.ts';
import { useLoaded } from './hooks.ts';
import type { Loaded } from './hooks.ts';
import { searchMarkets } from './markets.ts';
import type { MarketName } from './markets.ts';
import { useVenues } from './venues.ts';

const TYPING_PAUSE_MS = 200;

type PickerProps = Readonly<{ screen: Screen; market: MarketName; onPicked?: () => void }>;

/** Venue and symbol, by search. `/` puts the cursor here, arrows walk the list, Enter takes the first. */
export function MarketPicker({ screen, market, onPicked }: PickerProps): JSX.Element {
  const venues = useVenues();
  const [venue, setVenue] = useState('');
  const [text, setText] = useState('');
  const [asked, setAsked] = useState('');
  const search = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text), TYPING_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  useSlashKey(search);
  const found = useLoaded(`${venue}|${asked}`, () => searchMarkets({ venue, text: asked }));
  const onKeyDown = (event: KeyboardEvent): void => walkList(event, search.current, list.current);
  return (
    <div class="picker" onKeyDown={onKeyDown}>
      <div class="picker-search">
        <label>
          <span class="visually-hidden">Search markets</span>
          <input
            ref={search}
            type="search"
            placeholder="Search markets ( / )"
            value={text}
            maxLength={64}
            autocomplete="off"
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <label>
          <span class="visually-hidden">Venue</span>
          <select value={venue} onChange={(event) => setVenue(event.currentTarget.value)}>
            <option value="">all venues</option>
            {[...venues.keys()].map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <SearchProblem found={found} asked={asked} />
      <ul class="picker-list" ref={list} aria-label="Markets">
        {(found.value ?? []).map((each) => (
          <li key={`${each.venue}:${each.symbol}`}>
            <a
              href={routeHash(screen, each.venue, each.symbol)}
              aria-current={each.venue === market.venue && each.symbol === market.symbol ? 'page' : undefined}
              onClick={onPicked}
            >
              <span>{each.symbol}</span>
              <span class="soft">
                <span class={`dot ${venues.get(each.venue)?.status ?? ''}`} aria-hidden="true" /> {each.venue}
              </span>
            </a>
          </li>
        ))}
      </ul>
    </div>
  );
}

type SearchProblemProps = Readonly<{ found: Loaded<readonly unknown[]>; asked: string }>;

function SearchProblem({ found, asked }: SearchProblemProps): JSX.Element | null {
  if (found.status === 'failed') {
    return (
      <p class="empty" role="alert">
        {messageOf(found.error)}.{' '}
        <button type="button" onClick={found.reload}>
          Try again
        </button>
      </p>
    );
  }
  if (found.status === 'loading' || found.value.length > 0) return null;
  return <p class="empty">Nothing is listed under “{asked}”. Try a part of the symbol, such as ETH.</p>;
}

function useSlashKey(search: { current: HTMLInputElement | null }): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const typing = event.target instanceof HTMLElement && event.target.closest('input, select, textarea');
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      search.current?.focus();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [search]);
}

function walkList(event: KeyboardEvent, search: HTMLInputElement | null, list: HTMLUListElement | null): void {
  const links = [...(list?.querySelectorAll('a') ?? [])];
  const at = links.indexOf(event.target as HTMLAnchorElement);
  if (event.key === 'Enter' && event.target === search) links[0]?.click();
  else if (event.key === 'ArrowDown') links[at + 1]?.focus();
  else if (event.key === 'ArrowUp' && at > 0) links[at - 1]?.focus();
  else if (event.key === 'ArrowUp' && at === 0) search?.focus();
  else return;
  event.preventDefault();
}
