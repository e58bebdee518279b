// Where answers come from. A question is a name and parameters; the same question has the same answer, so answers may be
// computed by the server now, or have been recorded in the page.

export type Parameters = Record<string, string | number | boolean | null>;

export interface Source {
  /** Whether any question can be answered; recorded answers are those that were asked beforehand. */
  live: boolean;
  /** Whether an answer is on its way. */
  busy: boolean;
  ask<T>(name: string, parameters?: Parameters): Promise<T>;
  /** Give a file; its number among the items. */
  give(name: string, data: Blob): Promise<number>;
  /** Change numbers of a sequence; the number of the item that it becomes. */
  change(item: number, numbers: Changed[]): Promise<number>;
}

export interface Changed {
  step: number;
  channel: number;
  value: number; // in its own unit
}

/** What an answer is recorded under; the recorder makes the same text. */
export function key(name: string, parameters: Parameters = {}): string {
  const sorted = Object.fromEntries(Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${name}?${JSON.stringify(sorted)}`;
}

const REMEMBERED = 200;
const ANEW = ['overview', 'ahead']; // there may be new items; what was computed ahead may be forgotten

class Live implements Source {
  live = true;
  private answers = new Map<string, Promise<unknown>>();
  private coming = 0;

  constructor(private token: string) {}

  get busy(): boolean {
    return this.coming > 0;
  }

  ask<T>(name: string, parameters: Parameters = {}): Promise<T> {
    const about = key(name, parameters);
    let answer = this.answers.get(about);
    if (!answer) {
      answer = this.fetch(`ask/${name}?parameters=${encodeURIComponent(JSON.stringify(parameters))}`);
      answer.catch(() => this.answers.delete(about)); // may be asked again
      if (!ANEW.includes(name)) this.answers.set(about, answer);
      for (const old of this.answers.keys()) {
        if (this.answers.size <= REMEMBERED) break;
        this.answers.delete(old);
      }
    }
    return answer as Promise<T>;
  }

  async give(name: string, data: Blob): Promise<number> {
    const answer = await this.fetch(`items?name=${encodeURIComponent(name)}`, { method: 'POST', body: data });
    return (answer as { item: number }).item;
  }

  async change(item: number, numbers: Changed[]): Promise<number> {
    const answer = await this.fetch(`items/${item}`, { method: 'POST', body: JSON.stringify({ numbers }) });
    return (answer as { item: number }).item;
  }

  private async fetch(url: string, init: RequestInit = {}): Promise<unknown> {
    this.coming += 1;
    try {
      const response = await fetch(url, { ...init, headers: { Authorization: `Bearer ${this.token}` } });
      const answer: unknown = await response.json();
      if (!response.ok) throw new Error((answer as { error: string }).error);
      return answer;
    } finally {
      this.coming -= 1;
    }
  }
}

class Recorded implements Source {
  live = false;
  busy = false;

  constructor(private answers: Promise<Record<string, unknown>>) {}

  async ask<T>(name: string, parameters: Parameters = {}): Promise<T> {
    const answer = (await this.answers)[key(name, parameters)];
    if (answer === undefined) throw new Error(`not recorded: ${key(name, parameters)}`);
    return answer as T;
  }

  give(): Promise<number> {
    return Promise.reject(new Error('a stored page takes no files'));
  }

  change(): Promise<number> {
    return Promise.reject(new Error('a stored page takes no changes'));
  }
}

/** Recorded answers are compressed JSON in base64. */
async function unpacked(text: string): Promise<Record<string, unknown>> {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const json = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return (await new Response(json).json()) as Record<string, unknown>;
}

/** Recorded answers stand in the page; otherwise the token of the address lets us ask. */
export function source(token: string): Source {
  const stored = document.getElementById('pellucid-answers');
  return stored ? new Recorded(unpacked(stored.textContent ?? '')) : new Live(token);
}
