// How the maps of a stage are drawn, and which frames a spot draws on them.

import type { Scale } from '../colour';
import type { Mark, Spot, Stage } from './answers';

/** Grey for a picture that is the input; else around zero where there is something below it. */
export function scaleOf(stage: Stage): Scale {
  if (stage.kind === 'input' && stage.axes > 1) return 'grey';
  return stage.low < 0 ? 'around' : 'sequence';
}

/** The depths of a stage that a spot sees, or its own: the first, and how many; null where the stage has no part in it. */
export function depths(stages: Stage[], stage: Stage, spot: Spot | null): [first: number, count: number] | null {
  if (spot?.stage === stage.name) return [spot.depth, 1];
  const deep = stages.find((s) => s.name === spot?.stage)?.deep[stage.name];
  return spot && deep ? [deep[2] + deep[1] * spot.depth, deep[0]] : null;
}

/** The slice of a stage to show for a spot: the middle of what it sees. */
export function sliceFor(stages: Stage[], stage: Stage, spot: Spot | null): number {
  const [first, count] = depths(stages, stage, spot) ?? [0, stage.depth];
  return Math.min(stage.depth - 1, Math.max(0, first + Math.floor(count / 2)));
}

/** The frame on a slice of what a spot sees of a stage, or of the spot itself; null where the slice has no part in it. */
export function frame(stages: Stage[], stage: Stage, spot: Spot | null, slice: number): Mark | null {
  if (!spot) return null;
  const deep = depths(stages, stage, spot);
  if (deep && (slice < deep[0] || slice >= deep[0] + deep[1])) return null;
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
