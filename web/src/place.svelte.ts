// Where one is in the page: all of it stands in the address after '#', so that a link, the back button and a reload lead there.

const PUSHED = new Set(['view', 'page', 'network', 'layer']); // what the back button undoes; other changes replace the address

/** The address; before anything stands there, where a stored page says that it opens. */
function read(): Record<string, string> {
  const at = location.hash.slice(1) || document.getElementById('app')?.dataset.at;
  return Object.fromEntries(new URLSearchParams(at));
}

class Place {
  values = $state<Record<string, string>>(read());

  constructor() {
    for (const event of ['hashchange', 'popstate']) window.addEventListener(event, () => (this.values = read()));
  }

  get(name: string, otherwise = ''): string {
    return this.values[name] ?? otherwise;
  }

  number(name: string, otherwise = 0): number {
    const value = Number(this.values[name] ?? otherwise);
    return Number.isFinite(value) ? value : otherwise;
  }

  /** Change some values; undefined or '' removes one. */
  set(changes: Record<string, string | number | undefined>): void {
    const next = { ...this.values };
    let push = false;
    for (const [name, value] of Object.entries(changes)) {
      if (String(value ?? '') === (next[name] ?? '')) continue;
      push ||= PUSHED.has(name);
      if (value === undefined || value === '') delete next[name];
      else next[name] = String(value);
    }
    this.values = next;
    if (location.protocol === 'about:') return; // a page inside a report has no address of its own
    const hash = `#${new URLSearchParams(next)}`;
    if (push) history.pushState(null, '', hash);
    else history.replaceState(null, '', hash);
  }
}

export const place = new Place();
