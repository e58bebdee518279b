// The answers of the convolution view's questions, and what its components tell each other.

import type { Tile } from '../tile';

/** How many rows of an earlier stage a position sees, how many from one position to the next, and the first of position 0. */
export type Sight = [size: number, jump: number, first: number];

export interface Stage {
  name: string;
  kind: 'input' | 'between' | 'convolution' | 'activation' | 'normalisation' | 'pooling';
  path: string;
  does: string; // the activation's name, 'max' or 'avg', the layer's class; 'given' of a first stage that is not the input itself
  axes: 1 | 2 | 3;
  depth: number; // 1 of all but volumes
  shape: [channels: number, rows: number, columns: number];
  low: number;
  high: number;
  sources: number[] | null; // null where nobody knows
  sees: Record<string, [rows: Sight, columns: Sight]>;
  deep: Record<string, Sight>; // the same along the depth
  parameters: number;
  macs: number;
  formula?: string;
  dropped?: number[];
  window?: { kernel: number[]; stride: number[]; dilation: number[]; padding: [number, number][] };
  groups?: number;
  mode?: string; // where padding takes its values from
}

export interface Stages {
  stages: Stage[];
  scores: { label: string; score: number }[];
}

export interface Maps {
  count: number;
  tile: Tile; // (maps, rows, columns)
  ranges: [low: number, high: number][];
}

/** Rows of numbers; of a volume one such grid for each depth. */
export type Window<T> = T[][] | T[][][];

export interface Pixel {
  kind: Stage['kind'];
  does: string;
  value: number;
  before?: { stage: string; value: number }[];
  after: { stage: string; does: string; value: number }[];
  // of a convolution and a pooling
  window?: Window<number>;
  padding?: Window<boolean>;
  // of a convolution
  first?: number; // the first channel that the filter reads
  weights?: Window<number>;
  products?: Window<number>;
  sums?: number[];
  bias?: number | null;
  total?: number;
  // of a pooling
  winner?: number[] | null; // row and column; of a volume the depth first
  sum?: number;
  divisor?: number;
}

export interface Leaning {
  channels: number;
  tiles: Tile[];
  positions: number;
  at: number; // the depth of the slices
}

export interface Variant {
  sentence?: string; // why it cannot be
  formula: string;
  depth: number;
  shape: [number, number, number];
  dropped: number[];
  parameters: number;
  macs: number;
  tile: Tile;
  own: Tile;
}

/** One number of a feature map. */
export interface Spot {
  stage: string;
  filter: number;
  depth: number;
  row: number;
  column: number;
}

/** A frame on a map: the position itself, the window of the next stage, or a receptive field further on. */
export interface Mark {
  kind: 'at' | 'window' | 'field';
  row: number;
  column: number;
  rows: number;
  columns: number;
}
