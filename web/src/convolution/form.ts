// How formulas, sizes and cells are written.

import type { Window } from './answers';

/** A formula as books print it. */
export function printed(formula: string): string {
  return formula.replaceAll('*', '·').replaceAll('-', '−');
}

/** Sizes of an axis each as one text: `3 × 3`. */
export function sizes(values: number[]): string {
  return values.join(' × ');
}

/** The sizes of a map: rows and columns, of a volume the depth first. */
export const sized = (depth: number, rows: number, columns: number): string => sizes(depth > 1 ? [depth, rows, columns] : [rows, columns]);

/** The grids of a window, one for each depth. */
export function grids<T>(window: Window<T> = []): T[][][] {
  return (Array.isArray(window[0]?.[0]) ? window : [window]) as T[][][];
}
