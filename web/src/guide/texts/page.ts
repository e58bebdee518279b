// A page's text: its title, and lines of which each is true of the figure beside them.

export interface Line {
  en: string;
  ko: string;
}

export interface Text {
  title: Line;
  lines: Line[];
}
