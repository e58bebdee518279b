// The answers to several questions, such as one about each network, as one: they change together, so that what stands side by
// side belongs together.

import { inTurn } from '../asked.svelte';
import type { Questions, Source } from '../source';

export class AskedAll<T> {
  private state = $state.raw<{ values: T[]; about: Questions | null }>({ values: [], about: null });
  failure = $state('');

  /** What is asked follows whatever `questions` reads; null asks nothing. */
  constructor(source: () => Source, questions: () => Questions | null) {
    const ask = inTurn(async (asked: Questions) => {
      try {
        const values = await Promise.all(asked.map((question) => source().ask<T>(...question)));
        this.state = { values, about: asked };
        this.failure = '';
      } catch (error) {
        this.failure = (error as Error).message;
      }
    });
    $effect(() => {
      const asked = questions();
      if (asked) ask(asked);
    });
  }

  get values(): T[] {
    return this.state.values;
  }

  /** What the answers that stand are about: while the next are on their way, not what was asked last. */
  get about(): Questions | null {
    return this.state.about;
  }
}
