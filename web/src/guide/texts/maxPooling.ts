import type { Text } from './page';

export const maxPooling: Text = {
  title: { en: 'Max pooling', ko: '최대 풀링' },
  lines: [
    { en: 'Of every window only the largest number goes on.', ko: '각 창에서 가장 큰 수 하나만 다음으로 넘어갑니다.' },
    {
      en: 'It has no weights. With a 2×2 window a quarter of the numbers is left, and the layers after it cost that much less.',
      ko: '가중치는 없습니다. 2×2 창이면 수의 4분의 1이 남고, 뒤따르는 층의 계산도 그만큼 줄어듭니다.',
    },
    {
      en: 'The rings mark the winners. In training the gradient goes back to them alone.',
      ko: '고리는 각 창에서 이긴 픽셀입니다. 학습할 때 기울기는 이 픽셀로만 돌아갑니다.',
    },
    {
      en: 'It asks whether something is there, not where: darken pixels, and the map changes only where a winner was hit.',
      ko: '무언가가 있는지를 볼 뿐 어디에 있는지는 보지 않습니다. 픽셀을 어둡게 해 보면, 이긴 픽셀이 어두워진 창에서만 특징 맵이 달라집니다.',
    },
    {
      en: 'One bright pixel is enough to win, however: what is bright by mistake goes on in full. Compare with the average beside it. Of windows as large as 4×4 white wins nearly all, and the map says little.',
      ko: '그러나 밝은 픽셀 하나면 이기므로, 잘못 밝아진 픽셀도 그대로 넘어갑니다. 옆의 평균 풀링과 견주어 보세요. 창이 4×4이면 거의 모든 창에서 흰 픽셀이 이겨 특징 맵이 말해 주는 것이 적습니다.',
    },
    {
      en: 'Noise on every pixel is no easy case either: the largest of several noisy numbers tends to be too large. Measured over many digits: docs/claims.md, max-pooling.',
      ko: '모든 픽셀에 잡음이 있을 때도 쉽지 않습니다. 잡음이 섞인 여러 수의 최댓값은 커지기 쉽기 때문입니다. 여러 숫자로 잰 결과는 docs/claims.md의 max-pooling에 있습니다.',
    },
  ],
};
