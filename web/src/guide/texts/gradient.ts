import type { Text } from './page';

export const gradient: Text = {
  title: { en: 'The vanishing gradient', ko: '기울기 소실' },
  lines: [
    { en: 'To learn from an early step, the gradient must travel back to it through every step between.', ko: '앞 단계에서 배우려면 기울기가 그 사이의 모든 단계를 거슬러 가야 합니다.' },
    {
      en: 'On the way it is multiplied again and again by the recurrent weights. Here these are a rotation times one number, the spectral radius, so that without an activation the gradient is exactly that number to the power of the steps.',
      ko: '그때마다 순환 가중치가 거듭 곱해집니다. 여기서는 순환 가중치가 직교 행렬에 스펙트럼 반지름이라는 수 하나를 곱한 것이어서, 활성화 함수가 없으면 기울기는 정확히 그 수의 단계 수 제곱이 됩니다.',
    },
    {
      en: 'Below 1 it vanishes: at 0.8 less than 1 % is left after 21 steps. Above 1 it explodes. The axis is logarithmic, so both are straight lines.',
      ko: '1보다 작으면 사라집니다. 0.8이면 21단계 뒤에 1 %도 남지 않습니다. 1보다 크면 폭발합니다. 축이 로그 눈금이므로 둘 다 직선입니다.',
    },
    {
      en: 'tanh multiplies by its own slope, too, at most 1: it only ever makes less of the gradient. Even with radius 1 the line falls.',
      ko: 'tanh를 쓰면 그 기울기(최대 1)도 곱해지므로 기울기는 더 작아질 뿐입니다. 반지름이 1이어도 선이 내려갑니다.',
    },
    {
      en: 'Clipping: if the gradient of all weights is longer than 1, it is shortened to 1. That tames an explosion; it cannot bring back what has vanished.',
      ko: '기울기 자르기: 가중치 전체의 기울기가 1보다 길면 1로 줄입니다. 폭발은 다스리지만 사라진 것을 되살리지는 못합니다.',
    },
    {
      en: 'Bengio, Simard and Frasconi (1994) described it; Pascanu, Mikolov and Bengio (2013) proposed this clipping.',
      ko: 'Bengio, Simard, Frasconi(1994)가 이 현상을 밝혔고, Pascanu, Mikolov, Bengio(2013)가 이 자르기를 제안했습니다.',
    },
  ],
};
