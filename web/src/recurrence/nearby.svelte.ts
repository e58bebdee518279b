// Gradients whose nearest steps come first, and all steps once one stays: the way back over thousands takes longer than a person
// should wait.

import type { Source } from '../source';
import { AskedAll, type Questions } from '../together/all.svelte';

const BACK = 128; // steps that come first
const REST = 200; // milliseconds

const nearest = (questions: Questions): Questions => questions.map(([name, asked]) => [name, { ...asked, back: BACK }]);

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
      if (!this.near.values.some(({ since }) => since > 0)) return;
      const clock = setTimeout(() => (this.stays = wanted), REST);
      return () => clearTimeout(clock);
    });
    this.whole = new AskedAll<T>(source, () => this.stays);
  }

  get values(): T[] {
    const { about } = this.whole;
    const whole = about && JSON.stringify(nearest(about)) === JSON.stringify(this.near.about);
    return whole ? this.whole.values : this.near.values;
  }

  get failure(): string {
    return this.near.failure || this.whole.failure;
  }
}
