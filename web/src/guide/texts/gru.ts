import type { Text } from './page';

export const gru: Text = {
  title: { en: 'The GRU', ko: 'GRU' },
  lines: [
    { en: 'The GRU does with two gates and one state what the LSTM does with three and two.', ko: 'GRU는 LSTM이 게이트 셋과 상태 둘로 하는 일을 게이트 둘과 상태 하나로 합니다.' },
    {
      en: 'h_t = (1 − z)·n + z·h_(t−1): one update gate z both keeps and renews. What it keeps of the old state it does not take of the candidate n.',
      ko: 'h_t = (1 − z)·n + z·h_(t−1). 갱신 게이트 z 하나가 간직과 갱신을 함께 맡습니다. 옛 상태를 간직하는 만큼 후보값 n은 덜 받아들입니다.',
    },
    {
      en: 'Here the unit is told to write at step 3 and again, another value, at step 12: the signal shuts z, and the state is renewed.',
      ko: '여기서 유닛은 3번째 단계에 쓰고, 12번째 단계에 다른 값을 다시 쓰라는 신호를 받습니다. 신호가 z를 닫으면 상태가 갱신됩니다.',
    },
    {
      en: 'Move the update gate’s bias: with 6, z is 0.998 between the signals and the state stands still; with 0 it is half renewed at every step by whatever comes in.',
      ko: '갱신 게이트의 편향을 움직여 보세요. 6이면 신호가 없는 동안 z가 0.998이어서 상태가 거의 그대로이고, 0이면 단계마다 들어오는 것으로 절반씩 바뀝니다.',
    },
    {
      en: 'The reset gate r says how much of the old state the candidate sees. Let it shut at the signal: the value at step 12 is then made of the input alone, where an open r mixes the old one in.',
      ko: '리셋 게이트 r은 후보값이 옛 상태를 얼마나 볼지 정합니다. 신호에서 닫히게 하면 12번째 단계의 값이 입력만으로 만들어지고, 열려 있으면 옛 값이 섞입니다.',
    },
    {
      en: 'There is no output gate: the state is what everyone sees. And the GRU has three blocks of weights where the LSTM has four: three quarters of the parameters.',
      ko: '출력 게이트가 없어 상태가 그대로 드러납니다. 또 LSTM의 가중치 묶음이 넷인데 GRU는 셋이므로 매개변수는 4분의 3입니다.',
    },
  ],
};
