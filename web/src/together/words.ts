// The texts of the side-by-side view.

import type { Words } from '../words.svelte';

export const words = {
  fade: { en: 'How far back the gradient of {what} reaches', ko: '{what}의 기울기가 거슬러 닿는 거리' },
  own: { en: 'the answer of each', ko: '각 신경망의 답' },
  output: { en: 'Gradient of', ko: '무엇의 기울기' },
  class: { en: 'the answer “{label}”', ko: '답 “{label}”' },
  ahead: { en: 'the forecast {steps} ahead', ko: '{steps}단계 앞 예측' },
  state: { en: 'the hidden state here, at step {step}', ko: '여기 {step}단계의 은닉 상태' },
  at: { en: 'At', ko: '도달하는 곳' },
  memory: { en: 'what carries the memory ({names})', ko: '기억을 나르는 상태 ({names})' },
  hidden: { en: 'the hidden state h', ko: '은닉 상태 h' },
  after: { en: 'after step {step}', ko: '{step}단계 뒤의 답' },
  here: { en: 'Answer after this step', ko: '이 단계 뒤의 답으로' },
  end: { en: 'Answer at the end', ko: '마지막 답으로' },
  held: { en: 'Its memory {name} over time', ko: '시간에 따른 기억 {name}' },
  sofar: { en: 'Its answer if the input ended at step {step}', ko: '입력이 {step}단계에서 끝났다면 그 답' },
  next: { en: 'What it expects after step {step}', ko: '{step}단계 뒤에 예상하는 것' },
  layer: { en: 'Layer', ko: '층' },
  parameters: { en: '{count} parameters', ko: '매개변수 {count}개' },
  legend: {
    en: 'The same input, the same step, in every network. Numbers in a drawing are over all units; click a row of a memory for one unit.',
    ko: '모든 신경망에 같은 입력, 같은 단계입니다. 그림의 수는 모든 유닛에 대한 값이며, 기억의 행을 누르면 한 유닛을 봅니다.',
  },
  unit: { en: 'unit {unit}', ko: '{unit}번 유닛' },
  all: { en: 'All units again', ko: '다시 모든 유닛' },
} satisfies Words;
