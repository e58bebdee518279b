// The answers of the questions that every view asks; a view's own stand beside it.

import type { Tile } from './tile';
import type { Said } from './words.svelte';

export interface Network {
  name: string;
  label: string;
  sentence: Said;
  parameters: number;
  kinds: string[]; // of its layers: convolution, pooling, block, recurrence, cell
}

export interface Overview {
  title: Said;
  form: 'image' | 'sequence' | 'tokens';
  labels: string[];
  columns: Said[];
  takes: Takes | null;
  items: { name: Said; answer: string }[];
  networks: Network[];
}

export interface Takes {
  suffixes: string[];
  largest: number; // bytes of a file
  text: boolean; // may be typed
  board: { height: number; width: number; ground: number } | null; // to draw on, and how bright it is before
}

export interface Input {
  name: Said;
  answer: string;
  form: Overview['form'];
  shape: number[];
  image?: Tile; // (C, H, W)
  tokens?: string[];
  values?: number[][] | null; // (T, I), null where there are too many
  origin?: number | null; // the item that this one is made of by changing numbers
  own?: number[][] | null; // the same in their own unit
  tile?: Tile; // (T, I)
}

export interface Layer {
  path: string;
  type: string;
  kind: '' | 'convolution' | 'pooling' | 'block' | 'recurrence';
  says: string;
  values: { name: string; axes: string[]; shape: number[] }[];
}

export interface Layers {
  layers: Layer[];
}
