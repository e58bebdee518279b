import type { Text } from './page';

export const stride: Text = {
  title: { en: 'Stride', ko: '스트라이드' },
  lines: [
    { en: 'The stride is by how many pixels the window moves from one number of the map to the next.', ko: '스트라이드는 특징 맵의 한 수에서 다음 수로 갈 때 창이 움직이는 픽셀 수입니다.' },
    {
      en: 'The rings mark where the windows start. At stride 2 every other place is left out on both axes, so the map has about a quarter of the numbers.',
      ko: '고리는 각 창이 시작하는 자리입니다. 스트라이드가 2이면 두 축에서 한 자리씩 건너뛰므로 특징 맵의 수가 약 4분의 1이 됩니다.',
    },
    {
      en: 'Multiply-adds shrink with the map: each of its numbers costs k·k of them, whatever the stride.',
      ko: '곱셈-덧셈도 특징 맵과 함께 줄어듭니다. 스트라이드와 관계없이 수 하나에 k·k회가 들기 때문입니다.',
    },
    {
      en: 'The price is detail. With a stride larger than the window, pixels between the windows are not seen at all: try k = 1 and s = 2.',
      ko: '대신 세부를 잃습니다. 스트라이드가 창보다 크면 창 사이의 픽셀은 전혀 보지 않습니다. k = 1, s = 2로 해 보세요.',
    },
    {
      en: 'Where the steps do not come out even, the last rows are reached by no window. The figure says how many.',
      ko: '걸음이 나누어떨어지지 않으면 마지막 행들에는 어느 창도 닿지 않습니다. 그 수가 그림에 나옵니다.',
    },
    {
      en: 'A network may take a stride instead of pooling: then what is kept of a neighbourhood is learned.',
      ko: '풀링 대신 스트라이드를 쓰기도 합니다. 그러면 이웃에서 무엇을 남길지도 학습됩니다.',
    },
  ],
};
