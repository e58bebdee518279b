// What the figures' controls and their settings are called.

import { say, type Words } from '../../words.svelte';
import type { Value } from '../answers';
import { written } from '../numbers';

const names = {
  item: { en: 'test item', ko: '시험 항목' },
  filter: { en: 'filter', ko: '필터' },
  mode: { en: 'padding', ko: '패딩' },
  layers: { en: 'layers', ko: '층 수' },
  kernel: { en: 'filter size k', ko: '필터 크기 k' },
  stride: { en: 'stride s', ko: '스트라이드 s' },
  padding: { en: 'padding p', ko: '패딩 p' },
  size: { en: 'input size i', ko: '입력 크기 i' },
  dilation: { en: 'dilation d', ko: '팽창 d' },
  window: { en: 'window', ko: '창 크기' },
  noise: { en: 'disturbance', ko: '교란' },
  inputs: { en: 'inputs', ko: '입력' },
  w: { en: 'input weight w', ko: '입력 가중치 w' },
  u: { en: 'recurrent weight u', ko: '순환 가중치 u' },
  b: { en: 'bias b', ko: '편향 b' },
  radius: { en: 'spectral radius', ko: '스펙트럼 반지름' },
  steps: { en: 'steps T', ko: '단계 수 T' },
  activation: { en: 'activation', ko: '활성화 함수' },
  forget: { en: 'forget gate’s bias', ko: '망각 게이트의 편향' },
  write: { en: 'input gate', ko: '입력 게이트' },
  read: { en: 'output gate', ko: '출력 게이트' },
  value: { en: 'value written', ko: '기록하는 값' },
  update: { en: 'update gate’s bias', ko: '갱신 게이트의 편향' },
  reset: { en: 'reset gate', ko: '리셋 게이트' },
  hidden: { en: 'hidden units H', ko: '은닉 유닛 수 H' },
  start: { en: 'initial weights', ko: '초기 가중치' },
} satisfies Words;

const settings = {
  vertical: { en: 'vertical edges', ko: '세로 경계' },
  horizontal: { en: 'horizontal edges', ko: '가로 경계' },
  outline: { en: 'outline', ko: '윤곽' },
  sharpen: { en: 'sharpen', ko: '선명하게' },
  blur: { en: 'blur', ko: '흐리게' },
  copy: { en: 'copy', ko: '그대로' },
  none: { en: 'none', ko: '없음' },
  zeros: { en: 'zeros', ko: '0' },
  reflect: { en: 'reflect', ko: '반사' },
  replicate: { en: 'replicate', ko: '가장자리 복제' },
  circular: { en: 'circular', ko: '순환' },
  dark: { en: 'a tenth dark', ko: '픽셀의 1/10을 어둡게' },
  bright: { en: 'a tenth bright', ko: '픽셀의 1/10을 밝게' },
  normal: { en: 'normal noise', ko: '정규 잡음' },
  shift: { en: 'shifted by one', ko: '한 칸 이동' },
  tanh: { en: 'tanh', ko: 'tanh' },
  signal: { en: 'follows the signal', ko: '신호를 따름' },
  open: { en: 'always open', ko: '항상 열림' },
  torch: { en: 'as torch draws them', ko: 'torch의 기본값' },
  bias: { en: 'forget bias 1', ko: '망각 편향 1' },
} satisfies Words;

export function labelled(name: string): string {
  return say(names, name as keyof typeof names & string);
}

export function called(control: string, value: Value): string {
  if (control === 'item') return String(Number(value) + 1); // counted from 1 on the page
  if (typeof value === 'number') return written(value, 1);
  if (control === 'start' && value === 'open') return say(settings, 'bias');
  return value in settings ? say(settings, value as keyof typeof settings & string) : value.replaceAll('-', '−').replaceAll(',', ', ');
}
