import type { Text } from './page';

export const padding: Text = {
  title: { en: 'Padding', ko: '패딩' },
  lines: [
    { en: 'Padding puts pixels around the image before the filter slides over it.', ko: '패딩은 필터가 지나가기 전에 그림 둘레에 픽셀을 덧대는 것입니다.' },
    {
      en: 'Without it a 3×3 filter makes the map two smaller on each axis: after three layers 8×8 has become 2×2. With one pixel of padding on each side the size stays.',
      ko: '패딩이 없으면 3×3 필터를 지날 때마다 특징 맵이 가로세로 2씩 줄어, 8×8이 세 층 뒤에는 2×2가 됩니다. 사방에 한 픽셀씩 덧대면 크기가 그대로입니다.',
    },
    {
      en: 'Without it the edge counts for less, too: one window alone holds the corner pixel, nine hold a pixel in the middle.',
      ko: '패딩이 없으면 가장자리도 덜 반영됩니다. 모서리 픽셀은 창 하나에만 들어가지만 가운데 픽셀은 아홉 개의 창에 들어갑니다.',
    },
    {
      en: 'The right map counts by how many ways a pixel enters the result, a way being one window in each layer. Take three layers: with padding the corner still counts for less, but far more than without.',
      ko: '오른쪽 그림은 각 픽셀이 결과에 들어가는 경로의 수입니다. 경로란 층마다 창 하나씩을 고른 것입니다. 층을 셋으로 늘려 보세요. 패딩이 있어도 모서리는 덜 반영되지만, 없을 때보다는 훨씬 더 반영됩니다.',
    },
    {
      en: 'Zeros are the usual padding. Around a bright image they look like a dark frame: the mean filter’s map is darker at the edge there.',
      ko: '보통은 0으로 채웁니다. 밝은 그림에서는 어두운 테두리처럼 보여, 평균 필터의 특징 맵이 가장자리에서 어두워집니다.',
    },
    {
      en: 'Reflect mirrors the image at its edge, replicate repeats the outermost pixel, circular goes on at the opposite side.',
      ko: '반사는 그림을 가장자리에서 거울처럼 뒤집고, 복제는 맨 바깥 픽셀을 되풀이하며, 순환은 반대쪽으로 이어집니다.',
    },
  ],
};
