// Colour scales that the colour-blind can read, and that keep their order in grey.
// Sequential: cividis (Nuñez, Anderton and Renslow 2018). Around zero: blue to orange through the ground's own tone.

type RGB = [number, number, number];

const CIVIDIS: RGB[] = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116],
  [195, 179, 105], [225, 204, 85], [254, 232, 56],
];
const AROUND: { light: RGB[]; dark: RGB[] } = {
  light: [[0, 68, 136], [64, 135, 190], [150, 195, 222], [247, 247, 247], [244, 190, 130], [222, 128, 30], [140, 66, 0]],
  dark: [[120, 190, 255], [60, 130, 200], [30, 72, 115], [24, 28, 33], [112, 64, 16], [205, 118, 28], [255, 190, 100]],
};
const GREY: RGB[] = [[0, 0, 0], [255, 255, 255]];

// Of lines that are told apart: Okabe and Ito's (2008), darker or lighter so that each stands out from the ground.
export const LINES = {
  light: ['#0072b2', '#c44e00', '#00795a', '#a3457f', '#6b5b00', '#14202a'],
  dark: ['#6cb8f0', '#ffa64d', '#4fc29e', '#e39ac6', '#f0e442', '#e8eef3'],
};

export type Scale = 'sequence' | 'around' | 'grey';

function mixed(stops: RGB[], at: number): RGB {
  const place = Math.min(Math.max(at, 0), 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  const part = place - below;
  const [a, b] = [stops[below]!, stops[below + 1]!];
  return [0, 1, 2].map((k) => Math.round(a[k]! + part * (b[k]! - a[k]!))) as RGB;
}

/** 256 colours for a tile's bytes, each as the four bytes of a pixel in one number. */
function table(scale: Scale, dark: boolean): Uint32Array {
  const stops = scale === 'sequence' ? CIVIDIS : scale === 'grey' ? GREY : AROUND[dark ? 'dark' : 'light'];
  const found = new Uint8ClampedArray(1024);
  for (let value = 0; value < 256; value++) {
    found.set([...mixed(stops, value / 255), 255], 4 * value);
  }
  return new Uint32Array(found.buffer);
}

const tables = new Map<string, Uint32Array>();

/** Draw bytes on a canvas of so many rows and columns, one pixel a byte, in row-major order. */
export function paint(canvas: HTMLCanvasElement, data: Uint8Array, rows: number, columns: number, scale: Scale, dark: boolean): void {
  if (canvas.width !== columns) canvas.width = columns; // a size that is set, even the same, makes a new canvas
  if (canvas.height !== rows) canvas.height = rows;
  const context = canvas.getContext('2d');
  if (!context || !rows || !columns) return;
  const about = `${scale} ${dark}`;
  const colours = tables.get(about) ?? table(scale, dark);
  tables.set(about, colours);
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < data.length; at++) pixels[at] = colours[data[at]!]!;
  context.putImageData(image, 0, 0);
}

/** The colour of one number between low and high. */
export function colour(scale: Scale, dark: boolean, value: number, low: number, high: number): string {
  const stops = scale === 'sequence' ? CIVIDIS : scale === 'grey' ? GREY : AROUND[dark ? 'dark' : 'light'];
  return `rgb(${mixed(stops, high > low ? (value - low) / (high - low) : 0.5).join(' ')})`;
}

/** Black or white, whichever can be read on a colour `rgb(r g b)`. */
export function ink(fill: string): string {
  const [r = 0, g = 0, b = 0] = (fill.match(/\d+/g) ?? []).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? '#14202a' : '#ffffff';
}
