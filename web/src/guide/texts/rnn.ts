import type { Text } from './page';

export const rnn: Text = {
  title: { en: 'The recurrent network', ko: '순환 신경망' },
  lines: [
    { en: 'A recurrent network reads a sequence step by step and carries a state along.', ko: '순환 신경망은 시퀀스를 한 단계씩 읽으며 상태를 이어 갑니다.' },
    {
      en: 'The new hidden state is made of the input now and of the state before: h_t = tanh(w·x_t + u·h_(t−1) + b). The same three numbers serve every step.',
      ko: '새 은닉 상태는 지금의 입력과 직전의 상태로 만듭니다. h_t = tanh(w·x_t + u·h_(t−1) + b). 모든 단계에서 같은 세 수를 씁니다.',
    },
    {
      en: 'The picture shows one unit, unrolled: a column for each step, the state handed from left to right.',
      ko: '그림은 유닛 하나를 펼친 것입니다. 열 하나가 한 단계이고, 상태는 왼쪽에서 오른쪽으로 전해집니다.',
    },
    {
      en: 'Take the input 1, 0, 0, …: what is left in the later states is memory of the first step. With u = 0 there is none; a larger u keeps more.',
      ko: '입력을 1, 0, 0, …으로 두면 뒤의 상태에 남은 것이 첫 단계의 기억입니다. u = 0이면 기억이 없고, u가 클수록 더 많이 남습니다.',
    },
    {
      en: 'With u above 1 and no bias the state no longer fades but is held at a value that tanh allows; a negative u makes it change its sign with every step.',
      ko: '편향이 0이고 u가 1보다 크면 상태가 사라지지 않고 tanh가 허용하는 값에 머뭅니다. u가 음수이면 단계마다 부호가 바뀝니다.',
    },
    {
      en: 'The last line says how much the last state would change with this one. Over every step between it is multiplied by u and by the slope of tanh, which is at most 1.',
      ko: '마지막 줄은 이 상태가 달라질 때 마지막 상태가 얼마나 달라지는지를 말합니다. 그 사이의 단계마다 u와 tanh의 기울기(최대 1)가 곱해집니다.',
    },
  ],
};
