// Gradients whose nearest steps come first, and all steps once one stays: the way back over thousands takes longer than a person
// should wait.

import type { Questions, Source } from '../source';
import { AskedAll } from '../together/all.svelte';

const BACK = 128; // steps that come first
const REST = 200; // milliseconds

const nearest = (questions: Questions): Questions => questions.map(([name, asked]) => [name, { ...asked, back: BACK }]);
const same = (one: Questions | null, other: Questions | null): boolean => JSON.stringify(one) === JSON.stringify(other);

export class AskedNearby<T extends { since: number }> {
  private near: AskedAll<T>;
  private whole: AskedAll<T>;
  private stays = $state.raw<Questions | null>(null);

  /** What is asked follows whatever `questions` reads; null asks nothing. */
  constructor(source: () => Source, questions: () => Questions | null) {
    let wanted: Questions | null = null;
    this.near = new AskedAll<T>(source, () => {
      wanted = questions();
      return wanted && nearest(wanted);
    });
    $effect(() => {
      const { about, values } = this.near;
      if (!values.some(({ since }) => since > 0)) return;
      const clock = setTimeout(() => {
        if (wanted && same(nearest(wanted), about)) this.stays = wanted; // else the nearest of what is wanted now come first
      }, REST);
      return () => clearTimeout(clock);
    });
    this.whole = new AskedAll<T>(source, () => this.stays);
  }

  get values(): T[] {
    const { about } = this.whole;
    return about && same(nearest(about), this.near.about) ? this.whole.values : this.near.values;
  }

  get failure(): string {
    return this.near.failure || this.whole.failure;
  }
}
