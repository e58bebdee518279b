// How far back a gradient reaches: the answers, and how they are said.

import type { Tile } from '../tile';
import { say, type Words } from '../words.svelte';

export interface StateReach {
  name: string;
  norms: number[]; // of dL/ds_t, by step
  start: number | null; // the step nearest to what L is of; null where no gradient comes
  fades: number | null; // steps from there to the first below 1 %
}

export interface Reach {
  of: 'answer' | 'state' | 'unit';
  step: number;
  since: number; // the first step of which this is known; what comes before it is on its way
  memory: string;
  reverse: boolean;
  states: StateReach[];
  // Of an answer:
  target?: number;
  chosen?: number; // the network's own
  every?: boolean; // whether there is an answer after every step
  classes?: boolean;
  offered?: { target: number; label: string; score: number }[];
}

export interface Gradient {
  name: string;
  most: number;
  since: number; // the first column's step
  window: number;
  tile: Tile; // (H, T), log10 of the share of the largest
}

/** One line of the chart: a network's, or a state's. */
export interface Fall {
  name: string;
  colour: string;
  dash: string;
  state: StateReach;
  reverse: boolean;
  since?: number; // the first step that is known; 0 where it is left out
}

export const FADED = 0.01;

/** The norms as shares of where the gradient starts; null beyond it, and where they are not known yet. */
export function shares({ state: { norms, start }, reverse, since = 0 }: Fall): (number | null)[] {
  if (start === null) return norms.map(() => null);
  return norms.map((norm, t) => (t < since || (reverse ? t < start : t > start) ? null : norm / norms[start]!));
}

/** The step at which 1 % is left. */
export const fadedAt = ({ state, reverse }: Fall): number | null =>
  state.start === null || state.fades === null ? null : state.start + (reverse ? state.fades : -state.fades);

export const words = {
  falls: { en: 'The gradient falls to 1 % {told}.', ko: '기울기가 1 %로 줄어드는 때: {told}.' },
  lasts: { en: 'The gradient never falls to 1 % {told}.', ko: '기울기가 끝까지 1 %로 줄지 않는 곳: {told}.' },
  more: { en: 'More than 1 % is left {told}; further back is still being computed.', ko: '1 % 넘게 남은 곳: {told}. 더 앞은 계산하는 중입니다.' },
  none: { en: 'No gradient arrives {told}.', ko: '기울기가 닿지 않는 곳: {told}.' },
  inNetworks: { en: 'in the {name}', ko: '{name}' },
  inStates: { en: 'at {name}', ko: '{name}' },
  after: { en: 'after {steps} steps', ko: '{steps}단계 뒤' },
  once: { en: 'after 1 step', ko: '1단계 뒤' },
  left: { en: '({left} is left {after})', ko: '({after} {left})' },
} satisfies Words;

const percent = (share: number): string => `${share >= 0.1 ? Math.round(100 * share) : Number((100 * share).toPrecision(2))} %`;

const after = (steps: number): string => say(words, steps === 1 ? 'once' : 'after', { steps });

/** After how many steps 1 % is left, of each, in sentences; the lines are those of networks or of states. */
export function told(falls: Fall[], of: 'networks' | 'states'): string {
  const parts: Record<'falls' | 'lasts' | 'more' | 'none', string[]> = { falls: [], lasts: [], more: [], none: [] };
  for (const { name, state, reverse, since = 0 } of falls) {
    const where = say(words, of === 'networks' ? 'inNetworks' : 'inStates', { name });
    if (state.start === null) parts.none.push(where);
    else if (state.fades !== null) parts.falls.push(`${where} ${after(state.fades)}`);
    else {
      const end = reverse ? state.norms.length - 1 : since;
      const left = percent(state.norms[end]! / state.norms[state.start]!);
      parts[since > 0 ? 'more' : 'lasts'].push(`${where} ${say(words, 'left', { left, after: after(Math.abs(state.start - end)) })}`);
    }
  }
  const sentences = (['falls', 'lasts', 'more', 'none'] as const).filter((one) => parts[one].length);
  return sentences.map((one) => say(words, one, { told: parts[one].join(', ') })).join(' ');
}
