// Numbers as the page writes them.

/** Three digits or so, with a true minus sign and always the same number of places for numbers of one size. */
export function written(value: number): string {
  const size = Math.abs(value);
  const text = size >= 1000 || (size > 0 && size < 0.001) ? value.toExponential(1) : value.toFixed(size < 10 ? 3 : size < 100 ? 2 : 1);
  return text.replace('-', '−').replace(/^−(0\.0+)$/, '$1');
}

/** Two places, for a cell of a grid. */
export function brief(value: number): string {
  const size = Math.abs(value);
  const text = size >= 1000 ? value.toExponential(0) : value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
  return text.replace('-', '−').replace(/^−(0\.0+)$/, '$1');
}

/** A formula as books print it. */
export function printed(formula: string): string {
  return formula.replaceAll('*', '·').replaceAll('-', '−');
}

/** Black or white, whichever is read better on a colour `rgb(r g b)`. */
export function ink(background: string): string {
  const [r = 0, g = 0, b = 0] = (background.match(/\d+/g) ?? []).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? '#000' : '#fff';
}

/** Sizes of an axis each as one text: `3 × 3`. */
export function sizes(values: number[]): string {
  return values.join(' × ');
}
