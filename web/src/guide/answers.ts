// The answers of the guide's questions; src/pellucid/web/questions/guide says what each number is.

import type { Input } from '../answers';
import type { Tile } from '../tile';

export type Value = string | number;

export interface Control {
  name: string;
  values: Value[];
  start: Value;
}

export interface Contents {
  pages: { name: string; figures: Record<string, Control[]> }[];
}

export interface Filtering {
  image: number[][];
  filter: number[][];
  products: number[][][]; // row, column of the map, nine products
  map: number[][];
}

export interface Padding {
  padded: number[][];
  padding: number;
  map: number[][];
  ways: number[][];
}

export interface Stride {
  padded: number[][];
  map: number[][];
  formula: string;
  macs: number;
  dropped: number;
}

export interface Size {
  formula: string;
  output: number;
  span: number;
  dropped: number;
  windows: number[][];
}

export interface Chain {
  input: string;
  rows: { layer: string; formula: string; output: string; parameters: number; macs: number; sees: number | 'before' | 'all' | null }[];
}

export interface Pooling {
  image: number[][];
  max: number[][];
  winners: number[][];
  average: number[][];
  moved: { max: number; average: number };
}

export interface Unrolled {
  x: number[];
  wx: number[];
  uh: number[];
  sum: number[];
  h: number[];
  slope: number[];
}

export interface Vanishing {
  norms: number[];
  weights: number;
  clipped: number;
}

/** One unit over time: what comes in, its gates and states by name, the slope of the memory, and its half-life. */
export type Unit = Record<string, number[]> & { half_life: number };

export interface Beside {
  networks: { name: string; parameters: number; macs: number; reach: number[] }[];
}

export interface Yours {
  input: Input;
  networks: {
    name: string;
    label: string;
    maps: { kind: string; name: string; tile: Tile }[]; // (N, H, W), or (N, L) of a sequence
    reach: { norms: number[]; every: number; fades: number | null } | null;
  }[];
}

export interface Measured {
  command: string;
  created: string;
  machine: string;
  batches: number;
  seeds: number;
  lines: { label: string; points: [number, number, number, number][] }[];
}
