// Which rows of a large layer its maps show.

import { place } from '../place.svelte';

export const MOST = 512; // rows of one map: the server sends no more

/** The first row of the page that a row stands on. */
export const pageOf = (row: number): number => Math.max(0, row - (row % MOST));

/** The first row that was asked for under a name of the address; null where none was. */
export function asked(name: string, of: number): number | null {
  return place.get(name) ? pageOf(Math.min(of - 1, Math.max(0, Math.floor(place.number(name))))) : null;
}
