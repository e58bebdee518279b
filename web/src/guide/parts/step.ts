// The chosen time step, counted from 1 in the address and from 0 here; the arrow keys, Home and End move it.

import { place } from '../../place.svelte';

/** Step `first`, counted from 1, where none was chosen. */
export function step(count: number, first: number): number {
  return Math.min(Math.max(Math.round(place.number('step', first)) - 1, 0), count - 1);
}

export function steps(event: KeyboardEvent, count: number, now: number): void {
  const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: count - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  place.set({ step: Math.min(Math.max(next, 0), count - 1) + 1 });
}
