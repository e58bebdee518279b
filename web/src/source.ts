// Where answers come from. A question is a name and parameters; the same question has the same answer, so answers may be
// computed by the server now, or have been recorded in the page.

export type Parameters = Record<string, string | number | boolean | null>;
export type Questions = [string, Parameters][];

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
const FIRST = ['overview', 'answer', 'places', 'step', 'telling', 'stages']; // in this order
const SOON = 50; // milliseconds
const ANEW = ['overview', 'ahead']; // there may be new items; what was computed ahead may be forgotten

interface Waiting {
  question: [string, Parameters];
  answer: Promise<unknown>;
  resolve: (answer: unknown) => void;
  reject: (error: Error) => void;
}

class Live implements Source {
  live = true;
  private answers = new Map<string, Promise<unknown>>();
  private due = false; // in this moment something was asked
  private waiting: Waiting[] = [];
  private drawn: Promise<void> = Promise.resolve(); // what the eye is at
  private coming = 0;

  constructor(private token: string) {}

  get busy(): boolean {
    return this.coming > 0 || this.waiting.length > 0;
  }

  ask<T>(name: string, parameters: Parameters = {}): Promise<T> {
    const about = key(name, parameters);
    let answer = this.answers.get(about);
    if (!answer) {
      const asked = { question: [name, parameters] } as Waiting;
      asked.answer = answer = new Promise((resolve, reject) => Object.assign(asked, { resolve, reject }));
      this.waiting.push(asked);
      if (!this.due) queueMicrotask(() => void this.send());
      this.due = true;
      answer.catch(() => this.answers.delete(about)); // may be asked again
      if (!ANEW.includes(name)) this.answers.set(about, answer);
      for (const old of this.answers.keys()) {
        if (this.answers.size <= REMEMBERED) break;
        this.answers.delete(old);
      }
    }
    return answer as Promise<T>;
  }

  /** What is asked in one moment goes in one request, what the eye is at first; what follows from its answers, once they are drawn. */
  private async send(): Promise<void> {
    this.due = false;
    const first = this.waiting.filter(({ question: [name] }) => FIRST.includes(name));
    if (!first.length) await this.drawn;
    else this.drawn = Promise.allSettled(first.map(({ answer }) => answer)).then(frame);
    const rank = ({ question: [name] }: Waiting): number => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
    const sent = this.waiting.sort((a, b) => rank(a) - rank(b));
    this.waiting = [];
    if (sent.length) await this.request(sent);
  }

  /** Each answer comes once it is there, in this order. */
  private async request(sent: Waiting[]): Promise<void> {
    const left = sent.values();
    let reason = new Error('the answers did not come whole');
    try {
      await this.fetch('ask', { method: 'POST', body: JSON.stringify(sent.map(({ question }) => question)) }, async (response) => {
        for await (const line of lines(response.body!)) {
          const { answer, error } = JSON.parse(line) as { answer?: unknown; error?: string };
          const { resolve, reject } = left.next().value!;
          if (error === undefined) resolve(answer);
          else reject(new Error(error));
        }
      });
    } catch (error) {
      reason = error as Error;
    }
    for (const { reject } of left) reject(reason);
  }

  async give(name: string, data: Blob): Promise<number> {
    return await this.number(`items?name=${encodeURIComponent(name)}`, data);
  }

  async change(item: number, numbers: Changed[]): Promise<number> {
    return await this.number(`items/${item}`, JSON.stringify({ numbers }));
  }

  /** Of the item that something sent becomes. */
  private async number(url: string, body: BodyInit): Promise<number> {
    const answer = await this.fetch(url, { method: 'POST', body }, (response) => response.json());
    return (answer as { item: number }).item;
  }

  private async fetch<T>(url: string, init: RequestInit, read: (response: Response) => Promise<T>): Promise<T> {
    this.coming += 1;
    try {
      const response = await fetch(url, { ...init, headers: { Authorization: `Bearer ${this.token}` } });
      if (!response.ok) throw new Error(((await response.json()) as { error: string }).error);
      return await read(response);
    } finally {
      this.coming -= 1;
    }
  }
}

/** Once what has changed is drawn; where nothing is drawn, as on a hidden page, soon. */
function frame(): Promise<void> {
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, SOON);
  });
}

/** The lines of a text while it comes. */
async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let begun: string[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const [end, ...others] = value.split('\n');
    begun.push(end!);
    for (const next of others) {
      yield begun.join('');
      begun = [next];
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
