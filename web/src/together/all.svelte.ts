// The answers to one question about several networks, as one: they change together, so that what stands side by side belongs
// together.

import { inTurn } from '../asked.svelte';
import type { Parameters, Source } from '../source';

export class AskedAll<T> {
  values = $state.raw<T[]>([]);
  failure = $state('');

  /** What is asked follows whatever `questions` reads; null asks nothing. */
  constructor(source: () => Source, questions: () => [string, Parameters][] | null) {
    const ask = inTurn(async (asked: [string, Parameters][]) => {
      try {
        this.values = await Promise.all(asked.map((question) => source().ask<T>(...question)));
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
}
