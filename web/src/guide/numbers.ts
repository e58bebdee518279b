// Numbers as they are read: a true minus sign, and no more digits than are worth reading.

import { minus } from '../numbers';

export function written(value: number, digits = 2): string {
  return minus(Number.isInteger(value) ? String(value) : value.toFixed(digits));
}

/** With so many significant digits, or as a power of ten where it is very small or very large. */
export function significant(value: number, digits = 3): string {
  if (value === 0) return '0';
  const power = Math.floor(Math.log10(Math.abs(value)));
  if (power >= -3 && power < 6) return written(Number(value.toPrecision(digits)), Math.max(0, digits - 1 - power));
  const [head, tail] = value.toExponential(digits - 1 > 1 ? 1 : digits - 1).split('e');
  return `${head === '1' ? '' : `${head}·`}10${[...String(Number(tail))].map((c) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(c)] ?? '⁻').join('')}`.replace('-', '−');
}

/** The size formula as it is printed in books. */
export function formula(text: string): string {
  return text.replace(/floor\((.*)\) \+/, '⌊$1⌋ +').replaceAll('*', '·').replaceAll('-', '−');
}
