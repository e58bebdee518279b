// How formulas, sizes and cells are written.

/** A whole number, with a true minus sign. */
export const whole = (value: number): string => String(value).replace('-', '−');

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
