// The answers about one unit.

import type { Tile } from '../tile';
import type { Said } from '../words.svelte';

export interface UnitAnswer {
  memory: string;
  half_life: { gate: string; steps: number | null; longer: number } | null; // steps null: it never forgets
  gates: { name: string; shut: number; open: number }[];
  channels: { channel: number; label: Said; lag: number; r: number }[];
  tokens: { token: string; mean: number; count: number }[];
  others: { unit: number; r: number }[];
}

export interface Attribution {
  value: number;
  steps: number[];
  tile: Tile; // (I, T), of some features where there are many
  of: number; // features
}

export interface Driving {
  item: number;
  name: Said;
  step: number;
  value: number;
  around: { image?: Tile; rows?: number; start?: number; tokens?: string[]; values?: number[][] };
}

export interface DriversAnswer {
  memory: string;
  items: number;
  highest: Driving[];
  lowest: Driving[];
}

export const visible = (token: string): string => token.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/ /g, '␣');
