// The answer to a question whose parameters change. The last answer stays until the next is there, so that nothing flickers.

import type { Parameters, Source } from './source';

export class Asked<T> {
  private state = $state.raw<{ value: T; about: Parameters } | null>(null);
  failure = $state('');
  private sent = 0;
  private shown = 0;

  /** What is asked follows whatever `question` reads; null asks nothing. */
  constructor(source: () => Source, question: () => [string, Parameters] | null) {
    $effect(() => {
      const asked = question();
      if (!asked) return;
      const number = ++this.sent;
      // Answers may overtake each other: an older one than that which is shown says nothing new.
      const isNewer = (): boolean => number > this.shown && (this.shown = number) === number;
      source()
        .ask<T>(...asked)
        .then(
          (value) => {
            if (!isNewer()) return;
            this.state = { value, about: asked[1] };
            this.failure = '';
          },
          (error: Error) => {
            if (isNewer()) this.failure = error.message;
          },
        );
    });
  }

  get value(): T | null {
    return this.state?.value ?? null;
  }

  /** What the answer that stands is about: while the next is on its way, not what was asked last. */
  get about(): Parameters | null {
    return this.state?.about ?? null;
  }
}
