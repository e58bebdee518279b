// A cell's drawing and the numbers of one step on it.

import { Asked } from '../asked.svelte';
import type { Parameters, Source } from '../source';
import type { Cell, Step } from './answers';

export interface At {
  network: string;
  item: number;
  layer: string;
  step: number | null; // null: the one that is told about
  unit: number | null; // -1: all; null: the one that is told about
}

export class Drawing {
  private drawn: Asked<Cell>;
  private step: Asked<Step>;

  /** What is asked follows whatever `at` reads. */
  constructor(source: () => Source, at: () => At) {
    let first: Parameters | null = null; // a cell is the same on every input
    this.drawn = new Asked<Cell>(source, () => {
      const { network, item, layer } = at();
      if (first?.network !== network || first.layer !== layer) first = { network, item, layer };
      return ['cell', first];
    });
    this.step = new Asked<Step>(source, () => ['step', { ...at() }]);
  }

  get cell(): Cell | null {
    return this.drawn.value;
  }

  /** The numbers, once they are of the layer that is drawn. */
  get now(): Step | null {
    const [drawn, step] = [this.drawn.about, this.step.about];
    return drawn?.network === step?.network && drawn?.layer === step?.layer ? this.step.value : null;
  }

  get failure(): string {
    return this.drawn.failure || this.step.failure;
  }
}
