import type { Text } from './page';

export const comparison: Text = {
  title: { en: 'RNN, LSTM and GRU compared', ko: 'RNN, LSTM, GRU의 비교' },
  lines: [
    { en: 'The same size, the same input, before any training: what do the three cost, and how far back does a gradient reach?', ko: '같은 크기, 같은 입력, 학습하기 전. 셋의 비용은 얼마이고 기울기는 어디까지 거슬러 갈까요?' },
    {
      en: 'The GRU has three times the RNN’s parameters and multiply-adds, the LSTM four times.',
      ko: '매개변수와 곱셈-덧셈은 GRU가 RNN의 세 배, LSTM이 네 배입니다.',
    },
    {
      en: 'All three share one logarithmic axis; the dashed line is 1 %. With the usual small random weights all three gradients vanish, gates or no gates.',
      ko: '세 선은 하나의 로그 축을 함께 쓰며 점선이 1 %입니다. 흔히 쓰는 작은 무작위 가중치에서는 게이트가 있든 없든 셋 다 사라집니다.',
    },
    {
      en: 'Start the LSTM’s forget gate at bias 1, as is often advised (Jozefowicz et al. 2015): then more of its gradient reaches the first step. Gates help where they stand open.',
      ko: '자주 권하는 대로(Jozefowicz 등 2015) LSTM의 망각 게이트를 편향 1에서 시작하면 첫 단계까지 더 많은 기울기가 닿습니다. 게이트는 열려 있을 때 도움이 됩니다.',
    },
    {
      en: 'Where training starts is not where it ends: gates learn. The table below was measured on trained networks: over 30 steps all three solve the task, over 100 the RNN does not, and over 1,000 the GRU alone did here.',
      ko: '출발점이 끝은 아닙니다. 게이트는 학습됩니다. 아래 표는 학습한 신경망을 잰 것입니다. 30단계까지는 셋 다 문제를 풀고, 100단계에서는 RNN이 풀지 못하며, 1,000단계에서는 이 실험에서 GRU만 풀었습니다.',
    },
    {
      en: 'Which one suits your data no rule can say: “pellucid compare” trains all of them on it and says how sure the answer is.',
      ko: '내 데이터에 무엇이 맞는지는 규칙으로 말할 수 없습니다. “pellucid compare”가 모두 학습시켜 보고 답이 얼마나 확실한지 알려 줍니다.',
    },
  ],
};
