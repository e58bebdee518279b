"""The promise: what Python says of data, items and networks is Korean where the page is, and names of a person's own stay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import expect
from tests.lab import finished
from tests.web.conftest import Open, drawn

from pellucid import nn
from pellucid.lab import data
from pellucid.lab.candidates import blueprint
from pellucid.web.korean import said
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask
from pellucid.web.run import of_run

ENGLISH = re.compile(r"[A-Za-z]{2,}")
TERMS = {"ReLU"}
MADE = re.compile(
    r"\b(test|item|row|case|sequence|character|word|subword|changed|from)\b"
)  # words of names that are made


def korean(text: Any) -> str:
    """Of what is sent, what a page in Korean shows."""
    return text if isinstance(text, str) else text["ko"]


@pytest.mark.parametrize("kind", finished.KINDS)
def test_what_is_said_of_data_and_networks(kind: str, tmp_path: Path) -> None:
    """Of every kind of data and of every network on it no English is left, and the figures are the same."""
    write, options = finished.KINDS[kind]
    task = data.load(write(tmp_path), **options)
    own = {*TERMS, *re.findall("'(.+?)'", task.title)}  # columns have the names that a person gave
    names = ("cnn", "gru2", "cnn+gru") if finished.is_next(kind) else ("cnn", "gru", "bilstm2", "cnn+bigru")
    sentences = [f"{blueprint(name).build(task, 4).body.sentence}; then a linear layer" for name in names]
    for english in (task.title, *sentences):
        text = korean(said(english))
        assert not set(ENGLISH.findall(text)) - own, text
        if english is task.title:
            assert text != english
            assert sorted(re.findall(r"[\d,.]*\d", text)) == sorted(re.findall(r"[\d,.]*\d", english))
    for item in task.test.items:
        assert not MADE.search(korean(said(item)))


def test_a_run_says_it_in_both_languages() -> None:
    """Its title, what its networks are made of, the columns that were made for it, and its items."""
    run = finished.untrained("shops", ("gru",))
    overview = ask(of_run(run.folder, seed=2), "overview", {})
    for text in (overview["title"], overview["networks"][0]["sentence"]):
        assert not set(ENGLISH.findall(korean(text))) - {"sales"}
    assert overview["title"]["en"] == run.task.title
    columns = [korean(name) for name in overview["columns"]]
    assert columns[:2] == ["promotion", "sales"]
    assert columns[-1] == "promotion, 4단계 뒤"
    assert {"시각, 사인", "요일, 코사인"} & set(columns)
    kept = finished.untrained("labels", ("gru",))
    items = ask(of_run(kept.folder, seed=2), "overview", {})["items"]
    assert items[0]["name"] == {"en": kept.task.test.items[0], "ko": korean(said(kept.task.test.items[0]))}
    assert korean(items[0]["name"]).startswith("시퀀스")


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("test item 3", "시험 항목 3"),
        ("item 0, changed", "항목 0, 바꿈"),
        ("row 12: the cat, changed", "12행: the cat, 바꿈"),
        ("photos.parquet row 4", "photos.parquet 4행"),
        ("north, row 5", "north, 5행"),
        ("new.ts case 2", "new.ts 사례 2"),
        ("subword 2001: and so on", "서브워드 2001부터: and so on"),
        ("song, from step 49", "song, 49단계부터"),
        ("promotion, 4 later", "promotion, 4단계 뒤"),
        ("weekday, cosine", "요일, 코사인"),
        ("mel band 7", "멜 대역 7"),
        ("dimension 2, 3 later", "차원 2, 3단계 뒤"),
    ],
)
def test_names_that_are_made(english: str, expected: str) -> None:
    assert said(english) == {"en": english, "ko": expected}


@pytest.mark.parametrize(
    "name", ["up/03.png", "to be, or not to be: that is the question", "2024-01-01", "load", "", "이름"]
)
def test_names_of_a_persons_own_stay(name: str) -> None:
    assert said(name) == name


def opened() -> Opened:
    """Two images' worth of a sequence, with what a run says of them."""
    model = drawn(nn.GRU(2, 4, batch_first=True))
    found = of_models({"gru": model, "rnn": drawn(nn.RNN(2, 4, batch_first=True))}, torch.randn(2, 20, 2))
    found.title, found.columns = "640 sequences of 7 to 29 steps, 2 channels, 9 classes", ("load", "hour, sine")
    return found


def test_the_page_shows_the_language_that_is_chosen(visit: Open) -> None:
    """Title, inputs, columns, and what drives a unit, at once when the language changes."""
    page = visit(opened(), "view=recurrence&network=gru&unit=1&step=4")
    chosen = page.get_by_role("combobox", name="Input").locator("option").first
    expect(chosen).to_have_text("item 0")
    expect(page.locator(".names").get_by_text("hour, sine")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^item 0, step")).first).to_be_visible()
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("7–29단계 시퀀스 640개, 채널 2개, 클래스 9개")
    expect(page).to_have_title("7–29단계 시퀀스 640개, 채널 2개, 클래스 9개 · Pellucid")
    expect(page.get_by_role("combobox", name="입력").locator("option").first).to_have_text("항목 0")
    expect(page.locator(".names").get_by_text("시각, 사인")).to_be_visible()
    expect(page.locator(".names").get_by_text("load")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^항목 0, .*단계")).first).to_be_visible()
    expect(page.get_by_text(re.compile("입력 (load|시각, 사인)")).first).to_be_visible()
    expect(page.locator("body")).not_to_contain_text("[object")
