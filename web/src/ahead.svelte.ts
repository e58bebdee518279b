// What will probably be asked next is asked beforehand, while nothing else is: inputs are then shown to the networks already, so that
// the first gradient of one takes its way back alone; and what a list offers is computed while one looks through it.

import type { Questions, Source } from './source';

const PAUSE = 50; // milliseconds that a pointer rests; whoever passes over many things asks for none

/** What is likely follows whatever `likely` reads, the likeliest first. */
export function ahead(source: () => Source, likely: () => Questions): void {
  $effect(() => {
    const wanted = likely();
    let over = !source().live;
    void (async () => {
      for (const one of wanted) {
        do await new Promise((resolve) => setTimeout(resolve, PAUSE));
        while (!over && source().busy);
        if (over) return;
        await source().ask(...one).catch(() => undefined); // what is wrong with it is said once it is chosen
      }
    })();
    return () => {
      over = true;
    };
  });
}

/** Whether the pointer or the keyboard is at a control; once something is chosen with it, not until it comes again. */
export class Pointed {
  private over = $state(false);
  private focused = $state(false);
  /** For the control. */
  readonly events = {
    onpointerenter: () => (this.over = true),
    onpointerleave: () => (this.over = false),
    onfocus: () => (this.focused = true),
    onblur: () => (this.focused = false),
  };

  get on(): boolean {
    return this.over || this.focused;
  }

  done(): void {
    this.over = this.focused = false;
  }
}
