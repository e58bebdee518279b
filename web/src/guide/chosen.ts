// What a figure's controls stand at: it stands in the address, so that a link leads there.

import type { Parameters } from '../source';
import { place } from '../place.svelte';
import type { Control, Value } from './answers';

/** A control's value: the address's where it is one of the settings (or, of a live page, anything), else where it starts. */
export function chosen(control: Control, live: boolean): Value {
  const given = place.get(control.name);
  const setting = control.values.find((value) => String(value) === given);
  if (setting !== undefined) return setting;
  return given && live && typeof control.start === 'string' ? given : control.start;
}

export function parameters(controls: Control[], live: boolean): Parameters {
  return Object.fromEntries(controls.map((control) => [control.name, chosen(control, live)]));
}
