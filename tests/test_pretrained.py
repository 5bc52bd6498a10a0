"""Networks that have learned already: the embedded one and its cache, files of weights, torchvision's by name."""

from __future__ import annotations

import hashlib
import pickle
import socket
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from lrlab import Run, data, downloads, models, pretrained, schedules, transfer
from lrlab.pretrained import fill, hash_of, imagenet_images, read_weights


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the glyphs in it, drawn once for all tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRLAB_CACHE", str(folder))
        data.load("glyphs", device="cpu", side=8)
    return folder


@pytest.fixture(autouse=True)
def own_folders(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test reads or writes the user's own folders."""
    monkeypatch.setenv("LRLAB_CACHE", str(drawn))
    monkeypatch.setenv("LRLAB_DATA", str(tmp_path / "data"))
    yield drawn
    for path in drawn.glob("pretrained-*"):
        path.unlink()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a few steps only, for tests of the cache around it."""
    monkeypatch.setattr(pretrained, "STEPS", 5)
    monkeypatch.setattr(pretrained, "LR", schedules.OneCycle(0.01, total=5))


def same(one: nn.Module, other: nn.Module) -> bool:
    """Bit by bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def glyphs(**options: Any) -> nn.Module:
    return transfer.pretrained("glyphs", progress=False, **options)


def tiny(classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, classes))


# The embedded network -------------------------------------------------------------------------------------------------


def test_the_embedded_network_knows_glyphs_and_its_features_serve_handwritten_digits() -> None:
    network = glyphs()
    printed = data.load("glyphs", device="cpu", side=8)
    on_glyphs = Run(network, printed, device="cpu").validate()[1]
    assert on_glyphs > 0.96
    accuracies = {True: 0.0, False: 0.0}
    for seed in range(3):
        digits = data.load("digits", device="cpu", seed=seed, per_class=5)
        for learned in (True, False):
            torch.manual_seed(seed)
            body = glyphs() if learned else models.cnn(classes=36)
            features = transfer.precompute(transfer.new_head(body, 10, seed), digits, device="cpu")
            run = Run(features.head, features.data, lr=0.02, seed=seed, device="cpu", validate_every=0)
            accuracies[learned] += run.train(200, progress=False).validate()[1] / 3
    assert accuracies[True] > 0.78
    assert accuracies[True] > accuracies[False] + 0.03  # a body that has learned nothing does well, too


def test_one_seed_one_network_and_it_is_in_inference_mode(quick: None, own_folders: Path) -> None:
    one = glyphs()
    for path in own_folders.glob("pretrained-*"):
        path.unlink()
    assert same(one, glyphs())
    assert not same(one, glyphs(seed=1))
    assert not one.training


def test_what_is_cached_is_not_trained_again(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    one = glyphs()
    monkeypatch.setattr(pretrained, "train_on_glyphs", lambda *_: pytest.fail("it was trained again"))
    assert same(one, glyphs())


def test_another_recipe_is_another_file(quick: None, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glyphs()
    for name, value in (("STEPS", 6), ("BATCH_SIZE", 32), ("RULE", pretrained.rules.SGD()), ("RECIPE", 2)):
        monkeypatch.setattr(pretrained, name, value)
        glyphs()
    assert len(list(own_folders.glob("pretrained-*"))) == 5


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "other"])
def test_a_damaged_cache_is_noticed_and_made_again(quick: None, own_folders: Path, damage: str) -> None:
    one = glyphs()
    (path,) = own_folders.glob("pretrained-*")
    whole = path.read_bytes()
    content = {"cut": whole[:-100], "empty": b"", "bit": whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]}
    other = safetensors.torch.save({"0.weight": torch.zeros(2)})
    path.write_bytes(content.get(damage, other))
    with pytest.warns(RuntimeWarning, match="cached weights in .* are damaged: training them again"):
        assert same(one, glyphs())
    assert path.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        glyphs()


@pytest.mark.parametrize("broken", ["mkstemp", "fdopen"])
def test_an_unwritable_cache_is_no_error(quick: None, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("read-only")

    one = glyphs(seed=1)
    monkeypatch.setattr(pretrained.tempfile if broken == "mkstemp" else pretrained.os, broken, refuse)
    assert not same(one, glyphs())
    assert same(glyphs(), glyphs())


def test_nothing_is_left_half_written(quick: None, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    before = sorted(own_folders.iterdir())
    glyphs()
    assert sorted(own_folders.iterdir()) == before


# A file of weights ----------------------------------------------------------------------------------------------------


def write(path: Path, model: nn.Module) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_weights_from_a_file(suffix: str, tmp_path: Path) -> None:
    saved, other = tiny(), tiny()
    path = write(tmp_path / f"weights{suffix}", saved)
    assert same(transfer.pretrained(path, model=other), saved)
    assert same(transfer.pretrained(str(path), model=tiny), saved)
    checked = transfer.pretrained(path, model=tiny, sha256=hashlib.sha256(path.read_bytes()).hexdigest().upper())
    assert same(checked, saved)
    assert not checked.training


def test_the_model_that_is_given_is_the_one_that_comes_back(tmp_path: Path) -> None:
    model = tiny()
    assert transfer.pretrained(write(tmp_path / "w.pt", tiny()), model=model) is model


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_wrong_hash(suffix: str, tmp_path: Path) -> None:
    path, model = write(tmp_path / f"w{suffix}", tiny()), tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"its sha256 is {hash_of(path)}"):
        transfer.pretrained(path, model=model, sha256="0" * 64)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        transfer.pretrained(path, model=model, sha256="abc")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_file_that_is_cut_short(suffix: str, share: float, tmp_path: Path) -> None:
    path = write(tmp_path / f"w{suffix}", tiny())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="cannot be read as weights; it is cut short, damaged") as caught:
        transfer.pretrained(path, model=tiny)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".bin"])
@pytest.mark.parametrize(
    "content", [b"\x00" * 200, b"<html>not found</html>", bytes(range(256)) * 9, b"PK\x03\x04" * 50]
)
def test_a_file_of_something_else(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_weights(path)


class Mine:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_code_in_a_file_does_not_run(way: str, tmp_path: Path) -> None:
    evidence, path = tmp_path / "it ran", tmp_path / "w.pt"
    if way == "torch":
        torch.save({"weight": Mine(evidence)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Mine(evidence)}))
    with pytest.raises(ValueError, match="cannot be read as weights") as caught:
        transfer.pretrained(path, model=tiny)
    assert not evidence.exists()
    assert "weights_only" not in str(caught.value), "torch's advice is to open it all the same"


def test_a_file_with_more_than_tensors(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"epoch": 3, "state_dict": tiny().state_dict()}, path)
    with pytest.raises(ValueError, match="under 'epoch' there is int. Save model.state_dict\\(\\) alone; out of a"):
        read_weights(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="no state dict but list"):
        read_weights(path)
    torch.save(tiny(), path)
    with pytest.raises(ValueError, match=r"it holds more than tensors \(torch.nn.modules.\S+\), a whole network"):
        read_weights(path)
    path.write_text("hello")
    with pytest.raises(ValueError, match="damaged, or something else: KeyError"):
        read_weights(path)


def test_a_file_in_this_folder_may_have_any_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save((model := tiny()).state_dict(), "last.ckpt")
    assert same(transfer.pretrained("last.ckpt", model=tiny), model)
    with pytest.raises(ValueError, match="unknown weights 'lost.ckpt'"):
        transfer.pretrained("lost.ckpt", model=tiny)


def test_a_saved_run_is_told_apart(tmp_path: Path) -> None:
    path = Run("mlp", "digits", device="cpu").save(tmp_path / "run.safetensors")
    with pytest.raises(ValueError, match="it is a saved run: take Run.load"):
        transfer.pretrained(path, model=models.mlp())


def test_weights_of_another_architecture_change_nothing(tmp_path: Path) -> None:
    path, model = write(tmp_path / "w.pt", models.cnn()), models.mlp()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        transfer.pretrained(path, model=model)
    said = str(caught.value)
    assert "another network than this Sequential" in said
    assert "missing there: 3.weight, 3.bias" in said
    assert "not in the model: 0.weight, 4.weight, 5.weight and" in said
    assert "of another shape: 1.weight [16] there, [128, 64] in the model" in said
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_where_only_the_head_differs_the_error_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="Only the last layer differs: make the model with 36 classes, fill it, then"):
        fill(models.cnn(classes=10), models.cnn(classes=36).state_dict())
    with pytest.raises(ValueError, match="of another shape") as caught:
        fill(models.cnn(width=8), models.cnn(width=16).state_dict())
    assert "Only the last layer" not in str(caught.value)
    assert "and 7 more" in str(caught.value)


def test_what_does_not_go_together(tmp_path: Path) -> None:
    path = write(tmp_path / "w.pt", tiny())
    with pytest.raises(TypeError, match="give model="):
        transfer.pretrained(path)
    with pytest.raises(TypeError, match="model must be a torch.nn.Module or a function that makes one, got int"):
        transfer.pretrained(path, model=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model= goes with the path of a file; 'glyphs' brings its own"):
        transfer.pretrained("glyphs", model=tiny)
    with pytest.raises(TypeError, match="sha256= goes with"):
        transfer.pretrained("ResNet18_Weights.DEFAULT", sha256="0" * 64)
    with pytest.raises(TypeError, match='such as "glyphs", or the path'):
        transfer.pretrained(7)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="there is no file"):
        transfer.pretrained(tmp_path / "none.pt", model=tiny)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        transfer.pretrained(tmp_path, model=tiny)


# torchvision ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("glyph", "glyphs"),
        ("ResNet18_Weights.DEFALT", "ResNet18_Weights.DEFAULT"),
        ("VGG16_Weights.IMAGENET1K_V9", "VGG16"),
        ("ResNet50", "ResNet50_Weights.DEFAULT"),
    ],
)
def test_an_unknown_name(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"unknown weights '{name}'; did you mean '{nearest}"):
        transfer.pretrained(name)


NAME = "SqueezeNet1_1_Weights.DEFAULT"
SMALL = torchvision.models.SqueezeNet1_1_Weights.DEFAULT


class Mirror:
    """A server on this machine that publishes the weights of a small network of torchvision."""

    def __init__(self) -> None:
        self.content = b""
        self.requests = 0
        self.promised = 0  # bytes that are promised and do not come
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requests += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(mirror.content) + mirror.promised))
                self.end_headers()
                self.wfile.write(mirror.content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, nn.Module]:
    torch.manual_seed(5)
    model = torchvision.models.squeezenet1_1(weights=None)
    path = tmp_path_factory.mktemp("published") / "w.pth"
    torch.save(model.state_dict(), path)
    return path.read_bytes(), model


@pytest.fixture
def mirror(published: tuple[bytes, nn.Module], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    mirror = Mirror()
    mirror.content = published[0]
    digest = hashlib.sha256(mirror.content).hexdigest()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(SMALL.value, "url", f"{mirror.address}squeezenet1_1-{digest[:8]}.pth")
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "data").rglob("*") if path.is_file()]


def test_torchvisions_weights_are_fetched_once(mirror: Mirror, published: tuple, tmp_path: Path) -> None:
    hub = torch.hub.get_dir()
    for source in (NAME, SMALL, "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
        assert same(transfer.pretrained(source, progress=False), published[1])
    assert mirror.requests == 1
    assert [path.parent for path in files(tmp_path)] == [tmp_path / "data" / "weights" / "checkpoints"]
    assert torch.hub.get_dir() == hub


def test_damaged_weights_are_fetched_again(mirror: Mirror, published: tuple, tmp_path: Path) -> None:
    transfer.pretrained(NAME, progress=False)
    (path,) = files(tmp_path)
    path.write_bytes(mirror.content[:-7])
    with pytest.warns(RuntimeWarning, match="damaged: downloading them again"):
        assert same(transfer.pretrained(NAME, progress=False), published[1])
    assert path.read_bytes() == mirror.content and mirror.requests == 2


def one_clear_error() -> str:
    with pytest.raises(ConnectionError) as caught:
        transfer.pretrained(NAME, progress=False)
    said = str(caught.value)
    assert "SqueezeNet1_1_Weights.IMAGENET1K_V1 could not be downloaded" in said
    assert 'pretrained("glyphs")' in said and 'pretrained("path/to/file.pth", model=...)' in said and "\n" not in said
    return said


def test_another_file_under_that_name_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.content = b"x" + mirror.content[1:]
    assert "invalid hash" in one_clear_error()
    assert files(tmp_path) == []


def test_a_download_that_breaks_off_leaves_nothing(mirror: Mirror, tmp_path: Path) -> None:
    mirror.content, mirror.promised = mirror.content[:5000], 10_000
    one_clear_error()
    assert files(tmp_path) == []


def test_without_a_network(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setattr(SMALL.value, "url", f"http://127.0.0.1:{port}/squeezenet1_1-12345678.pth")
    assert "refused" in one_clear_error()
    assert files(tmp_path) == []


def test_a_server_that_never_answers(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(SMALL.value, "url", f"http://127.0.0.1:{port}/squeezenet1_1-12345678.pth")
        assert "timed out" in one_clear_error()
    assert socket.getdefaulttimeout() is None


def test_every_network_that_has_weights_for_classification_is_known() -> None:
    known = pretrained._torchvision_names()
    assert known["ResNet18_Weights.DEFAULT"] == (torchvision.models.ResNet18_Weights.IMAGENET1K_V1, "resnet18")
    assert {"VGG16_BN_Weights.DEFAULT", "ViT_B_16_Weights.DEFAULT", "ResNet50_Weights.IMAGENET1K_V2"} <= known.keys()


def test_images_as_imagenet_networks_expect_them() -> None:
    digits = data.load("digits", device="cpu")
    seen = imagenet_images(digits)
    assert seen.image_shape == (3, 8, 8) and seen.name == "digits" and seen.classes == digits.classes
    assert torch.allclose(seen.pixels(seen.train.x)[:, 1:2], digits.pixels(digits.train.x), atol=1e-6)
    red = (digits.pixels(digits.test.x)[:, 0] - 0.485) / 0.229
    assert torch.allclose(seen.test.x[:, 0], red, atol=1e-5)
    assert torch.equal(seen.validation.y, digits.validation.y)
    larger = imagenet_images(digits, side=20)
    assert larger.train.x.shape == (1197, 3, 20, 20)
    assert float(larger.pixels(larger.train.x).mean()) == pytest.approx(
        float(seen.pixels(seen.train.x).mean()), rel=0.02
    )


def test_images_that_they_cannot_take() -> None:
    flat = data.from_tensors(torch.rand(40, 5), torch.arange(40) % 2, device="cpu")
    with pytest.raises(ValueError, match="no images with 1 or 3 channels"):
        imagenet_images(flat)
    for side in (0, 7.5, True, 5000):
        with pytest.raises(ValueError, match="side must be a whole number of pixels from 8 to 1024"):
            imagenet_images(data.load("digits", device="cpu"), side=side)  # type: ignore[arg-type]
