// The newest answer to a question that is asked again and again: the one before it stays until it is there, so that nothing
// flickers, and answers that come too late are dropped.

export class Latest<T> {
  value = $state.raw<T | null>(null);
  failure = $state('');
  private asked = 0;

  async take(answer: Promise<T>): Promise<void> {
    const own = ++this.asked;
    try {
      const value = await answer;
      if (own !== this.asked) return;
      this.value = value;
      this.failure = '';
    } catch (error) {
      if (own === this.asked) this.failure = error instanceof Error ? error.message : String(error);
    }
  }

  clear(): void {
    this.asked++;
    this.value = null;
    this.failure = '';
  }
}
