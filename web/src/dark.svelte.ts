// Light or dark: as the system has it, unless the person chose.

import { keep, kept } from './kept';

const KEPT = 'pellucid-theme';

class Dark {
  private query = matchMedia('(prefers-color-scheme: dark)');
  private system = $state(this.query.matches);
  private chosen = $state(kept(KEPT));
  on = $derived(this.chosen ? this.chosen === 'dark' : this.system);

  constructor() {
    this.query.addEventListener('change', (event) => (this.system = event.matches));
  }

  toggle(): void {
    this.chosen = this.on ? 'light' : 'dark';
    keep(KEPT, this.chosen);
  }
}

export const dark = new Dark();
