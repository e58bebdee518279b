import type { Text } from './page';

export const convolution: Text = {
  title: { en: 'Convolution', ko: '합성곱' },
  lines: [
    { en: 'A small filter slides over the image; at every place it asks the same question.', ko: '작은 필터가 그림 위를 미끄러지며 모든 자리에서 같은 질문을 던집니다.' },
    {
      en: 'The nine pixels under the window are multiplied by the nine weights of the filter, and the products are added up. The sum is one number of the feature map.',
      ko: '창 아래의 픽셀 아홉 개에 필터의 가중치 아홉 개를 각각 곱하고 그 곱을 모두 더합니다. 그 합이 특징 맵의 수 하나가 됩니다.',
    },
    {
      en: 'Point at a number of the map, or move with the arrow keys: the window goes where that number comes from.',
      ko: '특징 맵의 수를 가리키거나 방향키로 움직여 보세요. 창이 그 수가 나온 자리로 갑니다.',
    },
    {
      en: 'The filter for vertical edges takes the left column from the right one: it gives a positive sum where the image grows brighter to the right, a negative one where it grows darker, and 0 where all is even.',
      ko: '세로 경계 필터는 오른쪽 열에서 왼쪽 열을 뺍니다. 오른쪽으로 밝아지는 곳에서는 양수, 어두워지는 곳에서는 음수, 고른 곳에서는 0이 됩니다.',
    },
    {
      en: 'Nine weights serve the whole image: the filter finds its pattern wherever it stands, and the layer has few parameters.',
      ko: '가중치 아홉 개로 그림 전체를 다룹니다. 무늬가 어디에 있든 찾아내고, 층의 매개변수는 적습니다.',
    },
    {
      en: 'Here the filters are given. In a network they are learned, there are many in each layer, and a bias is added to each sum.',
      ko: '여기서는 필터가 정해져 있지만, 신경망에서는 필터를 학습합니다. 층마다 필터가 여럿이고 합에 편향을 더합니다.',
    },
    {
      en: 'What layers compute is, strictly, a cross-correlation: the filter is not turned round. Everyone calls it convolution.',
      ko: '엄밀히 말하면 층이 계산하는 것은 필터를 뒤집지 않는 교차 상관이지만, 관례상 합성곱이라고 부릅니다.',
    },
  ],
};
