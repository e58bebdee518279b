"""The promise: the same pictures give the same task from a folder, Parquet or NPZ, in memory or paged from a file;
augmentation is what it says and fits the images."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.lab import tasks

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import data
from pellucid.lab.data import unlabelled_pictures
from pellucid.lab.data.augment import Augmentation, choose
from pellucid.lab.data.images import find, prepare
from pellucid.lab.task import Task

REAL = Path(__file__).parents[2].parent / "shared" / "data"
PARTS = ("train", "valid", "test")


def same_tensors(a: Task, b: Task) -> bool:
    return all(
        torch.equal(getattr(a, p).x, getattr(b, p).x) and torch.equal(getattr(a, p).y, getattr(b, p).y) for p in PARTS
    )


def pictures(folder: Path) -> tuple[list[bytes], list[int]]:
    """Encoded pictures in the order in which a folder is read, and their classes."""
    files = sorted(folder.rglob("*.png"))
    return [f.read_bytes() for f in files], [int(f.parent.name == "right") for f in files]


def encoded(file: Path, images: list[bytes], labels: list[int]) -> Path:
    """As Hugging Face datasets write it."""
    about = {"info": {"features": {"label": {"names": ["left", "right"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [{"bytes": i, "path": None} for i in images], "label": labels})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), file, row_group_size=5)
    return file


def test_encoded_pictures_in_parquet_are_those_of_the_folder(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x", size=16)
    file = encoded(tmp_path / "x.parquet", *pictures(folder))
    task, plain = data.load(file), data.load(folder)
    assert task.labels == ("left", "right")
    assert same_tensors(task, plain)


@pytest.mark.parametrize("form", ["height x width", "float", "channels behind", "channels before"])
def test_a_folder_of_arrays_is_that_of_the_pictures(form: str, tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x", size=16)
    for file in folder.rglob("*.png"):
        array = np.asarray(Image.open(file))
        place = tmp_path / "y" / file.relative_to(folder).with_suffix(".npy")
        place.parent.mkdir(parents=True, exist_ok=True)
        written = {
            "height x width": array,
            "float": array.astype(np.float32),
            "channels behind": np.stack([array] * 3, 2),
            "channels before": np.stack([array] * 3),
        }
        np.save(place, written[form])
    assert data.recognise(tmp_path / "y").sentence == "y holds 24 arrays (.npy): images to classify"
    task = data.load(tmp_path / "y")
    assert same_tensors(task, data.load(folder))
    again = prepare(unlabelled_pictures.find(tmp_path / "y" / "left" / "00.npy"), task.preprocessing)
    whole = [*task.train.items, *task.valid.items, *task.test.items]
    seen = torch.cat([task.train.x, task.valid.x, task.test.x])[whole.index("left/00.npy")]
    assert torch.equal(again.x[0], seen)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(5), r"the array is float64 of shape \(5,\); an image is numbers, height x width"),
        (np.zeros((9, 9, 9)), r"has shape \(9, 9, 9\), and an image has 1 to 4 channels"),
        (np.zeros((4, 4), dtype="U1"), "the array is <U1"),
        (np.full((8, 8), np.nan), "values that are no numbers"),
        (np.array([[{}]]), "save a plain one with numpy.save"),
    ],
)
def test_arrays_that_are_no_image_are_sentences(array: Any, said: str, tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x")
    np.save(folder / "left" / "a.npy", array)
    with pytest.raises(DataError, match=f"a.npy: .*{said}"):
        data.load(folder)


def test_nested_lists_and_arrays_are_those_of_the_folder(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x", size=16)
    images, labels = pictures(folder)
    arrays = np.stack([np.asarray(Image.open(io.BytesIO(i))) for i in images])
    words = np.array(["left", "right"])[labels]
    pq.write_table(pa.table({"pixels": arrays.tolist(), "side": words.tolist()}), tmp_path / "x.parquet")
    np.savez_compressed(tmp_path / "x.npz", images=arrays, labels=words)
    np.savez(tmp_path / "columns.npz", x=np.asfortranarray(arrays[..., None]), y=words[:, None])
    plain = data.load(folder)
    for name in ("x.parquet", "x.npz", "columns.npz"):
        task = data.load(tmp_path / name)
        assert task.labels == ("left", "right"), name
        assert same_tensors(task, plain), name


def test_channels_first_and_labels_with_a_point_are_the_same_images(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 8, 3), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "b.npz", images=np.moveaxis(images, 3, 1), labels=labels.astype(np.float32))
    assert same_tensors(data.load(tmp_path / "a.npz"), data.load(tmp_path / "b.npz"))


def test_one_hot_labels_are_classes(tmp_path: Path) -> None:
    images, labels = np.random.default_rng(0).integers(0, 255, (40, 8, 8)), np.arange(40) % 4
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "b.npz", images=images, labels=np.eye(4, dtype=np.float32)[labels])
    plain, hot = data.load(tmp_path / "a.npz"), data.load(tmp_path / "b.npz")
    assert hot.labels == plain.labels
    assert same_tensors(plain, hot)
    wrong = np.eye(4)[labels]
    wrong[5] = 0
    np.savez(tmp_path / "c.npz", images=images, labels=wrong)
    with pytest.raises(DataError, match=r"of shape \(40, 4\); 40 images need as many classes"):
        data.load(tmp_path / "c.npz")


def test_pixels_on_another_scale_than_trainings_are_told(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8))
    np.savez(tmp_path / "a.npz", images=images / 255, labels=np.arange(40) % 2)
    np.savez(tmp_path / "b.npz", images=images, labels=np.arange(40) % 2)
    of_one, of_bytes = (data.load(tmp_path / f"{name}.npz").preprocessing for name in "ab")
    ask = unlabelled_pictures.find
    assert prepare(ask(tmp_path / "a.npz"), of_one).notes == prepare(ask(tmp_path / "b.npz"), of_bytes).notes == ()
    (far,) = prepare(ask(tmp_path / "b.npz"), of_one).notes
    (close,) = prepare(ask(tmp_path / "a.npz"), of_bytes).notes
    assert "values of the pixels are" in far
    assert "times as far from training's mean" in far
    assert "times closer together" in close
    np.savez(tmp_path / "white.npz", images=np.full((3, 8, 8), 255))
    assert prepare(ask(tmp_path / "white.npz"), of_bytes).notes == ()


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x")
    how = data.load(folder).preprocessing
    assert prepare(unlabelled_pictures.find(folder), how).notes == ()
    (folder / "about.txt").write_text("what these are")
    (folder / ".hidden.txt").write_text("")
    assert prepare(unlabelled_pictures.find(folder), how).notes == (
        f"{folder}/about.txt is no image and was passed over.",
    )
    (folder / "left" / "more.pdf").write_text("")
    notes = prepare(unlabelled_pictures.find(folder), how).notes
    assert notes == (f"2 files, such as {folder}/about.txt, are no images and were passed over.",)


def test_images_beside_the_folders_of_classes_are_told(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x")
    assert not [c for c in data.load(folder).cautions if "beside" in c]
    for name in ("one.png", "two.png"):
        (folder / name).write_bytes(next((folder / "left").glob("*.png")).read_bytes())
    told = "2 images, such as one.png, lie beside the folders of classes, and no network saw them."
    assert told in data.load(folder).cautions


def test_opacity_from_0_to_1_is_that_from_0_to_255(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 8, 4), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "b.npz", images=images / np.float32(255), labels=labels)
    a, b = data.load(tmp_path / "a.npz"), data.load(tmp_path / "b.npz")
    torch.testing.assert_close(a.train.x, b.train.x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("parts", ["train dev eval", "training_set validation_set test_set", "Train val Test"])
def test_parts_of_a_split_as_people_call_them(tmp_path: Path, parts: str) -> None:
    for part in parts.split():
        tasks.write_images(tmp_path / part)
    task = data.load(tmp_path)
    assert task.labels == ("left", "right")
    assert [len(part) for part in (task.train, task.valid, task.test)] == [24, 24, 24]


def test_what_systems_leave_behind_is_no_image(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x")
    plain = data.load(folder)
    sentence = data.recognise(folder).sentence
    for name in ("left/Thumbs.db", "left/desktop.ini", "right/.DS_Store", "right/__MACOSX/._1.png", ".cache/a.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"nothing")
    assert data.recognise(folder).sentence == sentence
    assert same_tensors(data.load(folder), plain)


@pytest.mark.parametrize("names", ["x_{0} y_{0}", "{0}_images {0}_labels"])
def test_a_split_in_an_archive_is_kept(tmp_path: Path, names: str) -> None:
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 30), ("test", 12)):
        images, labels = names.format(part).split()
        arrays[images] = generator.integers(0, 256, (count, 9, 8, 3), dtype=np.uint8)
        arrays[labels] = np.arange(count) % 10
    np.savez(tmp_path / "a.npz", **arrays)
    task = data.load(tmp_path / "a.npz")
    assert (task.channels, task.extent, task.labels[:3]) == (3, (9, 8), ("0", "1", "2"))
    assert (len(task.train) + len(task.valid), len(task.test)) == (30, 12)
    assert all("test" in item for item in task.test.items)
    arrays[labels] = np.arange(12) % 9
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match="the class '9' has no image in the test part"):
        data.load(tmp_path / "a.npz")


def test_a_folder_of_parquet_files_by_part(tmp_path: Path) -> None:
    images, labels = pictures(tasks.write_images(tmp_path / "x", per_class=14))
    (tmp_path / "set").mkdir()
    encoded(tmp_path / "set" / "train-00000-of-00001.parquet", images[4:24], labels[4:24])
    encoded(tmp_path / "set" / "test-00000-of-00001.parquet", images[:4] + images[24:], labels[:4] + labels[24:])
    task = data.load(tmp_path / "set")
    assert len(task.test) == 8
    assert all(item.startswith("test-") for item in task.test.items)


MISTAKES = {
    "objects": (dict(images=np.array([None] * 9), labels=np.arange(9)), "Python objects"),
    "vectors": (dict(images=np.zeros((9, 5)), labels=np.arange(9) % 2), r"shape \(9, 5\); images are"),
    "too few labels": (dict(images=np.zeros((9, 8, 8)), labels=np.arange(8) % 2), "9 images need as many classes"),
    "one class": (dict(images=np.zeros((9, 8, 8)), labels=np.zeros(9, int)), "there is one class, '0'"),
    "no numbers": (dict(images=np.full((9, 8, 8), np.nan), labels=np.arange(9) % 2), "values that are no numbers"),
    "other names": (dict(a=np.zeros(3)), "the archive holds a; images are the arrays"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_archives_that_hold_something_else_are_sentences(tmp_path: Path, mistake: str) -> None:
    arrays, words = MISTAKES[mistake]
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=words):
        data.load(tmp_path / "a.npz", kind="images")


def test_damaged_files_are_sentences(tmp_path: Path) -> None:
    images, labels = pictures(tasks.write_images(tmp_path / "x"))
    images[3] = images[3][:60]
    file = encoded(tmp_path / "x.parquet", images, labels)
    with pytest.raises(DataError, match=r"x\.parquet, row 4: the image cannot be read"):
        data.load(file)
    images[3] = None  # type: ignore[call-overload]
    with pytest.raises(DataError, match=r"row 4: column 'image' has no image there"):
        data.load(encoded(file, images, labels))
    np.savez(tmp_path / "a.npz", images=np.zeros((20, 8, 8), np.uint8), labels=np.arange(20) % 2)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:900])
    with pytest.raises(DataError, match="the archive cannot be read"):
        data.load(tmp_path / "a.npz", kind="images")
    two = pa.table({"image": [b"x"], "a": ["x"], "b": ["y"]})
    pq.write_table(two, tmp_path / "two.parquet")
    with pytest.raises(DataError, match="the columns a, b could hold the labels; name one with --label"):
        data.load(tmp_path / "two.parquet")


# Memory

LIMITED = """
import resource, sys
from pathlib import Path
import torch
from pellucid.lab import comparison, data, plan as planning

torch.set_num_threads(1)
source, held, room, out = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
used = 1024 * int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1])
resource.setrlimit(resource.RLIMIT_DATA, (used + room, used + room))
task = data.load(source, memory=held, augment="none")
made = planning.plan(task, ["cnn"], trials=1, seeds=1, epochs=1, size=500)
found, _ = comparison.compare(made, out=Path(out))
print(len(task.train), len(task.test), found.candidates[0].score.value > 40)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit on memory is Linux's")
def test_images_that_do_not_fit_into_memory_are_paged(tmp_path: Path) -> None:
    """79 MB of images, 157 with the scaled ones, load and train with 125 MB to use; held in memory they do not fit."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 100, (1200, 128, 128), dtype=np.uint8)
    images[600:, :64] += 155
    (tmp_path / "cache").mkdir()
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(1200) // 600)
    found = []
    for held in ("0", "9"):
        command = [sys.executable, "-c", LIMITED, str(tmp_path / "a.npz"), held, str(125 * 10**6), str(tmp_path / held)]
        environment = {"PELLUCID_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin", "OMP_NUM_THREADS": "1"}
        found.append(subprocess.run(command, capture_output=True, text=True, env=environment))
    assert found[0].stdout.split() == ["840", "180", "True"], found[0].stderr
    assert "does not fit into memory; give a smaller --memory" in found[1].stderr
    assert list((tmp_path / "cache").iterdir()) == []  # nothing is left


def test_paged_and_held_images_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "cache"))
    folder = tasks.write_images(tmp_path / "x", size=16)
    held, paged = data.load(folder), data.load(folder, memory=0.0)
    assert isinstance(paged.train.x, torch.Tensor)
    assert same_tensors(held, paged)
    assert held.fingerprint == paged.fingerprint
    assert "Memory" in dict(paged.facts)
    assert "Memory" not in dict(held.facts)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set PELLUCID_CACHE to a folder that has it"):
        data.load(folder, memory=0.0)


# Augmentation


def test_shifted_images_are_windows_of_the_image() -> None:
    torch.manual_seed(0)
    image = torch.arange(2 * 6 * 7.0).reshape(1, 2, 6, 7)
    wide = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="replicate")
    windows = {tuple(wide[0, :, i : i + 6, j : j + 7].flatten().tolist()) for i in range(5) for j in range(5)}
    varied = Augmentation(2, False)(image.repeat(200, 1, 1, 1))
    seen = {tuple(v.flatten().tolist()) for v in varied}
    assert seen <= windows
    assert len(seen) == 25
    flipped = Augmentation(0, True)(image.repeat(100, 1, 1, 1))
    ways = {tuple(v.flatten().tolist()) for v in flipped}
    assert ways == {tuple(image.flatten().tolist()), tuple(image.flip(3).flatten().tolist())}


def test_what_fits_is_chosen_and_said(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    photographs = generator.normal(128, 30, (50, 3, 32, 32)).clip(0, 255).astype(np.float32)
    drawings = np.where(generator.random((50, 1, 32, 32)) < 0.2, 255, 0).astype(np.float32)
    assert choose("auto", photographs)[0] == Augmentation(4, True)
    assert choose("auto", drawings) == (None, choose("auto", drawings)[1])
    assert "near black or white" in choose("auto", drawings)[1]
    assert choose("auto", photographs[..., :8, :8])[0] is None
    assert choose("shift", drawings)[0] == Augmentation(4, False)
    assert choose("flip, shift", drawings)[0] == Augmentation(4, True)
    assert choose("none", photographs)[0] is None
    with pytest.raises(ArgumentError, match="augment is 'rotate'"):
        choose("shift,rotate", photographs)
    folder = tasks.write_images(tmp_path / "x", size=16)
    plain, varied = data.load(folder, augment="none"), data.load(folder, augment="flip")
    assert plain.fingerprint != varied.fingerprint
    assert (plain.augment, varied.augment) == (None, Augmentation(0, True))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets do not lie beside the project")
def test_mnist_is_writing() -> None:
    found = find(REAL / "mnist10k.npz")
    images = np.stack([picture for _, (_, picture) in zip(range(300), found.each(), strict=False)])
    assert len(found.labels) == 10_000
    assert choose("auto", images[:, None].astype(np.float32))[0] is None
