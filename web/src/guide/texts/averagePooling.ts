import type { Text } from './page';

export const averagePooling: Text = {
  title: { en: 'Average pooling', ko: '평균 풀링' },
  lines: [
    { en: 'Of every window the mean goes on.', ko: '각 창의 평균이 다음으로 넘어갑니다.' },
    {
      en: 'Every pixel counts the same, so that one extreme pixel is divided by the number of pixels in the window: in 2×2 it moves the result by a quarter of itself.',
      ko: '모든 픽셀이 똑같이 반영되므로, 극단적인 픽셀 하나의 영향은 창의 픽셀 수로 나누어집니다. 2×2에서는 그 변화의 4분의 1만 결과에 남습니다.',
    },
    {
      en: 'Brighten a tenth of the pixels: with 2×2 windows the average moves less than the maximum.',
      ko: '픽셀의 1/10을 밝게 해 보세요. 2×2 창에서는 평균이 최댓값보다 덜 달라집니다.',
    },
    {
      en: 'With noise on every pixel, errors of both signs cancel in the mean.',
      ko: '모든 픽셀에 잡음이 있으면 양과 음의 오차가 평균에서 서로 지워집니다.',
    },
    {
      en: 'The price: a thin bright line is mixed with the dark ground beside it and grows faint, where max pooling would keep it.',
      ko: '대신 가늘고 밝은 선은 옆의 어두운 바탕과 섞여 흐려집니다. 최대 풀링이라면 그대로 남았을 선입니다.',
    },
    {
      en: 'In training the gradient is shared by all pixels of a window alike. Averaging a whole map to one number is how many networks end: global average pooling.',
      ko: '학습할 때 기울기는 창의 모든 픽셀에 고르게 나뉩니다. 특징 맵 전체를 수 하나로 평균하는 전역 평균 풀링으로 끝나는 신경망도 많습니다.',
    },
  ],
};
