import type { Text } from './page';

export const yours: Text = {
  title: { en: 'Your networks on your data', ko: '내 데이터를 보는 내 신경망' },
  lines: [
    { en: 'What the trained networks make of one item of the test part. Choose the item; all of them are shown the same.', ko: '학습한 신경망들이 시험 항목 하나를 어떻게 보는지 보여 줍니다. 항목을 고르면 모두에게 같은 것을 보입니다.' },
    {
      en: 'The lines start at the last step: how much of the gradient of the network’s own answer reaches its hidden state so many steps before, the last step’s being 1. Where a line is far below 1 %, the answer hardly depends on what was there.',
      ko: '선은 마지막 단계에서 시작합니다. 신경망 자신의 답에 대한 기울기가 그만큼 앞선 단계의 은닉 상태에 얼마나 닿는지를, 마지막 단계를 1로 하여 나타냅니다. 1 %보다 훨씬 낮은 곳의 은닉 상태에는 답이 거의 달려 있지 않습니다.',
    },
    {
      en: 'All lines share one logarithmic axis, so that they can be compared as they are.',
      ko: '모든 선이 하나의 로그 축을 함께 쓰므로 그대로 견줄 수 있습니다.',
    },
    {
      en: 'Of a CNN the first feature maps are shown, layer by layer: each picture is what one filter finds in the item, and pooling makes it smaller.',
      ko: 'CNN은 앞쪽 특징 맵을 층마다 보여 줍니다. 그림 하나가 필터 하나가 이 항목에서 찾아낸 것이며, 풀링을 거치면 작아집니다.',
    },
    {
      en: 'More, number by number and gate by gate: “pellucid see” with the folder of this run.',
      ko: '수 하나, 게이트 하나까지 더 보려면 이 실행의 폴더로 “pellucid see”를 실행하세요.',
    },
  ],
};
