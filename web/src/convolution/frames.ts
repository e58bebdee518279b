// How the maps of a stage are drawn, and which frames a spot draws on them.

import type { Scale } from '../colour';
import type { Mark, Spot, Stage } from './answers';

/** Grey for a picture that is the input; else around zero where there is something below it. */
export function scaleOf(stage: Stage): Scale {
  if (stage.kind === 'input' && stage.axes === 2) return 'grey';
  return stage.low < 0 ? 'around' : 'sequence';
}

/** The frame of what a spot sees of a stage, or of the spot itself; null where the stage has no part in it. */
export function frame(stages: Stage[], stage: Stage, spot: Spot | null): Mark | null {
  if (!spot) return null;
  if (stage.name === spot.stage) return { kind: 'at', row: spot.row, column: spot.column, rows: 1, columns: 1 };
  const own = stages.find((s) => s.name === spot.stage);
  const sees = own?.sees[stage.name];
  if (!own || !sees) return null;
  const [rows, columns] = sees;
  const near = own.sources?.some((source) => stages[source]?.name === stage.name);
  return {
    kind: near ? 'window' : 'field',
    row: rows[2] + rows[1] * spot.row,
    column: columns[2] + columns[1] * spot.column,
    rows: rows[0],
    columns: columns[0],
  };
}

/** Whether a spot reads this map: pooling and activations read their own map alone, filters of a group their group's channels. */
export function reads(stages: Stage[], stage: Stage, map: number, spot: Spot | null): boolean {
  let own = spot && stages.find((s) => s.name === spot.stage);
  while (spot && own && own !== stage) {
    const before: Stage | undefined = own.sources?.length === 1 ? stages[own.sources[0]!] : undefined;
    if (!before) return true;
    if (own.kind === 'convolution') {
      const groups = own.groups ?? 1;
      const group = (channel: number, count: number) => Math.floor((channel * groups) / count);
      return before !== stage || group(map, before.shape[0]) === group(spot.filter, own.shape[0]);
    }
    own = before;
  }
  return !spot || map === spot.filter;
}
