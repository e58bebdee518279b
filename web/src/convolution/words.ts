// The texts of the convolution view, in both languages.

import { say, type Words } from '../words.svelte';
import type { Spot, Stage } from './answers';
import { sizes } from './form';

export const words = {
  network: { en: 'The network, stage by stage', ko: '신경망의 각 단계' },
  hintRow: {
    en: 'Each small picture is a feature map. Move over one: frames show what that position sees in every stage before it.',
    ko: '작은 그림 하나가 특징 맵 하나입니다. 그 위로 움직이면 그 위치가 앞의 각 단계에서 보는 영역이 틀로 표시됩니다.',
  },
  hintOpen: { en: 'Click a position, or press Enter, to see its number being computed.', ko: '위치를 누르거나 Enter를 누르면 그 값이 계산되는 과정을 봅니다.' },
  hintKeys: {
    en: 'Arrow keys move, Page Up and Page Down change the map, Escape goes back.',
    ko: '화살표 키로 움직이고, Page Up과 Page Down으로 맵을 바꾸고, Escape로 돌아갑니다.',
  },
  range: { en: 'Colours', ko: '색 범위' },
  rangeLayer: { en: 'one range for a layer', ko: '층마다 하나' },
  rangeMap: { en: 'one range for each map', ko: '맵마다 하나' },
  layer: { en: 'layer {path}', ko: '층 {path}' },
  input: { en: 'Input', ko: '입력' },
  given: { en: 'Given to the first layer', ko: '첫 층에 주어진 값' },
  between: { en: 'Between layers', ko: '층 사이의 계산' },
  convolution: { en: 'Convolution {size}', ko: '합성곱 {size}' },
  activation: { en: 'Activation {does}', ko: '활성화 {does}' },
  normalisation: { en: 'Normalisation', ko: '정규화' },
  max: { en: 'Max pooling {size}', ko: '최대 풀링 {size}' },
  avg: { en: 'Average pooling {size}', ko: '평균 풀링 {size}' },
  pooling: { en: 'Pooling', ko: '풀링' },
  map: { en: '{count} map', ko: '맵 {count}개' },
  maps: { en: '{count} maps', ko: '맵 {count}개' },
  steps: { en: '{count} steps', ko: '{count} 단계' },
  labelled: { en: '{stage}, map {map} of {count}', ko: '{stage}, 맵 {count}개 중 {map}번' },
  seenText: { en: 'It reads: ', ko: '읽는 글: ' },
  previousMaps: { en: 'Earlier maps of {stage}', ko: '{stage}의 이전 맵' },
  nextMaps: { en: 'More maps of {stage}', ko: '{stage}의 다음 맵' },
  scores: { en: 'Scores', ko: '점수' },
  scoresSaid: { en: 'What the network ends in; the highest is its answer.', ko: '신경망의 마지막 출력이며, 가장 높은 것이 답입니다.' },
  heading: { en: '{stage}: map {map}, {place}', ko: '{stage}: 맵 {map}, {place}' },
  at: { en: 'row {row}, column {column}', ko: '{row}행 {column}열' },
  atDepth: { en: 'depth {depth}, row {row}, column {column}', ko: '깊이 {depth}, {row}행 {column}열' },
  slice: { en: 'depth {slice} of {depth}', ko: '깊이 {depth} 중 {slice}' },
  sliceOf: { en: 'Depth that is shown: {label}', ko: '보이는 깊이: {label}' },
  windowAt: { en: '{name}, depth {depth}', ko: '{name}, 깊이 {depth}' },
  atStep: { en: 'step {column}', ko: '{column}번째 단계' },
  close: { en: 'Back to the network', ko: '신경망으로 돌아가기' },
  sourceMap: { en: 'What it is given', ko: '주어진 맵' },
  ownMap: { en: 'Its own map', ko: '이 맵' },
  window: { en: 'Window', ko: '윈도우' },
  filter: { en: 'Filter', ko: '필터' },
  products: { en: 'Products', ko: '곱' },
  sumOf: { en: 'sum', ko: '합' },
  convolutionSaid: {
    en: 'The filter is laid on the window, each pair is multiplied, and all products are added up.',
    ko: '필터를 윈도우에 겹쳐 놓고 짝마다 곱한 뒤 모두 더합니다.',
  },
  paddingSaid: { en: 'Hatched cells are padding: they lie outside the map.', ko: '빗금 친 칸은 패딩으로, 맵 바깥에 있습니다.' },
  channel: { en: 'Channel', ko: '채널' },
  channelOf: { en: 'Channel {channel}: its products add up to {sum}', ko: '채널 {channel}: 곱의 합 {sum}' },
  previousChannel: { en: 'Previous channel', ko: '이전 채널' },
  nextChannel: { en: 'Next channel', ko: '다음 채널' },
  allChannels: { en: 'Sums of all {count} channels', ko: '채널 {count}개의 합' },
  equation: { en: '{sums} + bias {bias} =', ko: '{sums} + 편향 {bias} =' },
  equationPlain: { en: '{sums}, without a bias, =', ko: '{sums}, 편향 없음 =' },
  channelSum: { en: 'sum of all channels {sum}', ko: '모든 채널의 합 {sum}' },
  then: { en: 'then {does}: {value}', ko: '그다음 {does}: {value}' },
  maxSaid: { en: 'The largest number of the window goes on, here {value}; the rest is forgotten.', ko: '윈도우에서 가장 큰 수 {value}만 다음으로 전달되고 나머지는 버려집니다.' },
  maxPadding: { en: 'The padding holds the largest number here, {value}.', ko: '여기서는 패딩의 값({value})이 가장 큽니다.' },
  avgSaid: { en: 'The mean of the window goes on: {sum} / {divisor} = {value}.', ko: '윈도우의 평균이 다음으로 전달됩니다: {sum} / {divisor} = {value}.' },
  won: { en: 'the largest', ko: '최댓값' },
  pointSaid: { en: '{does} is applied to each number alone: {before} becomes {value}.', ko: '{does}: 수마다 따로 적용됩니다. {before} → {value}.' },
  betweenSaid: {
    en: 'The model computes this itself, between its layers. Its number here is {value}.',
    ko: '모델이 층과 층 사이에서 직접 계산한 값입니다. 이 위치의 값은 {value}입니다.',
  },
  betweenFrom: { en: 'It follows, position by position, from {stages}.', ko: '{stages}에서 위치마다 계산됩니다.' },
  betweenUnknown: { en: 'What it follows from cannot be told position by position.', ko: '어느 위치에서 왔는지는 알 수 없습니다.' },
  inputSaid: { en: 'The number of the input here is {value}.', ko: '입력의 이 위치 값은 {value}입니다.' },
  unevenSaid: { en: 'Its windows are not all of one size; the number here is {value}.', ko: '윈도우의 크기가 모두 같지 않습니다. 이 위치의 값은 {value}입니다.' },
  field: { en: 'Receptive field', ko: '수용 영역' },
  fieldSaid: { en: 'This position sees {size} of the input: {rows}.', ko: '이 위치가 보는 입력의 크기는 {size}입니다: {rows}.' },
  fieldRows: { en: 'rows {r0} to {r1}, columns {c0} to {c1}', ko: '{r0}–{r1}행, {c0}–{c1}열' },
  fieldDepths: { en: 'depths {d0} to {d1}, {rows}', ko: '깊이 {d0}–{d1}, {rows}' },
  fieldSteps: { en: 'steps {c0} to {c1}', ko: '{c0}–{c1}단계' },
  fieldBeyond: { en: 'What lies outside the input is padding.', ko: '입력 바깥은 패딩입니다.' },
  fieldUnknown: { en: 'What this position sees of the input cannot be followed back.', ko: '이 위치가 입력에서 무엇을 보는지는 거슬러 갈 수 없습니다.' },
  lean: { en: 'What it really leans on', ko: '실제로 의존하는 곳' },
  leanSaid: {
    en: 'The gradient of this number with respect to the input: orange pixels raise it, blue ones lower it. It leans on {count} positions.',
    ko: '이 값의 입력에 대한 기울기입니다. 주황색 픽셀은 값을 높이고 파란색은 낮춥니다. {count}곳에 의존합니다.',
  },
  leanAt: { en: 'The slices below are those of depth {depth}, where it is largest.', ko: '아래 그림은 기울기가 가장 큰 깊이 {depth}의 단면입니다.' },
  leanLabel: { en: 'gradient with respect to channel {channel} of the input', ko: '입력 채널 {channel}에 대한 기울기' },
  tryIt: { en: 'Try another window', ko: '윈도우 바꿔 보기' },
  trySaid: {
    en: 'The layer is computed again on what it is really given; the network itself stays as it is.',
    ko: '실제로 주어진 입력으로 이 층만 다시 계산합니다. 신경망은 그대로입니다.',
  },
  kernel: { en: 'Filter size', ko: '필터 크기' },
  poolKernel: { en: 'Window size', ko: '윈도우 크기' },
  stride: { en: 'Stride', ko: '스트라이드' },
  dilation: { en: 'Dilation', ko: '팽창(dilation)' },
  padding: { en: 'Padding', ko: '패딩' },
  paddingOwn: { en: 'as it is ({padding})', ko: '그대로 ({padding})' },
  cropped: { en: 'The filter is cut down about its centre.', ko: '필터를 가운데를 중심으로 잘라 냅니다.' },
  extended: { en: 'The filter gets zeros around it.', ko: '필터 둘레에 0을 덧붙입니다.' },
  outputSize: { en: 'Output size', ko: '출력 크기' },
  cost: { en: '{parameters} parameters, {macs} multiply-adds', ko: '매개변수 {parameters}개, 곱셈-덧셈 {macs}회' },
  unused: { en: 'No window reaches the last rows and columns ({count}).', ko: '마지막 행과 열({count})에는 어떤 윈도우도 닿지 않습니다.' },
  unusedSteps: { en: 'No window reaches the last steps ({count}).', ko: '마지막 단계({count})에는 어떤 윈도우도 닿지 않습니다.' },
  asItIs: { en: 'As it is', ko: '원래' },
  asTried: { en: 'As tried', ko: '바꾼 것' },
  reset: { en: 'As the layer has it', ko: '원래대로' },
  groups: { en: 'The layer has {count} groups: this filter reads channels {first} to {last} alone.', ko: '이 층은 그룹이 {count}개입니다. 이 필터는 채널 {first}–{last}만 읽습니다.' },
  reading: { en: 'Computing', ko: '계산 중' },
} satisfies Words;

const NAMES: Record<string, string> = { relu: 'ReLU', leaky_relu: 'LeakyReLU', elu: 'ELU', gelu: 'GELU', silu: 'SiLU' };

/** The name of an activation as it is written. */
export const activation = (does: string): string => NAMES[does] ?? does;

/** What a stage is called. */
export function title(stage: Stage): string {
  const size = sizes(stage.window?.kernel ?? []);
  if (stage.kind === 'pooling') return stage.window && stage.does in words ? say(words, stage.does as 'max' | 'avg', { size }) : say(words, 'pooling');
  if (stage.kind === 'input') return say(words, stage.does === 'given' ? 'given' : 'input');
  return say(words, stage.kind, { size, does: activation(stage.does) });
}

/** A position as people count: from 1. */
export function place(stage: Stage, { depth, row, column }: Spot): string {
  const name = stage.axes === 1 ? 'atStep' : stage.axes === 2 ? 'at' : 'atDepth';
  return say(words, name, { depth: depth + 1, row: row + 1, column: column + 1 });
}
