import type { Text } from './page';

export const lstm: Text = {
  title: { en: 'The LSTM', ko: 'LSTM' },
  lines: [
    { en: 'The LSTM has a memory of its own, the cell state c, and gates that say what happens to it.', ko: 'LSTM에는 셀 상태 c라는 별도의 기억이 있고, 그것을 어떻게 할지는 게이트가 정합니다.' },
    {
      en: 'c_t = f·c_(t−1) + i·g: the forget gate f says how much of the old memory is kept, the input gate i how much of the candidate g is added. A gate lies between 0, shut, and 1, open.',
      ko: 'c_t = f·c_(t−1) + i·g. 망각 게이트 f는 옛 기억을 얼마나 남길지, 입력 게이트 i는 후보값 g를 얼마나 더할지 정합니다. 게이트는 0(닫힘)과 1(열림) 사이의 값입니다.',
    },
    {
      en: 'Here one unit is told to write at step 3 and to read at step 20; other numbers come in between.',
      ko: '여기서 유닛 하나는 3번째 단계에 쓰고 20번째 단계에 읽으라는 신호를 받습니다. 그 사이에는 다른 수들이 들어옵니다.',
    },
    {
      en: 'Move the forget gate’s bias: with −2, f is 0.12 and the value is gone at once; with 0, f is 0.5 and it halves with each step; with 6, f is 0.998 and the value is still there at step 20.',
      ko: '망각 게이트의 편향을 움직여 보세요. −2이면 f가 0.12여서 값이 곧 사라지고, 0이면 f가 0.5여서 단계마다 절반이 되며, 6이면 f가 0.998이어서 20번째 단계까지 남아 있습니다.',
    },
    {
      en: 'Let the input gate stand open: everything that comes in is added to the memory, and the value is lost among it. Forgetting little is not enough; something must keep the rest out.',
      ko: '입력 게이트를 늘 열어 두면 들어오는 것이 모두 기억에 더해져 값이 그 속에 묻힙니다. 덜 잊는 것만으로는 모자라고, 나머지를 막아 줄 것이 있어야 합니다.',
    },
    {
      en: 'The output gate o decides when the memory shows: h_t = o·tanh(c_t).',
      ko: '출력 게이트 o는 기억이 언제 드러날지 정합니다. h_t = o·tanh(c_t).',
    },
    {
      en: 'Back along c the gradient is multiplied by f alone, not by weights: with f near 1 it does not vanish. The last line says what is left of it.',
      ko: 'c를 따라 거슬러 갈 때 기울기에는 가중치가 아니라 f만 곱해집니다. f가 1에 가까우면 사라지지 않습니다. 마지막 줄이 남은 정도를 말합니다.',
    },
  ],
};
