// The text of every page, by the page's name.

import { averagePooling } from './averagePooling';
import { comparison } from './comparison';
import { convolution } from './convolution';
import { gradient } from './gradient';
import { gru } from './gru';
import { lstm } from './lstm';
import { maxPooling } from './maxPooling';
import { padding } from './padding';
import type { Text } from './page';
import { rnn } from './rnn';
import { size } from './size';
import { stride } from './stride';
import { yours } from './yours';

export const PAGES: Record<string, Text> = {
  convolution,
  padding,
  stride,
  size,
  'max-pooling': maxPooling,
  'average-pooling': averagePooling,
  rnn,
  gradient,
  lstm,
  gru,
  comparison,
  yours,
};
