// Which cell of a map is looked at: pinned by a click or the arrow keys, moved for a while by the pointer.

import { place } from '../../place.svelte';

/** The pinned cell, kept inside a map of that size; it stands in the address. */
export function pinned(map: number[][]): [number, number] {
  const [row = 0, column = 0] = place.get('at').split(',').map(Number);
  const inside = (value: number, count: number) => Math.min(Math.max(Number.isInteger(value) ? value : 0, 0), Math.max(count - 1, 0));
  return [inside(row, map.length), inside(column, map[0]?.length ?? 1)];
}

export function pin(row: number, column: number): void {
  place.set({ at: `${row},${column}` });
}

/** The largest distance from zero. */
export function most(values: number[][]): number {
  return Math.max(...values.flat().map(Math.abs), 1e-9);
}
