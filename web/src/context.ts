// What every view is given: who answers, and what is open.

import { getContext, setContext } from 'svelte';
import type { Overview } from './answers';
import type { Source } from './source';

export interface Open {
  source: Source;
  overview: Overview;
  reload: () => Promise<void>; // what is open has a new item
}

const KEY = Symbol('open');

export const setOpen = (open: () => Open): void => void setContext(KEY, open);
export const getOpen = (): (() => Open) => getContext<() => Open>(KEY);
