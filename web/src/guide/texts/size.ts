import type { Text } from './page';

export const size: Text = {
  title: { en: 'The size of a feature map', ko: '특징 맵의 크기' },
  lines: [
    { en: 'How large is a layer’s output? One formula, used on each axis by itself.', ko: '층의 출력은 얼마나 클까요? 축마다 따로 쓰는 공식 하나면 됩니다.' },
    {
      en: 'o = ⌊(i + 2p − k)/s⌋ + 1: the input i with p elements of padding at both ends, a window of k that moves by s.',
      ko: 'o = ⌊(i + 2p − k)/s⌋ + 1. 양 끝에 패딩 p를 더한 입력 i 위를, 크기 k인 창이 s씩 움직입니다.',
    },
    {
      en: 'Read it as the figure draws it: the first window takes its k elements; what remains, divided by s and rounded down, is how many more steps there is room for.',
      ko: '그림처럼 읽으면 됩니다. 첫 창이 k개를 차지하고, 남은 길이를 s로 나누어 내림한 만큼 더 움직일 수 있습니다.',
    },
    {
      en: 'Dilation d leaves d − 1 elements out between those that are taken, so that a window spans d·(k − 1) + 1 with the same k weights.',
      ko: '팽창 d는 취하는 원소 사이를 d − 1칸씩 띄웁니다. 가중치는 여전히 k개이지만 창의 폭은 d·(k − 1) + 1이 됩니다.',
    },
    {
      en: 'Two settings to remember, for odd k: p = (k − 1)/2 with s = 1 keeps the size; k = s = 2 without padding halves an even one.',
      ko: '기억할 만한 두 경우가 있습니다. k가 홀수일 때 p = (k − 1)/2, s = 1이면 크기가 그대로이고, 패딩 없이 k = s = 2이면 짝수인 크기가 절반이 됩니다.',
    },
    {
      en: 'A window that does not fit into the padded input has no output: the layer cannot be built.',
      ko: '패딩을 더한 입력에 창이 들어가지 않으면 출력이 없으므로 그런 층은 만들 수 없습니다.',
    },
    {
      en: 'Below, layers in a row: each output is the next input, and the receptive field, the pixels that one output sees, grows from convolution to convolution. After an RNN, LSTM or GRU an output sees all that came before, and with both directions the whole sequence.',
      ko: '아래는 층을 이어 쌓은 것입니다. 한 층의 출력이 다음 층의 입력이 되고, 출력 하나가 보는 픽셀의 범위인 수용 영역은 합성곱을 지날수록 넓어집니다. RNN, LSTM, GRU 뒤의 출력은 그때까지의 입력을 모두 보고, 양방향이면 시퀀스 전체를 봅니다.',
    },
  ],
};
