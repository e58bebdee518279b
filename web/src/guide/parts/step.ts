// The chosen time step, counted from 1 in the address and from 0 here; the arrow keys, Home and End move it.

import { place } from '../../place.svelte';

export function step(count: number): number {
  return Math.min(Math.max(Math.round(place.number('step', 1)) - 1, 0), count - 1);
}

export function steps(event: KeyboardEvent, count: number): void {
  const now = step(count);
  const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: count - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  place.set({ step: Math.min(Math.max(next, 0), count - 1) + 1 });
}
