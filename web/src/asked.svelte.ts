// The answer to a question whose parameters change. The last answer stays until the next is there, so that nothing flickers.

import type { Parameters, Source } from './source';

export class Asked<T> {
  private state = $state.raw<{ value: T; about: Parameters } | null>(null);
  failure = $state('');

  /** What is asked follows whatever `question` reads; null asks nothing. */
  constructor(source: () => Source, question: () => [string, Parameters] | null) {
    const ask = inTurn(async (asked: [string, Parameters]) => {
      try {
        this.state = { value: await source().ask<T>(...asked), about: asked[1] };
        this.failure = '';
      } catch (error) {
        this.failure = (error as Error).message;
      }
    });
    $effect(() => {
      const asked = question();
      if (asked) ask(asked);
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

/** One question at a time: of those that come while it is answered the last waits, and the others are passed over. */
export function inTurn<Q>(answer: (question: Q) => Promise<void>): (question: Q) => void {
  let answering = false;
  let waiting: { question: Q } | null = null;
  return function ask(question: Q): void {
    if (answering) {
      waiting = { question };
      return;
    }
    answering = true;
    void answer(question).finally(() => {
      const next = waiting;
      answering = false;
      waiting = null;
      if (next) ask(next.question);
    });
  };
}
