"""The guide as a folder that any browser opens from a disk.

``python -m pellucid.web.guide FOLDER`` writes the folder: every setting of every figure is asked for once and its answer stored.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from pellucid.web import stored
from pellucid.web.model import of_nothing
from pellucid.web.questions.guide import asked


def write(folder: Path) -> int:
    """Write the stored guide; how many bytes it has."""
    folder.mkdir(parents=True, exist_ok=True)
    page = stored.beside(stored.record(of_nothing(), asked(of_nothing())), "view=guide")
    (folder / "index.html").write_text(page, encoding="utf-8")
    for name in ("app.js", "app.css"):
        shutil.copyfile(stored.PAGE / name, folder / name)
    return sum(file.stat().st_size for file in folder.iterdir())


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "build/guide")
    print(f"The guide, {write(place) / 1e6:.1f} MB: open {place / 'index.html'}")
