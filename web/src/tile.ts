// A tensor as the server sends it for pictures: one byte a number, and the range that the bytes span.

export interface Tile {
  shape: number[];
  low: number;
  high: number;
  bytes: string; // base64, row-major
}

const decoded = new WeakMap<Tile, Uint8Array>();

export function bytes(tile: Tile): Uint8Array {
  let found = decoded.get(tile);
  if (!found) {
    const text = atob(tile.bytes);
    found = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) found[at] = text.charCodeAt(at); // many times as quick as Uint8Array.from
    decoded.set(tile, found);
  }
  return found;
}

/** The bytes of a matrix in column-major order. */
export function turned(tile: Tile): Uint8Array {
  const [rows, columns] = tile.shape as [number, number];
  const data = bytes(tile);
  const found = new Uint8Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) found[column * rows + row] = data[row * columns + column]!;
  }
  return found;
}

/** The number that a byte stands for, to 1/255 of the range. */
export function number(tile: Tile, at: number): number {
  return tile.low + ((bytes(tile)[at] ?? 0) / 255) * (tile.high - tile.low);
}

/** One slice along the first axis; the range that its bytes span is the tile's, or a given one. */
export function slice(tile: Tile, at: number, [low, high]: [number, number] = [tile.low, tile.high]): Tile {
  const [, ...shape] = tile.shape;
  const size = shape.reduce((a, b) => a * b, 1);
  const part: Tile = { ...tile, shape, low, high };
  decoded.set(part, bytes(tile).subarray(at * size, (at + 1) * size));
  return part;
}

/** The same numbers on another range, to share its colours with another tile. */
export function rescaled(tile: Tile, low: number, high: number): Tile {
  const data = bytes(tile);
  const wide = (tile.high - tile.low) / 255;
  const moved: Tile = { ...tile, low, high };
  const scale = 255 / (high > low ? high - low : 1);
  // A Uint8ClampedArray rounds, and keeps what lies beyond the range at its ends.
  const clamped = Uint8ClampedArray.from({ length: 256 }, (_, byte) => (tile.low + byte * wide - low) * scale);
  const found = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at++) found[at] = clamped[data[at]!]!;
  decoded.set(moved, found);
  return moved;
}
