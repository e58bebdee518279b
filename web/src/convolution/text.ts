// Tokens put together again.

/** The text of tokens; those of single bytes, written `\xe2`, become the characters that they are bytes of. */
export function joined(tokens: string[]): string {
  return tokens.join('').replace(/(?:\\x[0-9a-f]{2})+/g, (run) => {
    const bytes = run.slice(2).split('\\x').map((code) => Number.parseInt(code, 16));
    return new TextDecoder().decode(Uint8Array.from(bytes));
  });
}
