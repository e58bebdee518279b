// The page's languages. Every text of the frame stands here or in the `words.ts` of its view, in both.

import { keep, kept } from './kept';

export type Language = 'en' | 'ko';
export type Words = Record<string, { en: string; ko: string }>;

const KEPT = 'pellucid-language';

function first(): Language {
  const chosen = kept(KEPT);
  if (chosen === 'en' || chosen === 'ko') return chosen;
  return navigator.language.startsWith('ko') ? 'ko' : 'en';
}

class Spoken {
  language = $state<Language>(first());

  choose(language: Language): void {
    this.language = language;
    keep(KEPT, language);
    document.documentElement.lang = language;
  }
}

export const spoken = new Spoken();

/** What Python says: one text where it is the same in both languages. */
export type Said = string | Record<Language, string>;

/** That, in the language that is spoken now. */
export const translated = (said: Said): string => (typeof said === 'string' ? said : said[spoken.language]);

/** A text whose lines never break between a number and its per cent. */
export const unbroken = (text: string): string => text.replaceAll(' %', '\u00a0%');

/** A text in the language that is spoken now, with `{name}` filled in. */
export function say<W extends Words>(words: W, name: keyof W & string, values: Record<string, string | number> = {}): string {
  const text = words[name]?.[spoken.language] ?? name;
  return unbroken(text.replace(/\{(\w+)\}/g, (_, key: string) => String(values[key] ?? '')));
}
