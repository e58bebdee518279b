// Which frames a spot draws on the maps of a stage.

import type { Mark, Spot, Stage } from './answers';

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

/** Whether a spot's own window reads this map of the stage before it: filters of a group read their group's channels. */
export function reads(stages: Stage[], stage: Stage, map: number, spot: Spot | null): boolean {
  const own = spot && stages.find((s) => s.name === spot.stage);
  if (!own) return false;
  if (own === stage) return map === spot.filter;
  if (!own.sources?.some((source) => stages[source] === stage)) return true;
  if (own.kind !== 'convolution') return map === spot.filter || stage.shape[0] !== own.shape[0];
  const groups = own.groups ?? 1;
  return Math.floor((map * groups) / stage.shape[0]) === Math.floor((spot.filter * groups) / own.shape[0]);
}
