// The answers of the questions about recurrent layers.

import type { Tile } from '../tile';

export type Kind = 'state' | 'gate' | 'value' | 'input';

export interface Place {
  layer: string; // what questions call it: "lstm.l0", "l1_reverse"
  number: number;
  reverse: boolean;
  loop: boolean; // the network calls the cell itself: a step is a call
  cell: string;
  units: number;
  steps: number;
  memory: string; // the state that is carried longest
  keeper: string; // the gate that says how much of it is kept; '' where there is none
  values: { name: string; kind: Kind; size: number }[];
  reads: number; // how many numbers a step
}

export interface Places {
  places: Place[];
}

export type Piece = string | number; // text, or whose number stands there

export interface Element {
  value: string; // whose value it is
  kind: 'learned' | 'unit' | 'state' | 'input';
  text: string;
  name: string;
  before: boolean; // the step
  x: number;
  y: number;
  half: number;
  tall: number;
  symbol: string;
  equation: string;
  filled: Piece[][];
  gate: boolean;
  bounded: boolean;
}

export interface Cell {
  name: string;
  svg: string;
  width: number;
  height: number;
  elements: Element[];
}

export interface Step {
  step: number;
  unit: number; // -1: all
  numbers: Record<string, number | null>;
  tiles: Record<string, Tile>;
}

export interface Sequence {
  name: string;
  kind: Kind;
  tile: Tile;
  units: number[];
  of: number;
  start: number;
  window: number;
}

export interface Ordered {
  units: number[]; // of all rows
}

export interface Line {
  unit: number;
  lines: { name: string; kind: Kind; values: (number | null)[] }[];
  start: number;
  window: number;
}

export interface Telling {
  happens: 'forgets' | 'changes';
  step: number;
  unit: number;
  memory: string;
  before: number | null;
  after: number | null;
  gate: string;
  gate_before: number | null;
  gate_after: number | null;
}
