// How formulas, sizes and cells are written.

/** A formula as books print it. */
export function printed(formula: string): string {
  return formula.replaceAll('*', '·').replaceAll('-', '−');
}

/** Sizes of an axis each as one text: `3 × 3`. */
export function sizes(values: number[]): string {
  return values.join(' × ');
}
