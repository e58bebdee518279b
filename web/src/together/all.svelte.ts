// The answers to one question about several networks, as one: they change together, so that what stands side by side belongs
// together.

import type { Parameters, Source } from '../source';

export class AskedAll<T> {
  values = $state.raw<T[]>([]);
  failure = $state('');
  private last = 0;

  /** What is asked follows whatever `questions` reads; null asks nothing. */
  constructor(source: () => Source, questions: () => [string, Parameters][] | null) {
    $effect(() => {
      const asked = questions();
      if (!asked) return;
      const number = ++this.last;
      Promise.all(asked.map((question) => source().ask<T>(...question))).then(
        (values) => {
          if (number !== this.last) return; // another was asked meanwhile
          this.values = values;
          this.failure = '';
        },
        (error: Error) => {
          if (number === this.last) this.failure = error.message;
        },
      );
    });
  }
}
