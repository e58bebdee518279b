/** Black or white, whichever can be read on a colour `rgb(r g b)`. */
export function ink(fill: string): string {
  const [r = 0, g = 0, b = 0] = (fill.match(/\d+/g) ?? []).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? '#14202a' : '#ffffff';
}
