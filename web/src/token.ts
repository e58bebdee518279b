// The token that lets the page ask. It comes in the address that was printed, and goes from there into what the browser keeps
// for this address and port: so neither a link nor a picture of the screen has it, and a reload or another tab still does.

import { keep, kept } from './kept';
import { place } from './place.svelte';

const KEPT = 'pellucid-token';

function taken(): boolean {
  const given = place.get('token');
  if (!given) return false;
  if (keep(KEPT, given)) place.set({ token: undefined });
  return true;
}

export function token(): string {
  const given = place.get('token');
  // The address of a server that was started anew, put into a page that is open already, changes nothing but what follows '#'.
  window.addEventListener('hashchange', () => taken() && location.reload());
  return taken() ? given : (kept(KEPT) ?? '');
}
