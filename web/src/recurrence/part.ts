// Which part of a long sequence is shown around the step.

export interface Part {
  start: number;
  count: number; // 0: all steps
  choices: number[]; // of count, besides all
}

const COUNTS = [100, 500, 2000];
const LONG = 200; // steps, above which a part is shown unless all was asked for

export function part(asked: string, step: number, steps: number): Part {
  const choices = COUNTS.filter((n) => n < steps);
  const count = asked === '0' ? 0 : (choices.find((n) => String(n) === asked) ?? (steps > LONG ? COUNTS[0]! : 0));
  // It moves by half of itself, so that it stands still while the step moves inside it.
  const half = count / 2;
  const start = count ? Math.min(steps - count, Math.max(0, Math.round((step - half) / half) * half)) : 0;
  return { start, count, choices };
}
