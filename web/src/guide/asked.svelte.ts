// An answer that follows its question: while the next one is on its way the last one stays, so that nothing flickers.

import type { Parameters, Source } from '../source';

export class Asked<T> {
  value = $state.raw<T | null>(null);
  failure = $state('');
}

export function asked<T>(source: () => Source, name: () => string, parameters: () => Parameters): Asked<T> {
  const found = new Asked<T>();
  $effect(() => {
    let current = true;
    source()
      .ask<T>(name(), parameters())
      .then(
        (answer) => {
          if (!current) return;
          found.value = answer;
          found.failure = '';
        },
        (error: unknown) => {
          if (current) found.failure = error instanceof Error ? error.message : String(error);
        },
      );
    return () => (current = false);
  });
  return found;
}
