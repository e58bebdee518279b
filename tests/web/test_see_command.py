"""The promise: ``pellucid see`` prints an address that works until Ctrl-C, and a mistake is one sentence and exit code 2."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import urllib.request
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import torch

import pellucid
from pellucid.cli.see import see
from pellucid.errors import ArgumentError, PellucidError
from pellucid.web.see import Page


def test_it_serves_until_ctrl_c() -> None:
    """The address is all that stands on standard output; the end is quiet and no failure."""
    started = subprocess.Popen(
        [sys.executable, "-m", "pellucid", "see", "--no-browser", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert started.stdout is not None
    address, token = json.loads(started.stdout.readline())["url"].split("#token=")
    own = {"Authorization": f"Bearer {token}"}
    asking = urllib.request.Request(f"{address}ask", b'[["overview", {}]]', own)
    with urllib.request.urlopen(asking, timeout=60) as answer:
        assert json.load(answer)["answer"]["networks"] == []  # the guide alone
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0
    assert out == ""
    assert "Ctrl-C ends it" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.pt", "a pickle can run code when it is read; save weights .* as my_model.py:MyModel"),
        ("model.pth", "a pickle can run code"),
        ("model.pkl", "a pickle can run code"),
        ("w.safetensors", "these are weights alone; name the model, too"),
        ("mine.py", "say which model in it is meant, as .*mine.py:MyModel"),
        ("data.csv", "this is no run and no model"),
        ("nowhere", "this is no run; give the folder that pellucid compare wrote"),
        ("nowhere.py:Net", "there is no such file; give a model as my_model.py:MyModel"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence(name: str, words: str, tmp_path: Path) -> None:
    if not name.startswith("nowhere"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(PellucidError, match=words):
        see(str(tmp_path / name), browser=False)


def test_options_for_the_other_kind_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="--seed and --cell are for a run"):
        see(f"{tmp_path}/a.py:Net", seed=2)
    with pytest.raises(ArgumentError, match="--weights is for a model"):
        see(str(tmp_path), weights=Path("w.safetensors"))
    with pytest.raises(ArgumentError, match="port is 99999"):
        see(port=99999)


def test_the_browser_is_led_by_a_file_that_nobody_else_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is in no program's arguments; without a screen nothing is opened."""
    opened: list[str] = []

    def open_(url: str) -> bool:
        opened.append(url)
        file = Path(unquote(urlsplit(url).path))
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert "#token=" in file.read_text()
        return True

    monkeypatch.setattr(webbrowser, "open", open_)
    monkeypatch.setattr(Page, "wait", lambda self: None)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    see()
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    see(browser=False)
    assert opened == []
    see()
    assert len(opened) == 1
    assert "token" not in opened[0]
    assert not Path(unquote(urlsplit(opened[0]).path)).exists()


def test_from_python() -> None:
    """A model and a batch; a notebook shows it in a frame; without a model it is the guide."""
    page = pellucid.see(pellucid.nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3))
    assert page._repr_html_().startswith(f'<iframe src="{page.url}"')
    page.close()
    pellucid.see().close()
    with pytest.raises(ArgumentError, match="give a batch after the model"):
        pellucid.see(pellucid.nn.LSTM(3, 4))


def test_without_the_extra_it_says_how_to_install() -> None:
    """In a process where the server's library is not there."""
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "import pellucid\n"
        "try:\n    pellucid.see\nexcept ValueError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (
        done.stdout.strip()
        == "the page needs uvicorn, which is not installed; install it with: pip install 'pellucid[see]'"
    )


def test_a_model_in_memory_needs_the_page_alone() -> None:
    """Nothing of the lab is imported for it."""
    code = (
        "import sys, torch, pellucid\n"
        "page = pellucid.see(pellucid.nn.GRU(3, 4, batch_first=True), torch.randn(1, 5, 3)); page.close()\n"
        "print([name for name in sys.modules if name.startswith('pellucid.lab') or name in ('polars', 'sklearn', 'PIL')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
