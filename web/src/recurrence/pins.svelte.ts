// Steps that are pinned, to come back to and to compare with. They stand in the address, and belong to the input that is shown.

import { place } from '../place.svelte';

/** Where a pin is drawn, as a share of the length that time has there. */
export interface Mark {
  at: number;
  compared: boolean;
}

/** What is left of the pins where another input is chosen. */
export const NONE = { pins: undefined, against: undefined };

class Pins {
  /** In order of time. */
  steps = $derived(read(place.get('pins')));
  /** The one whose values stand beside the cursor's. */
  compared = $derived(this.steps.find((step) => String(step) === place.get('against')) ?? null);

  /** Pin a step, and compare with it from now on; take its pin out if it has one. */
  toggle(step: number): void {
    if (this.steps.includes(step)) this.remove(step);
    else place.set({ pins: [...this.steps, step].sort((a, b) => a - b).join(','), against: step });
  }

  remove(step: number): void {
    const against = this.compared === step ? undefined : place.get('against');
    place.set({ pins: this.steps.filter((other) => other !== step).join(','), against });
  }

  compare(step: number | null): void {
    place.set({ against: step ?? undefined });
  }

  /** Those that lie in what is shown, from 0 to 1. */
  marks(at: (step: number) => number): Mark[] {
    return this.steps.map((step) => ({ at: at(step), compared: step === this.compared })).filter(({ at }) => at >= 0 && at <= 1);
  }
}

function read(text: string): number[] {
  const steps = text.split(',').filter(Boolean).map(Number);
  return [...new Set(steps)].filter((step) => Number.isInteger(step) && step >= 0).sort((a, b) => a - b);
}

export const pins = new Pins();
