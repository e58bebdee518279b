// Numbers as they are read: two decimals, fewer where the number is large, and a minus as long as a plus.

/** A number's text with a true minus, and none at zero. */
export function minus(text: string): string {
  return (Number(text) === 0 ? text.replace('-', '') : text).replaceAll('-', '−');
}

export function shown(value: number | null | undefined, decimals = 2): string {
  if (value === null || value === undefined) return '–';
  const size = Math.abs(value);
  const text = size >= 1e5 ? value.toExponential(1) : value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : decimals);
  return minus(text);
}

export const percent = (value: number): string => `${Math.round(100 * value)} %`;
