"""The data sets: the same for a seed, split without overlap, never damaged, and with clear errors."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import pickle
import random
import socket
import string
import subprocess
import sys
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.datasets import CIFAR10, FashionMNIST

from lrlab import data, downloads, glyphs

FEW: dict[str, Any] = {"count": 60, "side": 12, "characters": "ABC"}  # glyphs that are drawn in a moment


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's own folders."""
    monkeypatch.setenv("LRLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LRLAB_DATA", str(tmp_path / "data"))
    return tmp_path


def splits(dataset: data.Dataset) -> list[data.Split]:
    return [dataset.train, dataset.validation, dataset.test]


def same(one: data.Dataset, other: data.Dataset) -> bool:
    """Bit by bit."""
    return all(torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(splits(one), splits(other), strict=True))


def rows(x: torch.Tensor) -> list[bytes]:
    return sorted(row.numpy().tobytes() for row in x.flatten(1))


# Shapes, splits, standardisation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "sizes", "shape", "classes"),
    [
        ("digits", {}, [1197, 300, 300], (1, 8, 8), 10),
        ("glyphs", {"count": 432, "side": 10}, [288, 72, 72], (1, 10, 10), 36),
        ("photos", {}, [2, 0, 0], (3, 427, 640), 2),
    ],
)
def test_shapes_and_types(name: str, options: dict, sizes: list[int], shape: tuple, classes: int) -> None:
    dataset = data.load(name, device="cpu", **options)
    assert [len(s.x) for s in splits(dataset)] == [len(s.y) for s in splits(dataset)] == sizes
    assert dataset.image_shape == shape and len(dataset.classes) == classes and dataset.name == name
    for split in splits(dataset):
        assert split.x.shape[1:] == shape and split.x.dtype == torch.float32 and split.x.is_contiguous()
        assert split.y.dtype == torch.int64
    assert "\n" not in dataset.description


def test_glyphs_are_12_000_by_default() -> None:
    dataset = data.load("glyphs", device="cpu")
    assert [len(s.y) for s in splits(dataset)] == [8000, 2000, 2000]
    assert dataset.classes == tuple(string.digits + string.ascii_uppercase) and dataset.image_shape == (1, 16, 16)


def test_digits_are_divided_without_loss_or_overlap() -> None:
    dataset = data.load("digits", device="cpu")
    pixels = [dataset.pixels(s.x).mul(16).round() for s in splits(dataset)]
    everything = torch.tensor(sklearn.datasets.load_digits().images, dtype=torch.float32).unsqueeze(1)
    assert rows(torch.cat(pixels)) == rows(everything)


def test_labels_stay_with_their_images() -> None:
    dataset = data.load("digits", device="cpu", seed=3)
    bunch = sklearn.datasets.load_digits()
    truth = {image.astype(np.float32).tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)}
    for split in splits(dataset):
        images = dataset.pixels(split.x).mul(16).round().numpy()
        assert [truth[image.tobytes()] for image in images] == split.y.tolist()


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=200).map(np.array),
    sizes=st.tuples(st.floats(0, 0.5), st.floats(0, 0.49)),
    seed=st.integers(0, 2**63 - 1),
)
@settings(deadline=None)
def test_every_split_is_stratified(labels: np.ndarray, sizes: tuple[float, float], seed: int) -> None:
    validation, test = (int(share * len(labels)) for share in sizes)
    parts = data._split(labels, validation, test, seed)
    assert [len(part) for part in parts] == [len(labels) - validation - test, validation, test]
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for part in parts:
        for label in np.unique(labels):
            # One end of a part may be off by one example, and so may the other.
            assert abs((labels[part] == label).sum() - len(part) * (labels == label).mean()) <= 2


def test_images_are_standardised_by_the_training_split_alone() -> None:
    for dataset in (data.load("digits", device="cpu"), data.load("glyphs", device="cpu", **FEW)):
        assert dataset.train.x.mean().abs() < 1e-5 and abs(dataset.train.x.std(correction=0) - 1) < 1e-5
        assert dataset.validation.x.mean().abs() > 1e-5
        pixels = torch.cat([dataset.pixels(s.x) for s in splits(dataset)])
        assert pixels.min() > -1e-6 and pixels.max() < 1 + 1e-6 and pixels.max() > 0.99


def test_statistics_per_channel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(7, 3, 5, 5), dtype=np.uint8)
    pixels[:, 2] = 9
    mean, scale = data._mean_and_scale(pixels, 255)
    assert np.allclose(mean, (pixels / 255).mean((0, 2, 3)), rtol=1e-12)
    assert np.allclose(scale[:2], (pixels / 255).std((0, 2, 3))[:2], rtol=1e-12)
    assert scale[2] == 1.0  # a channel without contrast stays finite


def test_photos_are_the_photographs() -> None:
    photos = data.load("photos", device="cpu")
    china = sklearn.datasets.load_sample_image("china.jpg")
    assert photos.classes == ("china", "flower") and photos.train.y.tolist() == [0, 1]
    assert np.array_equal((photos.train.x[0] * 255).round().byte().permute(1, 2, 0).numpy(), china)
    assert torch.equal(photos.pixels(photos.train.x), photos.train.x)


# Seeds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), [("digits", {}), ("digits", {"per_class": 3}), ("glyphs", FEW)])
def test_a_seed_gives_the_same_data_bit_by_bit(name: str, options: dict, own_folders: Path) -> None:
    first = data.load(name, device="cpu", seed=5, **options)
    for file in (own_folders / "cache").glob("*"):
        file.unlink()
    torch.manual_seed(999)
    assert same(first, data.load(name, device="cpu", seed=5, **options))
    assert not same(first, data.load(name, device="cpu", seed=6, **options))


def test_loading_leaves_the_random_generators_alone() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    data.load("digits", device="cpu")
    data.load("glyphs", device="cpu", **FEW)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])  # noqa: NPY002


def test_glyphs_do_not_depend_on_threads_or_on_how_many_follow() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = glyphs.draw(1100, 12, "ABC", seed=0)
        torch.set_num_threads(2)
        assert np.array_equal(one, glyphs.draw(1100, 12, "ABC", seed=0))
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(one[:700], glyphs.draw(700, 12, "ABC", seed=0))


def test_per_class_takes_as_many_of_each_and_the_smaller_lies_in_the_larger() -> None:
    whole = data.load("digits", device="cpu")
    few, more = (data.load("digits", device="cpu", per_class=n) for n in (2, 90))
    for dataset, count in ((few, 2), (more, 90)):
        assert dataset.train.y.bincount().tolist() == [count] * 10
        assert len(dataset.validation.y) == len(dataset.test.y) == 300
        assert torch.equal(dataset.test.y, whole.test.y)
    small, large, full = (rows((d.pixels(d.train.x) * 16).round()) for d in (few, more, whole))
    assert set(small) < set(large) < set(full)
    assert few.mean != more.mean  # what is not trained on does not leak into the standardisation


def test_source_gives_the_data_again_and_is_json() -> None:
    first = data.load("glyphs", device="cpu", seed=np.int64(4), per_class=np.int64(5), **FEW)
    source = json.loads(json.dumps(first.source))
    assert source == {"name": "glyphs", "seed": 4, "per_class": 5, **FEW}
    assert same(first, data.load(**source, device="cpu"))
    assert data.load("digits", device="cpu").source == {"name": "digits", "seed": 0}


# The glyphs -------------------------------------------------------------------------------------------------------


def test_each_face_draws_each_default_character_inside_the_picture() -> None:
    for face in glyphs.FACES:
        ink = glyphs.draw_masters(face, glyphs.CHARACTERS)
        share = ink.mean((1, 2))
        assert share.min() > 0.01 and share.max() < 0.5, face
        margin = ink.copy()
        margin[:, 4:-4, 4:-4] = False
        assert not margin.any(), face


def test_characters_keep_their_relative_size() -> None:
    for face in glyphs.FACES:
        small, large = glyphs.draw_masters(face, "oO").any(2).sum(1)
        assert small < 0.8 * large, face


def test_faces_that_cannot_tell_two_characters_apart_are_left_out() -> None:
    everything = len(glyphs.usable_fields("AB"))
    assert everything == len(glyphs.FACES) == 16
    sans_serif = 5  # DejaVu Sans in four cuts and cmss10 draw "l" and "I" as one bar
    assert len(glyphs.usable_fields("lI")) == everything - sans_serif
    assert len(glyphs.usable_fields("<>")) == everything - 4  # Computer Modern draws "¡" and "¿" there


def test_glyphs_carry_the_right_labels() -> None:
    """The upright master of the label is nearer than that of any other character, nearly always."""
    characters = "AHLOTX7"
    pixels, labels = glyphs.draw(700, 32, characters, seed=0), np.arange(700) % 7
    masters = np.stack([glyphs.draw_masters(face, characters) for face in glyphs.FACES]).mean(0)
    masters = masters.reshape(len(characters), 32, 4, 32, 4).mean((2, 4)).reshape(len(characters), -1)
    images = pixels.reshape(700, -1) / 255
    likeness = (images @ masters.T) / np.linalg.norm(masters, axis=1)
    assert (likeness.argmax(1) == labels).mean() > 0.8


def test_glyphs_vary() -> None:
    pixels = glyphs.draw(160, 24, "AB", seed=0)[::2, 0] / 255
    assert len(np.unique(pixels.reshape(80, -1), axis=0)) == 80
    ink = pixels.sum((1, 2))
    assert ink.max() > 1.8 * ink.min()
    centre = (pixels.sum(1) @ np.arange(24)) / ink
    assert centre.max() - centre.min() > 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"characters": "A"}, ValueError, "at least two characters, got 'A'"),
        ({"characters": 12}, ValueError, "at least two characters, got 12"),
        ({"characters": "ABA"}, ValueError, r"each must occur once, but \['A'\] repeat"),
        ({"characters": "A B"}, ValueError, "' ' draws nothing"),
        ({"characters": "A漢"}, ValueError, r"\['漢'\] are in none"),
        ({"characters": "AА"}, ValueError, "no face tells all of them apart .*leave one of the look-alikes out"),
        ({"side": 7}, ValueError, "side must be a whole number from 8 to 128, got 7"),
        ({"side": 1000}, ValueError, "side must be a whole number from 8 to 128, got 1000"),
        ({"side": 16.0}, TypeError, "side must be a whole number from 8 to 128, got 16.0"),
        ({"count": 100}, ValueError, "count must be a whole number from 216 on, got 100"),
        ({"count": True}, TypeError, "count must be a whole number from 216 on, got True"),
        ({"size": 100}, TypeError, "'glyphs' has no option 'size'; it has per_class, count, side, characters"),
    ],
)
def test_glyphs_options_are_checked(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        data.load("glyphs", device="cpu", **options)


# The cache of glyphs ----------------------------------------------------------------------------------------------


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_glyphs_are_drawn_once(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load("glyphs", device="cpu", **FEW)
    monkeypatch.setattr(glyphs, "draw", lambda *_: pytest.fail("drawn again"))
    assert same(first, data.load("glyphs", device="cpu", **FEW))
    only_file(own_folders / "cache")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "one bit": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "cut short": lambda content: content[: len(content) // 2],
    "last byte lost": lambda content: content[:-1],
    "empty": lambda content: b"",
    "another file": lambda content: b"<html>404</html>" * 100,
    "zeros": lambda content: bytes(len(content)),
    "hash": lambda content: content.replace(b'"sha256":"', b'"sha256":"0', 1).replace(b" ", b"", 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_noticed_and_rebuilt(own_folders: Path, damage: str) -> None:
    first = data.load("glyphs", device="cpu", **FEW)
    file = only_file(own_folders / "cache")
    sound = file.read_bytes()
    damaged = DAMAGES[damage](sound)
    assert damaged != sound
    file.write_bytes(damaged)
    with pytest.warns(RuntimeWarning, match="are damaged: drawing them again") as caught:
        assert same(first, data.load("glyphs", device="cpu", **FEW))
    assert len(caught) == 1 and "\n" not in str(caught[0].message) and caught[0].filename == __file__
    assert file.read_bytes() == sound


def test_no_flipped_byte_reaches_the_training(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header, metadata or pixels: whatever byte is wrong, the pictures are right."""
    monkeypatch.setattr(glyphs, "usable_fields", functools.cache(glyphs.usable_fields))
    first = data.load("glyphs", device="cpu", **FEW)
    file = only_file(own_folders / "cache")
    sound = file.read_bytes()
    chance = random.Random(0)
    for position in [*range(0, 200, 9), *(chance.randrange(len(sound)) for _ in range(10))]:
        damaged = bytearray(sound)
        damaged[position] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            assert same(first, data.load("glyphs", device="cpu", **FEW)), position


def test_the_cache_of_another_recipe_is_not_taken(own_folders: Path) -> None:
    data.load("glyphs", device="cpu", seed=1, **FEW)
    other = only_file(own_folders / "cache")
    wanted = data.load("glyphs", device="cpu", seed=2, **FEW)
    (file,) = set((own_folders / "cache").iterdir()) - {other}
    file.write_bytes(other.read_bytes())
    with pytest.warns(RuntimeWarning, match="are damaged"):
        assert same(wanted, data.load("glyphs", device="cpu", seed=2, **FEW))


def test_a_cache_that_cannot_be_written_is_no_obstacle(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = data.load("glyphs", device="cpu", **FEW)
    (own_folders / "a-file").write_text("no folder")
    monkeypatch.setenv("LRLAB_CACHE", str(own_folders / "a-file" / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(expected, data.load("glyphs", device="cpu", **FEW))


def test_a_full_disk_leaves_no_half_file(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(glyphs.os, "replace", full)
    data.load("glyphs", device="cpu", **FEW)
    assert list((own_folders / "cache").iterdir()) == []


def test_two_processes_at_once_do_not_disturb_each_other(own_folders: Path) -> None:
    """Both draw, write, read and delete one file, over and over. Half a file would give a warning, here an error."""
    script = f"""
import hashlib, pathlib, sys, warnings
from lrlab import glyphs

warnings.simplefilter("error", RuntimeWarning)
fields = glyphs.usable_fields("ABC")
glyphs.usable_fields = lambda characters: fields  # the slow part
folder = pathlib.Path({str(own_folders / "cache")!r})
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    pixels, labels = glyphs.pictures(60, 12, "ABC", 0, folder)
    print(hashlib.sha256(pixels.tobytes()).hexdigest())
    for file in folder.glob("*.safetensors"):
        file.unlink(missing_ok=True)
glyphs.pictures(60, 12, "ABC", 0, folder)
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", script], **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len({line for out, _ in answers for line in out.split()}) == 1
    data.load("glyphs", device="cpu", **FEW)
    assert only_file(own_folders / "cache").suffix == ".safetensors"


# Downloads, from a server of our own ------------------------------------------------------------------------------


class Mirror:
    """A web server on this machine that holds a few files, and may behave badly."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.truncate = False
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requests.append(self.path)
                content = mirror.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write((content or b"")[: len(content or b"") // 2 if mirror.truncate else None])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Both sets, tiny: 10 examples a class to train and 2 to test, published with their true hashes."""
    mirror = Mirror()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    publish_fashion(mirror, monkeypatch)
    publish_cifar(mirror, monkeypatch)
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()


def examples(count: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(count).integers(0, 256, size=(count, *shape), dtype=np.uint8)
    return images, np.arange(count, dtype=np.uint8) % 10


def publish_fashion(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = []
    for split, count in (("train", 100), ("t10k", 20)):
        images, labels = examples(count, 28, 28)
        header = [np.array([2051, count, 28, 28], dtype=">i4"), np.array([2049, count], dtype=">i4")]
        for kind, head, body in (("images-idx3", header[0], images), ("labels-idx1", header[1], labels)):
            name, content = f"{split}-{kind}-ubyte.gz", gzip.compress(head.tobytes() + body.tobytes())
            mirror.files[f"/{name}"] = content
            resources.append((name, hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(FashionMNIST, "mirrors", [mirror.address])
    monkeypatch.setattr(FashionMNIST, "resources", resources)


def publish_cifar(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def batch(count: int) -> dict:
        images, labels = examples(count, 3072)
        return {"data": images, "labels": labels.tolist()}

    contents = {f"data_batch_{k}": batch(20) for k in range(1, 6)} | {"test_batch": batch(30)}
    contents["batches.meta"] = {"label_names": [f"class {k}" for k in range(10)]}
    files = {name: pickle.dumps(content) for name, content in contents.items()}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    mirror.files["/cifar-10-python.tar.gz"] = archive.getvalue()
    hashes = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(CIFAR10, "url", f"{mirror.address}cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.getvalue()).hexdigest())
    monkeypatch.setattr(CIFAR10, "train_list", [[name, hashes[name]] for name in files if name.startswith("data")])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", hashes["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": hashes["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)


SETS = {"fashion-mnist": ([90, 10, 20], (1, 28, 28)), "cifar10": ([90, 10, 30], (3, 32, 32))}


@pytest.mark.parametrize("name", SETS)
def test_a_download_is_made_once_and_only_when_asked(name: str, mirror: Mirror, own_folders: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        data.load(name, device="cpu")
    assert mirror.requests == [] and not data.at_hand(name)
    assert f"data.load('{name}', download=True)" in str(refused.value) and "data.load('glyphs')" in str(refused.value)

    dataset = data.load(name, device="cpu", download=True)
    sizes, shape = SETS[name]
    assert [len(s.y) for s in splits(dataset)] == sizes and dataset.image_shape == shape
    assert dataset.validation.y.bincount().tolist() == [1] * 10 and len(dataset.mean) == len(dataset.scale) == shape[0]
    truth, labels = examples(sizes[2], 28, 28) if name == "fashion-mnist" else examples(30, 3072)
    pixels = (dataset.pixels(dataset.test.x) * 255).round().byte().numpy().reshape(sizes[2], -1)
    assert np.array_equal(pixels, truth.reshape(sizes[2], -1)) and dataset.test.y.tolist() == labels.tolist()

    fetched = len(mirror.requests)
    assert data.at_hand(name)
    assert same(dataset, data.load(name, device="cpu")) and same(dataset, data.load(name, device="cpu", download=True))
    assert len(mirror.requests) == fetched
    assert [file.name for file in (own_folders / "data").iterdir()] == [downloads.SOURCES[name].folder]
    assert dataset.source == {"name": name, "seed": 0}


def one_clear_error(name: str) -> str:
    with pytest.raises(ConnectionError) as failed:
        data.load(name, device="cpu", download=True)
    error, message = failed.value, str(failed.value)
    assert error.__cause__ is None and error.__suppress_context__  # no second traceback below
    assert "\n" not in message and message.startswith(f"{name} could not be downloaded: ")
    assert message.endswith("Without a network use an embedded set: data.load('glyphs') or data.load('digits').")
    assert list(data.data_folder().iterdir()) == []
    return message


@pytest.mark.parametrize("name", SETS)
def test_without_a_network_one_error_names_the_embedded_set(
    name: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setattr(FashionMNIST, "mirrors", [closed])
    monkeypatch.setattr(CIFAR10, "url", f"{closed}cifar-10-python.tar.gz")
    assert "refused" in one_clear_error(name)


@pytest.mark.parametrize("name", SETS)
def test_a_download_that_breaks_off_leaves_nothing_behind(name: str, mirror: Mirror) -> None:
    mirror.truncate = True
    assert "corrupted" in one_clear_error(name)
    mirror.truncate = False
    assert len(data.load(name, device="cpu", download=True).train.y) == 90


def test_a_file_that_was_moved_away(mirror: Mirror) -> None:
    mirror.files.clear()
    assert "404" in one_clear_error("cifar10")


def test_a_server_that_never_answers(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/cifar-10-python.tar.gz")
        assert "timed out" in one_clear_error("cifar10")
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("fashion-mnist", "FashionMNIST/raw/train-images-idx3-ubyte"),
        ("fashion-mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte"),
        ("fashion-mnist", "FashionMNIST/raw/train-labels-idx1-ubyte.gz"),
        ("cifar10", "cifar-10-batches-py/data_batch_3"),
    ],
)
def test_damaged_files_are_never_trained_on(name: str, file: str, mirror: Mirror, own_folders: Path) -> None:
    sound = data.load(name, device="cpu", download=True)
    path = own_folders / "data" / file
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # the length stays: torchvision would load Fashion-MNIST like that
    path.write_bytes(content)
    with pytest.raises(FileNotFoundError, match=f"{name} is damaged in .* download=True"):
        data.load(name, device="cpu")
    assert same(sound, data.load(name, device="cpu", download=True))
    assert same(sound, data.load(name, device="cpu"))


def test_folders_follow_the_environment(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRLAB_DATA")
    assert data.data_folder() == own_folders / "cache" / "data"
    monkeypatch.delenv("LRLAB_CACHE")
    assert data.cache_folder().name.lower() in ("lrlab", "cache") and data.cache_folder().is_absolute()
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(own_folders))
        assert data.cache_folder() == own_folders / "lrlab"


# Names, options, devices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"name": "digit"},
            ValueError,
            "unknown data set 'digit'; did you mean 'digits'\\? Known: digits, glyphs, photos",
        ),
        ({"name": "Fashion_MNIST"}, ValueError, "did you mean 'fashion-mnist'"),
        ({"name": "imagenet"}, ValueError, "unknown data set 'imagenet'. Known"),
        ({"name": 3}, ValueError, "unknown data set 3. Known"),
        ({"name": ["digits"]}, ValueError, "unknown data set .* Known"),
        ({"name": "digits", "count": 5}, TypeError, "data set 'digits' has no option 'count'; it has per_class"),
        ({"name": "digits", "download": True}, TypeError, "data set 'digits' has no option 'download'"),
        ({"name": "cifar10", "download": "yes"}, TypeError, "download must be True or False, got 'yes'"),
        ({"name": "digits", "seed": -1}, ValueError, "seed must be a whole number from 0 on, got -1"),
        ({"name": "digits", "seed": "0"}, TypeError, "seed must be a whole number from 0 on, got '0'"),
        ({"name": "digits", "per_class": 0}, ValueError, "per_class must be a whole number from 1 on, got 0"),
        ({"name": "digits", "per_class": 2.5}, TypeError, "per_class must be a whole number from 1 on, got 2.5"),
        (
            {"name": "digits", "per_class": 500},
            ValueError,
            "per_class=500, but one class has only 11. training examples",
        ),
        ({"name": "photos", "per_class": 2}, ValueError, "per_class=2, but one class has only 1"),
        ({"name": "digits", "device": "tpu"}, ValueError, "unknown device 'tpu'; known: 'auto', 'cpu', 'cuda'"),
        ({"name": "digits", "device": "meta"}, ValueError, "unknown device 'meta'"),
        ({"name": "digits", "device": None}, ValueError, "unknown device None"),
    ],
)
def test_bad_arguments_of_load(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        data.load(**{"device": "cpu", **arguments})


def test_names_are_what_load_knows() -> None:
    assert data.names() == ("digits", "glyphs", "photos", "fashion-mnist", "cifar10")
    assert [name for name in data.names() if data.at_hand(name)] == ["digits", "glyphs", "photos"]


def test_auto_takes_the_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert data.resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert data.resolve_device("auto") == data.resolve_device("cuda") == torch.device("cuda", 1)
    assert data.resolve_device(torch.device("cuda:0")) == torch.device("cuda", 0)
    with pytest.raises(ValueError, match="device='cuda:2' is not available: torch finds 2 CUDA devices"):
        data.resolve_device("cuda:2")


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        ValueError, match="device='cuda' is not available: torch finds 0 CUDA devices. Use 'auto' or 'cpu'"
    ):
        data.resolve_device("cuda")
    with pytest.raises(ValueError, match="device='mps' is not available"):
        data.load("digits", device="mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert data.resolve_device("mps") == torch.device("mps")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_has_the_same_data() -> None:
    here, there = data.load("digits", device="cpu"), data.load("digits", device="cuda")
    assert there.train.x.device == there.test.y.device == data.resolve_device("cuda")
    assert same(here, there.to("cpu"))


def test_to_changes_x_and_leaves_labels() -> None:
    digits = data.load("digits", device="cpu")
    double = digits.to("cpu", torch.float64)
    assert double.train.x.dtype == torch.float64 and double.train.y.dtype == torch.int64
    assert torch.equal(double.train.x.float(), digits.train.x) and digits.train.x.dtype == torch.float32
    assert double.classes == digits.classes and double.mean == digits.mean and double.source == digits.source
    assert same(digits, digits.to())
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        digits.to("gpu")


def test_repr_is_one_short_line() -> None:
    assert repr(data.load("digits", device="cpu")) == (
        "Dataset(digits: 1,197 train, 300 validation, 300 test; 1x8x8; 10 classes)"
    )


# The user's own data ----------------------------------------------------------------------------------------------


def own(count: int = 50, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *(shape or (2,)), generator=generator), torch.arange(count) % 5


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (7, 3)])
def test_own_tensors_of_any_shape(shape: tuple[int, ...]) -> None:
    x, y = own(50, *shape)
    dataset = data.from_tensors(x, y, device="cpu", name="mine")
    assert [len(s.y) for s in splits(dataset)] == [30, 10, 10] and dataset.image_shape == shape
    assert rows(torch.cat([s.x for s in splits(dataset)])) == rows(x)
    assert dataset.classes == ("0", "1", "2", "3", "4") and dataset.name == "mine" and dataset.source is None
    for split in splits(dataset):
        assert split.y.bincount().tolist() == [len(split.y) // 5] * 5
    assert same(dataset, data.from_tensors(x.numpy(), y.numpy(), device="cpu"))
    assert not same(dataset, data.from_tensors(x, y, device="cpu", seed=1))


def test_own_examples_keep_their_labels() -> None:
    y = torch.arange(60) % 3
    dataset = data.from_tensors(torch.stack([y * 10.0, torch.arange(60.0)], 1), y, device="cpu")
    for split in splits(dataset):
        assert torch.equal(split.x[:, 0], split.y * 10.0)


def test_own_data_is_copied_and_detached() -> None:
    x, y = own()
    x.requires_grad_()
    dataset = data.from_tensors(x, y, device="cpu")
    before = dataset.train.x.clone()
    with torch.no_grad():
        x.zero_()
    y.zero_()
    assert torch.equal(dataset.train.x, before) and not dataset.train.x.requires_grad and dataset.train.y.any()


def test_own_types() -> None:
    x, y = own()
    halves = data.from_tensors(x.double(), y.to(torch.uint8), device="cpu")
    assert halves.train.x.dtype == torch.float32 and halves.train.y.dtype == torch.int64
    pixels = np.full((50, 1, 4, 4), 255, dtype=np.uint8)
    assert torch.equal(data.from_tensors(pixels, y, device="cpu").train.x, torch.ones(30, 1, 4, 4))
    locked = np.broadcast_to(np.arange(50.0)[::-1, None], (50, 3))  # cannot be written to, runs backwards
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.from_tensors(locked, y, device="cpu").train.x.max() <= 49


def test_own_class_names_and_shares() -> None:
    x, y = own()
    dataset = data.from_tensors(x, y, classes=["a", "b", "c", "d", "e", "never"], validation=0.5, test=0, device="cpu")
    assert len(dataset.classes) == 6 and [len(s.y) for s in splits(dataset)] == [25, 25, 0]
    tiny = data.from_tensors(x[:3], torch.tensor([0, 1, 0]), device="cpu")
    assert [len(s.y) for s in splits(tiny)] == [1, 1, 1]
    with pytest.raises(ValueError, match=r"your data has no images: an example has shape \(2,\)"):
        tiny.pixels(tiny.train.x)


X, Y = own()


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "message"),
    [
        (X.tolist(), Y, {}, TypeError, "x must be a tensor or an array, got list"),
        (X, Y.tolist(), {}, TypeError, "y must be a tensor or an array, got list"),
        (X.to(torch.complex64), Y, {}, TypeError, "x must hold real numbers, got dtype torch.complex64"),
        (np.array([["a"]] * 50), Y, {}, TypeError, "x must hold real numbers, got dtype <U1"),
        (X[:, 0], Y, {}, ValueError, r"at least one of features, \[N, ...\]; got \[50\]"),
        (X[:0], Y[:0], {}, ValueError, r"x is empty: its shape is \[0, 2\]"),
        (X[:, :0], Y, {}, ValueError, r"x is empty: its shape is \[50, 0\]"),
        (X[:40], Y, {}, ValueError, "x and y must be equally long: x has 40 examples, y has 50 labels"),
        (X / torch.zeros(1), Y, {}, ValueError, "x has 100 values that are NaN or infinite"),
        (X.double() * 1e300, Y, {}, ValueError, "NaN or infinite .as float32."),
        (X, Y.float(), {}, ValueError, r"y must hold class labels as integers, got float32. Whole numbers: y.long\(\)"),
        (X, Y.bool(), {}, ValueError, "y must hold class labels as integers, got bool"),
        (X, np.array(["cat"] * 50), {}, ValueError, "y must hold class labels as integers, got <U3"),
        (X, torch.eye(5, dtype=torch.int64)[Y], {}, ValueError, r"shape \[N\]; got \[50, 5\] \(one-hot\? y.argmax"),
        (X, Y - 1, {}, ValueError, "y must hold labels from 0 on, but its smallest is -1"),
        (X, Y + 1, {}, ValueError, "y has 5 different labels up to 5, but no 0: number the classes 0, 1, 2"),
        (X, Y * 2, {}, ValueError, "y has 5 different labels up to 8, but no 1"),
        (X, Y, {"classes": ["a", "b"]}, ValueError, "y has the label 4, but 2 classes have the labels 0 to 1"),
        (X, Y, {"classes": "abcde"}, ValueError, "classes must be a list of different names, got 'abcde'"),
        (X, Y, {"classes": ["a"] * 5}, ValueError, "classes must be a list of different names"),
        (X, Y, {"classes": [0, 1, 2, 3, 4]}, ValueError, "classes must be a list of different names"),
        (X, Y, {"validation": 1.0}, ValueError, r"validation must be a share of the examples in \[0, 1\), got 1.0"),
        (X, Y, {"test": -0.1}, ValueError, r"test must be a share of the examples in \[0, 1\), got -0.1"),
        (X, Y, {"test": float("nan")}, ValueError, "test must be a share"),
        (X, Y, {"validation": "half"}, ValueError, "validation must be a share .* got 'half'"),
        (
            X,
            Y,
            {"validation": 0.6, "test": 0.6},
            ValueError,
            "nothing is left to train on: validation=0.6 and test=0.6",
        ),
        (X[:2], Y[:2], {}, ValueError, "nothing is left to train on: .* of 2 examples take 1 and 1"),
        (X, Y, {"seed": -1}, ValueError, "seed must be a whole number from 0 on"),
        (X, Y, {"device": "gpu"}, ValueError, "unknown device 'gpu'"),
    ],
)
def test_own_data_is_checked(x: object, y: object, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        data.from_tensors(x, y, **{"device": "cpu", **options})  # type: ignore[arg-type]
