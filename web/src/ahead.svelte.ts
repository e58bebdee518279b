// Inputs that will probably be chosen are shown to the networks beforehand, while nothing else is asked: the first gradient of
// an input then takes its way back alone.

import type { Source } from './source';

const PAUSE = 50; // milliseconds that a pointer rests; whoever passes over many inputs asks for none

/** What is likely follows whatever `likely` reads: the numbers of inputs, the likeliest first. */
export function ahead(source: () => Source, networks: () => string[], likely: () => number[]): void {
  $effect(() => {
    const wanted = likely().flatMap((item) => networks().map((network) => ({ network, item })));
    let over = !source().live;
    void (async () => {
      for (const one of wanted) {
        do await new Promise((resolve) => setTimeout(resolve, PAUSE));
        while (!over && source().busy);
        if (over) return;
        await source().ask('ahead', one).catch(() => undefined); // what is wrong with it is said once it is chosen
      }
    })();
    return () => {
      over = true;
    };
  });
}
