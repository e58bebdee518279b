// The networks that stand side by side: where in each one looks, and its colour.

import type { Network } from '../answers';
import { LINES } from '../colour';
import { place } from '../place.svelte';
import type { Place, Sequence } from '../recurrence/answers';
import type { Reach } from '../recurrence/reach';
import { asked, pageOf } from '../recurrence/rows';

export interface Side {
  network: Network;
  places: Place[];
  place: Place; // the layer that is looked at
  colour: string;
  dash: string;
  reach?: Reach;
  memory?: Sequence;
}

const OWN = ['lstm', 'gru', 'rnn'] as const;
const DASHES = ['', '8 3', '2 3', '8 3 2 3', '5 5'];

/** The theme's colour of its kind of cell; of a second one of a kind, and of cells of one's own, one of a list. */
export function colours(networks: Network[], dark: boolean): string[] {
  const others = LINES[dark ? 'dark' : 'light'];
  const used = new Set<string>();
  let next = others.length;
  return networks.map(({ name }) => {
    const own = OWN.find((kind) => name.toLowerCase().includes(kind) && !used.has(kind));
    if (!own) return others[--next % others.length]!;
    used.add(own);
    return `var(--${own})`;
  });
}

export const dash = (number: number): string => DASHES[number % DASHES.length]!;

/** The layer nearest to the answer, read in the input's own order, unless another is chosen. */
export const chosenPlace = (places: Place[], chosen: string): Place | undefined =>
  places.find((p) => p.layer === chosen) ?? places.filter((p) => !p.reverse).at(-1) ?? places.at(-1);

/** The unit of a network that is looked at; -1 for all. */
export const unitOf = (network: string, of: Place): number => Math.min(place.number(`unit.${network}`, -1), of.units - 1);

/** Where the address keeps which units' rows a network's memory shows. */
export const rowsOf = (network: string): string => `rows.of.${network}`;

/** The first row that it shows: of a large layer the page that was asked for, else the one with its unit. */
export function firstRow(network: string, of: Place): number {
  const size = of.values.find((value) => value.name === of.memory)?.size ?? of.units;
  return asked(rowsOf(network), size) ?? pageOf(Math.min(unitOf(network, of), size - 1));
}
