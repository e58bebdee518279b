// Whether an element is in view, or nearly: what takes long is done first where it is seen.

export class Near {
  on = $state(false);

  /** `margin`: how far out of sight still counts, as CSS says it; of what scrolls by itself, where the browser knows how. */
  constructor(element: () => HTMLElement | undefined, margin = '0px') {
    $effect(() => {
      const watched = element();
      if (!watched) return;
      const observer = new IntersectionObserver((entries) => (this.on = entries.at(-1)!.isIntersecting), { rootMargin: margin, scrollMargin: margin } as IntersectionObserverInit);
      observer.observe(watched);
      return () => observer.disconnect();
    });
  }
}
