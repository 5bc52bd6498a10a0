"""A folder of images as a data set: what is read, what is skipped, what is refused, and that it can be replayed."""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from lrlab import Run, _folders, data


def picture(seed: int, size: tuple[int, int] = (20, 20), mode: str = "RGB") -> Image.Image:
    """Noise, so that no two images are the same."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def fill(root: Path, classes: str = "cat dog", count: int = 10, mode: str = "RGB", size: tuple = (20, 20)) -> Path:
    """``count`` images in the folder of each class."""
    for number, name in enumerate(classes.split()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(100 * number + index, size, mode).save(root / name / f"{index}.png")
    return root


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return fill(tmp_path / "pets")


def load(path: Path, **options: object) -> data.Dataset:
    """Without a warning, or the test fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return data.from_folder(path, device="cpu", **options)


def splits(dataset: data.Dataset) -> tuple[data.Split, ...]:
    return dataset.train, dataset.validation, dataset.test


def same(one: data.Dataset, other: data.Dataset) -> bool:
    return all(torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(splits(one), splits(other), strict=True))


def single(path: Path, image: Image.Image, **save: object) -> np.ndarray:
    """One image through the reader: pixels [C, H, W] as bytes. The class beside it has the same image."""
    for name in ("a", "b"):
        (path / name).mkdir(parents=True)
        image.save(path / name / f"image.{save.get('format', 'PNG')}".lower(), **save)
    pixels = _folders.read(path, None, None).parts["train"].pixels
    assert np.array_equal(pixels[0], pixels[1])
    return pixels[0]


# What comes out ---------------------------------------------------------------------------------------------------


def test_a_folder_of_class_folders(pets: Path) -> None:
    dataset = load(pets)
    assert repr(dataset) == "Dataset(pets: 12 train, 4 validation, 4 test; 3x20x20; 2 classes)"
    assert dataset.classes == ("cat", "dog")
    assert dataset.description == "20 images, 20 x 20 pixels, RGB (a folder)"
    for split, each in zip(splits(dataset), (6, 2, 2), strict=True):
        assert split.y.bincount().tolist() == [each, each]
        assert split.x.dtype == torch.float32 and split.y.dtype == torch.int64
    assert dataset.train.x.mean((0, 2, 3)).abs().max() < 1e-5
    assert (dataset.train.x.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_every_image_is_there_once_with_its_own_label(pets: Path) -> None:
    dataset = load(pets)
    truth = {
        np.asarray(Image.open(file)).tobytes(): dataset.classes.index(file.parent.name) for file in pets.glob("*/*")
    }
    seen = {}
    for x, y in splits(dataset):
        for image, label in zip(dataset.pixels(x).mul(255).round().byte().permute(0, 2, 3, 1).numpy(), y, strict=True):
            seen[image.tobytes()] = int(label)
    assert seen == truth and len(truth) == 20


def test_a_seed_gives_the_same_data_whatever_order_the_disk_has(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(pets, seed=3)
    forwards = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: sorted(forwards(folder), reverse=True))
    assert same(first, load(pets, seed=3))
    assert not same(first, load(pets, seed=4))


def test_few_per_class_lie_in_the_larger_choice(pets: Path) -> None:
    few, more = load(pets, per_class=2), load(pets, per_class=5)
    assert few.train.y.bincount().tolist() == [2, 2] and torch.equal(few.test.y, more.test.y)
    rows = [{row.round(decimals=3).numpy().tobytes() for row in d.pixels(d.train.x)} for d in (few, more)]
    assert len(rows[0]) == 4 and rows[0] < rows[1]
    with pytest.raises(ValueError, match="per_class=7, but one class has only 6 training examples"):
        load(pets, per_class=7)


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("Train", "val", "TEST"), ("training", "validation", "testing")]
)
def test_folders_for_the_parts(tmp_path: Path, names: tuple[str, ...]) -> None:
    for count, part in zip((5, 2, 3), names, strict=True):
        fill(tmp_path / part, count=count)
    dataset = load(tmp_path, validation=0.9, test=0.9)  # shares are for parts without a folder
    assert [split.y.bincount().tolist() for split in splits(dataset)] == [[5, 5], [2, 2], [3, 3]]
    assert not torch.equal(dataset.train.y, dataset.train.y.sort().values), "the training split is in a random order"


def test_a_part_without_a_folder_is_taken_from_train(tmp_path: Path) -> None:
    fill(tmp_path / "train", count=10), fill(tmp_path / "val", count=3)
    assert [len(split.y) for split in splits(load(tmp_path, test=0.3))] == [14, 6, 6]
    assert [len(split.y) for split in splits(load(tmp_path, test=0))] == [20, 6, 0]


def test_a_class_may_be_called_train_where_others_are_no_parts(tmp_path: Path) -> None:
    assert load(fill(tmp_path, "bus train")).classes == ("bus", "train")


# Size and mode ----------------------------------------------------------------------------------------------------


def test_images_of_one_size_stay_as_they_are_and_others_become_64(tmp_path: Path) -> None:
    fill(tmp_path / "one", size=(24, 18))
    assert load(tmp_path / "one").image_shape == (3, 18, 24)
    assert load(tmp_path / "one", side=9).image_shape == (3, 9, 9)
    picture(1, (30, 90)).save(fill(tmp_path / "two") / "cat" / "tall.jpg")
    assert load(tmp_path / "two").image_shape == (3, 64, 64)


def test_the_middle_is_cut_out(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, :10], wide[:, 10:20], wide[:, 20:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(wide).save(tmp_path / name / "wide.png")
        Image.fromarray(wide.swapaxes(0, 1).copy()).save(tmp_path / name / "tall.png")
    pixels = _folders.read(tmp_path, 10, None).parts["train"].pixels
    assert pixels.shape == (4, 3, 10, 10)
    assert (pixels[:, 1] == 255).all() and not pixels[:, [0, 2]].any()


def test_resizing_averages(tmp_path: Path) -> None:
    """A fine chequerboard becomes grey, not one of its two colours."""
    board = np.indices((64, 64)).sum(0) % 2 * 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(board.astype(np.uint8)).save(tmp_path / name / "board.png")
    pixels = _folders.read(tmp_path, 8, None).parts["train"].pixels
    assert abs(pixels.astype(int) - 128).max() < 12


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path) -> None:
    slope = np.linspace(0, 255, 512).astype(np.uint8)
    image = Image.fromarray(np.stack([np.tile(slope, (512, 1)), np.tile(slope[:, None], (1, 512))] * 2, 2)[..., :3])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "large.jpg", quality=95)
        image.save(tmp_path / name / "large.png")
    jpeg, png = _folders.read(tmp_path, 16, None).parts["train"].pixels[:2].astype(int)
    assert np.abs(jpeg - png).max() <= 4


def test_grey_by_the_files_or_by_option(tmp_path: Path) -> None:
    assert load(fill(tmp_path / "grey", mode="L")).image_shape == (1, 20, 20)
    assert load(tmp_path / "grey", grey=False).image_shape == (3, 20, 20)
    picture(7).save(tmp_path / "grey" / "cat" / "colour.png")
    assert load(tmp_path / "grey").image_shape == (3, 20, 20)
    grey = load(tmp_path / "grey", grey=True)
    assert grey.image_shape == (1, 20, 20) and grey.description == "21 images, 20 x 20 pixels, grey (a folder)"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_is_read(tmp_path: Path, mode: str) -> None:
    suffix, image = "png", picture(0).convert("L" if mode in ("I;16", "LA") else mode)
    if mode == "LA":
        image.putalpha(255)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    if mode in ("CMYK", "YCbCr"):
        suffix = "tiff"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / f"image.{suffix}")
    assert Image.open(tmp_path / "a" / f"image.{suffix}").mode == mode
    pixels = _folders.read(tmp_path, None, None).parts["train"].pixels[0]
    wanted = np.asarray(image.convert("RGB")) if mode != "I;16" else np.asarray(image)[..., None] >> 8
    if mode in ("1", "L", "LA", "I;16"):
        wanted = wanted[..., :1]
    assert np.array_equal(pixels, wanted.transpose(2, 0, 1))


def test_sixteen_bits_are_not_cut_off(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    assert np.array_equal(single(tmp_path / "png", Image.fromarray(ramp))[0].ravel(), np.arange(256))
    wide = Image.fromarray(ramp.astype(np.int32))  # mode I
    assert np.array_equal(single(tmp_path / "tiff", wide, format="TIFF")[0].ravel(), np.arange(256))


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))  # an invisible red
    image.paste((0, 0, 200, 255), (4, 0, 8, 8))
    pixels = single(tmp_path / "rgba", image)
    assert (pixels[:, :, :4] == 255).all() and (pixels[:, 0, 4] == [0, 0, 200]).all()
    half = single(tmp_path / "half", Image.new("RGBA", (4, 4), (0, 0, 0, 128)))
    assert (half == 127).all()
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([200, 0, 0, 0, 0, 200])
    palette.paste(1, (4, 0, 8, 8))
    pixels = single(tmp_path / "palette", palette, transparency=0)
    assert (pixels[:, :, :4] == 255).all() and (pixels[:, 0, 4] == [0, 0, 200]).all()
    grey = single(tmp_path / "grey", Image.new("L", (4, 4), 9), transparency=9)
    assert grey.shape == (1, 4, 4) and (grey == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int) -> None:
    """The eight ways a camera may hold a picture all show the same picture."""
    upright = picture(5, (6, 4))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how each is stored, in Pillow's numbers for transpose
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = single(tmp_path, stored, exif=exif)
    assert np.array_equal(pixels, np.asarray(upright).transpose(2, 0, 1))


def test_the_size_is_that_of_the_picture_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    fill(tmp_path, size=(6, 4), count=5)
    picture(50, (4, 6)).save(tmp_path / "cat" / "lying.png", exif=exif)
    assert load(tmp_path).image_shape == (3, 4, 6)


def test_the_first_picture_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (5, 5), colour) for colour in ("red", "blue")]
    pixels = single(tmp_path, frames[0], format="GIF", save_all=True, append_images=frames[1:])
    assert (pixels[0] == 255).all() and not pixels[1:].any()


# Skipped, and said ------------------------------------------------------------------------------------------------


def test_what_is_no_image_is_skipped_counted_and_named(pets: Path) -> None:
    clean = load(pets)
    (pets / "README.md").write_text("cats and dogs")
    (pets / "cat" / "notes.txt").write_text("mew")
    (pets / "cat" / "empty.png").touch()
    (pets / "cat" / "more").mkdir()
    whole = (pets / "dog" / "0.png").read_bytes()
    (pets / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (pets / "dog" / "evil\x1b[31m.png").write_text("")
    (pets / "dog" / "gone.png").symlink_to("nowhere.png")
    (pets / "dog" / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.warns(UserWarning) as caught:
        dataset = data.from_folder(pets, device="cpu")
    assert same(clean, dataset) and dataset.source == clean.source
    (text,) = (str(warning.message) for warning in caught)
    assert text.startswith("pets: 8 entries skipped: README.md (in no class folder), cat/empty.png (an empty file)")
    assert "cat/more (a folder in a class folder), cat/notes.txt (no image), dog/cut.png (damaged: " in text
    assert text.endswith(
        r"dog/evil\x1b[31m.png (an empty file), dog/gone.png (a link to nothing), dog/vector.eps (no image)"
    )
    assert caught[0].filename == __file__


def test_a_long_list_is_cut(pets: Path) -> None:
    for number in range(13):
        (pets / "cat" / f"note {number:02}.txt").write_text("mew")
    with pytest.warns(UserWarning, match=r"13 entries skipped: cat/note 00.*note 09.txt \(no image\), and 3 more$"):
        data.from_folder(pets, device="cpu")


def test_what_is_hidden_is_not_looked_at(pets: Path) -> None:
    clean = load(pets)
    for name in (".git", "__MACOSX", ".cache"):
        fill(pets / name, count=1)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (pets / name).write_text("clutter")
        (pets / "cat" / name).write_text("clutter")
    picture(0).save(pets / "cat" / "._0.png")
    assert same(clean, load(pets))


def test_a_decompression_bomb_is_skipped(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for factor, name in ((1.5, "warned.png"), (3, "refused.png")):  # Pillow warns of the one and refuses the other
        picture(1, (100, int(100 * factor))).save(pets / "cat" / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.warns(UserWarning, match="2 entries skipped") as caught:
        data.from_folder(pets, device="cpu")
    assert len(caught) == 1 and str(caught[0].message).count("more than 0 million pixels") == 2


def test_a_text_chunk_that_explodes_is_a_damaged_image(pets: Path) -> None:
    bomb = PngImagePlugin.PngInfo()
    bomb.add_text("comment", "0" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    picture(1).save(pets / "cat" / "bomb.png", pnginfo=bomb)
    with pytest.warns(UserWarning, match=r"1 entry skipped: cat/bomb.png \(damaged: "):
        data.from_folder(pets, device="cpu")


def test_the_form_is_that_of_the_sound_images(tmp_path: Path) -> None:
    """A damaged image in colour, and of another size, does not change what the others become."""
    fill(tmp_path, mode="L")
    picture(0, (90, 90)).save(tmp_path / "cat" / "cut.png")
    content = (tmp_path / "cat" / "cut.png").read_bytes()
    (tmp_path / "cat" / "cut.png").write_bytes(content[:2000])
    with pytest.warns(UserWarning, match=r"cat/cut.png \(damaged"):
        assert data.from_folder(tmp_path, device="cpu").image_shape == (1, 20, 20)


def test_numbers_without_a_white_are_skipped(pets: Path) -> None:
    Image.fromarray(np.ones((20, 20), np.float32)).save(pets / "cat" / "float.tiff")
    Image.fromarray(np.full((20, 20), 70_000, np.int32)).save(pets / "cat" / "wide.tiff")
    with pytest.warns(UserWarning, match=r"float.tiff \(floating-point pixels.*wide.tiff \(whole numbers beyond 16"):
        data.from_folder(pets, device="cpu")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(pets: Path) -> None:
    (pets / "cat" / "0.png").chmod(0)
    with pytest.warns(UserWarning, match=r"cat/0.png \(may not be read\)"):
        data.from_folder(pets, device="cpu")


# Refused ----------------------------------------------------------------------------------------------------------


def empty_class(pets: Path) -> None:
    (pets / "emu").mkdir()


def class_of_notes(pets: Path) -> None:
    (pets / "emu").mkdir()
    (pets / "emu" / "notes.txt").write_text("none yet")


def nested_class(pets: Path) -> None:
    fill(pets / "emu", "young old", 3)


def one_class(pets: Path) -> None:
    (pets / "dog").rename(pets / ".dog")


def flat(pets: Path) -> None:
    for folder in ("cat", "dog"):
        for file in list((pets / folder).iterdir()):
            file.rename(pets / f"{folder} {file.name}")
        (pets / folder).rmdir()


def layout_lacks_a_class(pets: Path) -> None:
    for name in ("cat", "dog"):
        (pets / name).rename(pets / f".{name}")
    fill(pets / "train"), fill(pets / "test", "cat emu")


def layout_without_classes(pets: Path) -> None:
    layout_lacks_a_class(pets)
    for file in list((pets / "test").glob("*/*")):
        file.rename(pets / "test" / f"{file.parent.name}{file.name}")
    for folder in ("cat", "emu"):
        (pets / "test" / folder).rmdir()


def layout_doubled(pets: Path) -> None:
    for name in ("cat", "dog"):
        (pets / name).rename(pets / f".{name}")
    fill(pets / "train"), fill(pets / "val"), fill(pets / "valid")


def layout_with_others(pets: Path) -> None:
    fill(pets / "train")


def few_of_a_class(pets: Path) -> None:
    for number in range(1, 10):
        (pets / "cat" / f"{number}.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty_class, r"the class folder .*emu has no image: add some, or remove the folder"),
        (class_of_notes, r"emu has no image \(1 entry skipped: emu/notes.txt \(no image\)\): add some"),
        (nested_class, r"emu has no image \(2 entries skipped: emu/old \(a folder in a class folder\), emu/young"),
        (one_class, r"has one class folder only, 'cat': to classify takes at least two"),
        (flat, r"has no class folders: put the images of each class into one of its own"),
        (layout_lacks_a_class, r"train lacks the class folders emu, which .* has elsewhere"),
        (layout_without_classes, r"test has no class folders"),
        (layout_doubled, r"has more than one folder for validation: train, val, valid"),
        (layout_with_others, r"train has no image \(2 entries skipped: train/cat \(a folder in a class folder\)"),
        (
            few_of_a_class,
            r"class 'cat' has too few images \(1\): none falls into the (validation|train|test) part",
        ),
    ],
)
def test_folders_that_are_no_data_set(pets: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(pets)
    with pytest.raises(ValueError, match=message):
        load(pets)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (
            "petz",
            FileNotFoundError,
            r"path='.*petz': there is no such folder \(looked for /.*petz\); did you mean 'pets'",
        ),
        ("no/such/place", FileNotFoundError, r"no such folder"),
        ("pets/cat/0.png", NotADirectoryError, "is a file: give the folder that holds one folder per class"),
        ("pets.zip", NotADirectoryError, "is an archive: unpack it first, and give the folder that results"),
    ],
)
def test_paths_that_are_no_folder(pets: Path, path: str, error: type[Exception], message: str) -> None:
    with zipfile.ZipFile(pets.parent / "pets.zip", "w") as archive:
        archive.write(pets / "cat" / "0.png", "cat/0.png")
    with pytest.raises(error, match=message):
        load(pets.parent / path)


@pytest.mark.parametrize("path", [None, 3, "", b"pets", ["pets"]])
def test_paths_that_are_none(path: object) -> None:
    with pytest.raises(
        TypeError, match=re.escape(f"path must name a folder of class folders, as text or Path; got {path!r}")
    ):
        data.from_folder(path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"side": 0}, ValueError, "side must be a whole number from 1 on, got 0"),
        ({"side": 8.0}, TypeError, "side must be a whole number from 1 on, got 8.0"),
        ({"grey": 1}, TypeError, "grey must be True, False or None"),
        ({"validation": 1.0}, ValueError, r"validation must be a share of the examples in \[0, 1\), got 1.0"),
        ({"validation": 0.6, "test": 0.6}, ValueError, "nothing is left to train on"),
        ({"per_class": 0}, ValueError, "per_class must be a whole number from 1 on, got 0"),
        ({"seed": -1}, ValueError, "seed must be a whole number from 0 on, got -1"),
        ({"digest": "beef"}, ValueError, "not those of the digest 'beef': files were added, removed, renamed"),
        ({"side": 10**7}, ValueError, r"20 images of 10000000 x 10000000 pixels take .* are free: .* such as side=64"),
    ],
)
def test_options_are_checked(pets: Path, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(pets, **options)


# As the data of a run -----------------------------------------------------------------------------------------------


def test_source_gives_the_data_again_and_is_json(pets: Path) -> None:
    first = load(pets, side=12, per_class=np.int64(4), seed=5, grey=True)
    source = json.loads(json.dumps(first.source))
    assert source == {
        **{"name": "folder", "path": str(pets), "side": 12, "grey": True, "validation": 0.2, "test": 0.2},
        **{"per_class": 4, "seed": 5, "digest": source["digest"]},
    }
    again = data.load(**source, device="cpu")
    assert same(first, again) and again.source == first.source
    assert same(first, data.load("folder", path=pets, side=12, per_class=4, seed=5, grey=True, device="cpu"))


def test_a_relative_path_stays_relative(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pets.parent)
    dataset = load(Path("pets"))
    assert dataset.source is not None and dataset.source["path"] == "pets"
    monkeypatch.chdir(pets)
    assert load(Path(".")).name == "pets"


def test_the_digest_notices_every_change(pets: Path) -> None:
    source = load(pets).source
    assert source is not None
    (pets / "cat" / "0.png").rename(pets / "cat" / "zero.png")
    with pytest.raises(ValueError, match="files were added, removed, renamed or changed since"):
        data.load(**source, device="cpu")
    (pets / "cat" / "zero.png").rename(pets / "cat" / "0.png")
    data.load(**source, device="cpu")
    picture(999).save(pets / "cat" / "0.png")
    with pytest.raises(ValueError, match=r"are not those of the digest .* or leave digest out"):
        data.load(**source, device="cpu")


def test_a_run_on_a_folder_is_replayed_bit_by_bit(pets: Path, tmp_path: Path) -> None:
    run = Run("mlp", load(pets, side=8), lr=0.05, batch_size=4, device="cpu").train(steps=5, progress=False)
    assert run.title == "mlp on pets"
    run.lr = 0.01
    run.train(steps=5, progress=False)
    config, moves = Run.load_moves(run.save_moves(tmp_path / "run.json"))
    again = Run.replay(config, moves)
    assert again.history["loss"].tolist() == run.history["loss"].tolist() and again.moves == run.moves
    by_name = Run("mlp", {"name": "folder", "path": str(pets), "side": 8}, batch_size=4, lr=0.05, device="cpu")
    assert by_name.train(steps=5, progress=False).history["loss"].tolist() == run.history["loss"][:5].tolist()


def test_loading_leaves_the_random_generators_alone(pets: Path) -> None:
    before = torch.get_rng_state()
    load(pets)
    assert torch.equal(before, torch.get_rng_state())
