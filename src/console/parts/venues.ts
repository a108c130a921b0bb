import { createContext } from 'preact';
import { useContext, useEffect, useMemo, useState } from 'preact/hooks';
import type { Venue } from '../../client/index.ts';
import { requestJson } from '../rest.ts';
import type { Link } from '../link/link.ts';
import { useLoaded } from './hooks.ts';
import type { Loaded } from './hooks.ts';

export type Venues = ReadonlyMap<string, Venue>;
export const VenuesContext = createContext<Venues>(new Map());
/** Venues whose health is followed live; an installation has a handful. */
const FOLLOWED_VENUES_LIMIT = 32;

export function useVenues(): Venues {
  return useContext(VenuesContext);
}

type VenuesAnswer = Readonly<{ venues: readonly Venue[]; unreported: readonly string[] }>;

/** All configured venues: their names over REST once, their health live. */
export function useVenueList(link: Link): Readonly<{ answer: Loaded<VenuesAnswer>; venues: Venues }> {
  const answer = useLoaded('venues', (signal) => requestJson<VenuesAnswer>('/v1/venues', { signal }));
  const [live, setLive] = useState<Venues>(new Map());
  const names = answer.value
    ? [...answer.value.venues.map((each) => each.venue), ...answer.value.unreported].toSorted()
    : [];
  useEffect(() => {
    const followed = names.slice(0, FOLLOWED_VENUES_LIMIT).map((name) =>
      link.track(
        link.client.venue(name, {
          onUpdate: (venue) => setLive((known) => new Map(known).set(name, venue)),
        }),
      ),
    );
    return () => {
      for (const each of followed) link.untrack(each);
    };
  }, [names.join(), link]);
  const venues = useMemo(() => {
    const known = new Map((answer.value?.venues ?? []).map((each) => [each.venue, each]));
    for (const [name, venue] of live) known.set(name, venue);
    return known;
  }, [answer.value, live]);
  return { answer, venues };
}
