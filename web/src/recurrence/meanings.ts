// What a value does, in words; of the well-known cells by the names in their equations, of others by what kind of value it is.

import type { Element } from './answers';
import { percent, shown } from '../numbers';
import { say, spoken, type Words } from '../words.svelte';

const INPUT = { en: 'What the layer reads at this step.', ko: '이 단계에서 층이 읽는 입력입니다.' };

const known: Record<string, Words> = {
  LSTM: {
    f_t: {
      en: 'The forget gate: it keeps {percent} of the memory.',
      ko: '망각 게이트: 기억의 {percent}를 남깁니다.',
    },
    i_t: {
      en: 'The input gate: it lets {percent} of what is new into the memory.',
      ko: '입력 게이트: 새로운 내용의 {percent}를 기억에 들입니다.',
    },
    g_t: {
      en: 'What could be written into the memory, made from the input and the last hidden state.',
      ko: '기억에 쓸 후보: 입력과 직전 은닉 상태로 만듭니다.',
    },
    o_t: {
      en: 'The output gate: it shows {percent} of the memory to the outside.',
      ko: '출력 게이트: 기억의 {percent}를 밖으로 내보냅니다.',
    },
    'f_t × c_{t−1}': { en: 'What is left of the old memory.', ko: '이전 기억 가운데 남은 것입니다.' },
    'i_t × g_t': { en: 'What is written anew.', ko: '새로 쓰는 내용입니다.' },
    c_t: {
      en: 'The memory after this step: what is left plus what is new. Nothing else touches it.',
      ko: '이 단계 뒤의 기억(셀 상태): 남은 것과 새것의 합이며, 다른 것은 손대지 않습니다.',
    },
    'c_{t−1}': { en: 'The memory as the step before left it.', ko: '이전 단계가 남긴 기억(셀 상태)입니다.' },
    'tanh(c_t)': { en: 'The memory, squashed to between −1 and 1.', ko: '기억을 −1과 1 사이로 누른 값입니다.' },
    h_t: {
      en: 'The hidden state: what the unit tells the next step and the next layer.',
      ko: '은닉 상태: 유닛이 다음 단계와 다음 층에 전하는 값입니다.',
    },
    'h_{t−1}': { en: 'The hidden state of the step before.', ko: '이전 단계의 은닉 상태입니다.' },
  },
  GRU: {
    z_t: {
      en: 'The update gate: it keeps {percent} of the old hidden state.',
      ko: '갱신 게이트: 이전 은닉 상태의 {percent}를 남깁니다.',
    },
    '1 − z_t': { en: 'The share that is renewed: {percent}.', ko: '새로 바꾸는 몫: {percent}입니다.' },
    r_t: {
      en: 'The reset gate: the proposal sees {percent} of what the old hidden state says.',
      ko: '리셋 게이트: 후보를 만들 때 이전 은닉 상태의 {percent}를 봅니다.',
    },
    n_t: {
      en: 'The proposal for a new hidden state, made from the input and what the reset gate lets through.',
      ko: '새 은닉 상태의 후보: 입력과 리셋 게이트가 통과시킨 것으로 만듭니다.',
    },
    '(1 − z_t) × n_t': { en: 'What is new.', ko: '새로 들어오는 부분입니다.' },
    'z_t × h_{t−1}': { en: 'What is left of the old hidden state.', ko: '이전 은닉 상태 가운데 남은 것입니다.' },
    h_t: {
      en: 'The hidden state, memory and output in one: what is left plus what is new.',
      ko: '은닉 상태: 기억이자 출력이며, 남은 것과 새것의 합입니다.',
    },
    'h_{t−1}': { en: 'The hidden state as the step before left it.', ko: '이전 단계가 남긴 은닉 상태입니다.' },
  },
  RNN: {
    h_t: {
      en: 'The hidden state, made anew at every step from the input and the last one: no gate protects what it remembers.',
      ko: '은닉 상태: 매 단계 입력과 직전 상태로 새로 만들며, 기억을 지키는 게이트가 없습니다.',
    },
    'h_{t−1}': { en: 'The hidden state of the step before.', ko: '이전 단계의 은닉 상태입니다.' },
  },
};

const general = {
  gate: { en: 'A gate: it lets {percent} through.', ko: '게이트: {percent}를 통과시킵니다.' },
  before: { en: 'A state, as the step before left it.', ko: '이전 단계가 남긴 상태입니다.' },
  state: { en: 'A state after this step; it is carried on to the next.', ko: '이 단계 뒤의 상태로, 다음 단계로 넘어갑니다.' },
  learned: {
    en: 'Learned: a weighted sum of what enters, and the function of it.',
    ko: '학습된 부분: 들어오는 값의 가중합과 그 함수입니다.',
  },
  unit: { en: 'Computed unit by unit from what enters.', ko: '들어오는 값으로 유닛마다 따로 계산합니다.' },
  input: INPUT,
} satisfies Words;

/** A sentence on what an element's value does at this step. */
export function meaning(cell: string, element: Element, value: number | null): string {
  const values = { percent: value === null ? '–' : percent(value).replace(' ', spoken.language === 'ko' ? '' : ' '), value: shown(value) };
  const own = known[cell];
  if (own?.[element.symbol]) return say(own, element.symbol, values);
  const kind = element.gate ? 'gate' : element.kind === 'state' && element.before ? 'before' : element.kind;
  return say(general, kind, values);
}
