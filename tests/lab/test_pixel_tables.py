"""The promise: pictures in rows of numbers are those of the pictures' files, however the columns are called and ordered;
what may be something else is not taken for pictures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import data
from pellucid.lab.data import unlabelled_pictures
from pellucid.lab.data.images import prepare
from pellucid.lab.task import Task

FORMS = ("numbered", "from one", "placed", "behind the label", "parquet", "lists", "texts", "mixed up", "semicolons")


def pixels(colour: bool = False, count: int = 40) -> tuple[np.ndarray, list[int]]:
    generator = np.random.default_rng(3)
    shape = (count, 6, 6, 3) if colour else (count, 6, 6)
    return generator.integers(0, 256, shape), [k % 4 for k in range(count)]


def archive(file: Path, images: np.ndarray, labels: list[int]) -> Task:
    np.savez(file, images=images.astype(np.uint8), labels=labels)
    return data.load(file)


def written(folder: Path, images: np.ndarray, labels: list[int], form: str) -> Path:
    flat = images.reshape(len(images), -1)
    count = flat.shape[1]
    names = [f"pixel{k}" for k in range(count)]
    if form == "from one":
        names = [f"Pixel_{k + 1:04}" for k in range(count)]
    if form == "placed":
        names = [f"{k // 6 + 1}x{k % 6 + 1}" for k in range(count)]
    columns: dict[str, Any] = {"label": labels} | dict(zip(names, flat.T, strict=True))
    if form == "behind the label":
        columns = dict(zip(names, flat.T, strict=True)) | {"kind": labels}
    if form == "mixed up":
        order = np.random.default_rng(0).permutation(count)
        columns = {names[k]: flat[:, k] for k in order} | {"label": labels}
    if form == "lists":
        columns = {"image": flat.tolist(), "label": labels}
    if form == "texts":
        columns = {"label": labels, "pixels": [" ".join(map(str, row)) for row in flat.tolist()]}
    file = folder / ("x.parquet" if form in ("parquet", "lists") else "x.csv")
    if file.suffix == ".parquet":
        pl.DataFrame(columns).write_parquet(file)
    else:
        with file.open("w", newline="") as handle:
            writer = csv.writer(handle, delimiter=";" if form == "semicolons" else ",")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    return file


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_numbers_are_the_pictures(tmp_path: Path, form: str) -> None:
    images, labels = pixels()
    file = written(tmp_path, images, labels, form)
    recognised = data.recognise(file)
    assert recognised.kind == "images"
    assert "6 x 6" in recognised.sentence
    task, plain = data.load(file), archive(tmp_path / "y.npz", images, labels)
    assert task.labels == plain.labels == ("0", "1", "2", "3")
    for a, b in ((task.train, plain.train), (task.valid, plain.valid), (task.test, plain.test)):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)


def test_three_colours_lie_side_by_side(tmp_path: Path) -> None:
    images, labels = pixels(colour=True)
    task, plain = data.load(written(tmp_path, images, labels, "numbered")), archive(tmp_path / "y.npz", images, labels)
    assert task.channels == 3
    assert torch.equal(task.test.x, plain.test.x)


@pytest.mark.parametrize("form", ["numbered", "lists", "texts"])
def test_new_pictures_need_no_labels(tmp_path: Path, form: str) -> None:
    images, labels = pixels()
    task = data.load(written(tmp_path, images, labels, form))
    frame = (pl.read_parquet if form == "lists" else pl.read_csv)(
        tmp_path / ("x.parquet" if form == "lists" else "x.csv")
    )
    new = tmp_path / ("new.parquet" if form == "lists" else "new.csv")
    alone = frame.drop("label")
    alone.write_parquet(new) if form == "lists" else alone.write_csv(new)
    inputs = prepare(unlabelled_pictures.find(new), task.preprocessing)
    assert inputs.items == [f"row {k + 1}" for k in range(40)]
    rows = [int(item.split()[1]) - 1 for item in task.test.items]
    assert torch.equal(inputs.x[rows], task.test.x)


def test_a_large_table_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = pixels(count=300)
    file = written(tmp_path, images, labels, "numbered")
    whole = data.load(file)
    monkeypatch.setattr("pellucid.lab.data.table.BLOCK", 4096)
    pieced = data.load(file)
    assert torch.equal(whole.train.x, pieced.train.x)
    lines = file.read_text().splitlines()
    lines[250] = lines[250].replace(",", ",bad", 1)
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 251: column 'pixel0' has 'bad"):
        data.load(file)


def test_which_column_has_the_classes_is_told_or_asked_for(tmp_path: Path) -> None:
    images, labels = pixels()
    file = written(tmp_path, images, labels, "numbered")
    frame = pl.read_csv(file).rename({"label": "emotion"})
    frame.with_columns(part=pl.lit("all")).write_csv(file)
    with pytest.raises(DataError, match="columns emotion, part could hold the classes; name one with --label"):
        data.load(file)
    assert data.load(file, label="emotion").labels == ("0", "1", "2", "3")
    with pytest.raises(ArgumentError, match="no column 'label'; beside the pixels its columns are emotion, part"):
        data.load(file, label="label")
    frame.drop("emotion").write_csv(file)
    with pytest.raises(DataError, match="no column could hold the classes; add one"):
        data.load(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("\n1,", "\n,", 1), "line 3: column 'label' is empty there"),
        (lambda text: text[: text.rindex(",")] + ",bad\n", "'bad' where a number is needed"),
        (lambda text: text[: text.rindex(",")] + ",\n", "row 40: the image cannot be read"),
    ],
)
def test_rows_that_are_no_pictures_are_sentences(tmp_path: Path, change: Any, said: str) -> None:
    file = written(tmp_path, *pixels(), "numbered")
    file.write_text(change(file.read_text()))
    with pytest.raises(DataError, match=said):
        data.load(file)


def test_lists_of_unequal_length_are_a_sentence(tmp_path: Path) -> None:
    images, labels = pixels()
    lists = images.reshape(40, -1).tolist()
    lists[7] = lists[7][:-1]
    pl.DataFrame({"image": lists, "label": labels}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="row 8: there are 35 numbers, and 6 x 6 pixels need 36"):
        data.load(tmp_path / "x.parquet")


def test_what_is_asked_of_a_series_is_no_picture(tmp_path: Path) -> None:
    file = written(tmp_path, *pixels(count=200), "numbered")
    assert data.recognise(file, target="label", horizon=1).kind == "series"
    frame = pl.DataFrame({f"pixel{k}": np.arange(30.0) for k in range(20)})  # 20 is no square
    frame.write_csv(tmp_path / "y.csv")
    assert data.recognise(tmp_path / "y.csv").kind == "series"
    with pytest.raises(DataError, match="nor are there columns pixel0, pixel1"):
        data.load(tmp_path / "y.csv", kind="images")
