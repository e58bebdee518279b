// The answers of the questions that choosing an input asks.

import type { Tile } from '../tile';

export interface Thumbnails {
  pictures: (Tile | null)[]; // (C, H, W), one or three channels
}

export interface Share {
  number: number;
  name: string;
  probability: number;
}

export interface Classes {
  kind: 'class' | 'next';
  step?: number; // after which the next token is told
  best: Share[];
  right: Share | null;
}

export interface Labels {
  kind: 'labels';
  step?: number; // after which they are told
  best: Share[];
  right: Share[] | null; // all that hold
}

export interface Single {
  kind: 'number';
  name: string;
  value: number;
  truth: number | null;
}

export interface Forecast {
  kind: 'forecast';
  name: string;
  quantiles: number[];
  values: number[][]; // (horizon, quantiles)
  truth: number[] | null;
  times: string[];
  past: number[];
}

export interface Numbers {
  kind: 'numbers';
  shape: number[];
  largest: { name: string; value: number }[];
}

export type Answer = Classes | Labels | Single | Forecast | Numbers;
