import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { timeOfDay } from '../format.ts';
import { useStore } from '../store.ts';
import { useLink } from './hooks.ts';

/** A connection that comes and goes within this is not worth a banner. */
const PATIENCE_MS = 400;

/** Says that nothing on the page is live, why, and what happens next. */
export function OfflineBanner(): JSX.Element | null {
  const link = useLink();
  const state = useStore(link.connection);
  const offline = useOffline();
  const [shown, setShown] = useState(false);
  const bad = state.status !== 'open';
  useEffect(() => {
    if (!bad) return setShown(false);
    const timer = setTimeout(() => setShown(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [bad]);
  if (!bad || !shown) return null;
  return (
    <div class="banner" role="alert" data-testid="offline-banner">
      <strong>{state.status === 'stopped' ? 'Not connected' : 'Connection lost'}</strong> since {timeOfDay(state.since)}
      : {offline ? 'this device is offline' : state.reason}. Prices below are old.{' '}
      {state.status === 'stopped' ? (
        <button type="button" onClick={() => location.reload()}>
          Load the page again
        </button>
      ) : (
        'Trying again by itself; what was missed will be fetched.'
      )}
    </div>
  );
}

function useOffline(): boolean {
  const [offline, setOffline] = useState(!navigator.onLine);
  useEffect(() => {
    const look = (): void => setOffline(!navigator.onLine);
    addEventListener('online', look);
    addEventListener('offline', look);
    return () => {
      removeEventListener('online', look);
      removeEventListener('offline', look);
    };
  }, []);
  return offline;
}
