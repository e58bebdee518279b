// Which component shows the answer of which question.

import type { Component } from 'svelte';
import type { Control } from './answers';
import Beside from './figures/Beside.svelte';
import Chain from './figures/Chain.svelte';
import Filtering from './figures/Filtering.svelte';
import Gates from './figures/Gates.svelte';
import Measured from './figures/Measured.svelte';
import Padding from './figures/Padding.svelte';
import Pooling from './figures/Pooling.svelte';
import Size from './figures/Size.svelte';
import Stride from './figures/Stride.svelte';
import Unrolled from './figures/Unrolled.svelte';
import Vanishing from './figures/Vanishing.svelte';
import Yours from './figures/Yours.svelte';

export const FIGURES: Record<string, Component<{ controls: Control[]; page: string }>> = {
  'guide-filter': Filtering,
  'guide-padding': Padding,
  'guide-stride': Stride,
  'guide-size': Size,
  'guide-chain': Chain,
  'guide-pooling': Pooling,
  'guide-rnn': Unrolled,
  'guide-gradient': Vanishing,
  'guide-lstm': Gates,
  'guide-gru': Gates,
  'guide-beside': Beside,
  'guide-measured': Measured,
  'guide-yours': Yours,
};
