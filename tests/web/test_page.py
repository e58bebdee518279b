"""The page in the package is built from the sources beside it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "src/pellucid/web/page"


def test_the_page_is_built_from_its_sources() -> None:
    """Its digest of the sources is theirs now: else ``make page`` was forgotten."""
    web = ROOT / "web"
    files = [str(f.relative_to(web)) for f in (web / "src").rglob("*") if f.is_file()]
    digest = hashlib.sha256()
    for name in sorted([*files, "index.html", "package-lock.json", "svelte.config.js", "vite.config.ts"]):
        digest.update(name.encode() + b"\0" + (web / name).read_bytes() + b"\0")
    built = re.search(r'name="built-from" content="(\w+)"', (BUILT / "index.html").read_text())
    assert built is not None
    assert built[1] == digest.hexdigest()


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """No address of another host stands in what a browser loads, but names of formats."""
    for name in ("index.html", "app.css"):
        assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", (BUILT / name).read_text())
