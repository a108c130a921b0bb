import type { Route } from './adapter-ccxt.ts';
import type { CcxtClient } from './ccxt-surface.ts';
import type { Subscription } from './upstream-session.ts';

/** Whose is what comes on a socket under a name: ccxt's hashes, and the ids of the requests. */
export class RouteTable {
  readonly #bySocket = new Map<CcxtClient, Map<string, Set<Subscription>>>();

  add(subscription: Subscription, client: CcxtClient, route: Route): void {
    subscription.routes.push({ client, route });
    const byName = this.#bySocket.get(client) ?? new Map<string, Set<Subscription>>();
    this.#bySocket.set(client, byName);
    // Kraken, KuCoin and Binance answer an impossible subscription under the request's own id.
    const id = requestId(route.message);
    for (const name of id === undefined ? route.hashes : [...route.hashes, id]) {
      byName.set(name, (byName.get(name) ?? new Set()).add(subscription));
    }
  }

  remove(subscription: Subscription): void {
    for (const { client } of subscription.routes) {
      const byName = this.#bySocket.get(client);
      for (const [name, owners] of byName ?? []) {
        if (owners.delete(subscription) && owners.size === 0) byName!.delete(name);
      }
    }
    subscription.routes = [];
  }

  get(client: CcxtClient, name: string): ReadonlySet<Subscription> | undefined {
    return this.#bySocket.get(client)?.get(name);
  }

  allOf(client: CcxtClient): Subscription[] {
    const byName = this.#bySocket.get(client);
    return byName === undefined ? [] : [...new Set([...byName.values()].flatMap((owners) => [...owners]))];
  }

  /** The socket is gone; answers whose it was. */
  drop(client: CcxtClient): Subscription[] {
    const owners = this.allOf(client);
    this.#bySocket.delete(client);
    for (const owner of owners) owner.routes = owner.routes.filter((route) => route.client !== client);
    return owners;
  }

  clear(): void {
    for (const client of this.#bySocket.keys()) this.drop(client);
  }
}

/** The id that a request carries and its answer repeats. */
export function requestId(message: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const id = message?.['req_id'] ?? message?.['id'];
  return typeof id === 'string' || typeof id === 'number' ? String(id) : undefined;
}
