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
  const { status } = useStore(link.connection);
  const outage = useStore(link.outage);
  const offline = useOffline();
  const [shown, setShown] = useState(false);
  const bad = status !== 'open';
  useEffect(() => {
    if (!bad) return setShown(false);
    const timer = setTimeout(() => setShown(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [bad]);
  if (!bad || !shown) return null;
  const reason = offline ? 'this device is offline' : (outage?.reason ?? 'the server has not answered yet');
  return (
    <div class="banner" role="alert" data-testid="offline-banner">
      <strong>Not connected</strong>
      {outage && ` since ${timeOfDay(outage.since)}`}: {reason}. What stands below is not live.{' '}
      {status === 'stopped' ? (
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
