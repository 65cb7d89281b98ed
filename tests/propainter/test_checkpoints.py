"""The three checkpoint files: listing, checking, loading, and what goes wrong with them."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from propainter import weights
from propainter.errors import WeightsError
from tests.propainter import synthetic

NAMES = [file.name for file in weights.FILES]


@pytest.fixture
def folder(tmp_path, weights_folder):
    """Links to the good files, so that a test can spoil one."""
    for name in NAMES:
        (tmp_path / name).symlink_to(weights_folder / name)
    return tmp_path


def spoil(path, content):
    path.unlink()
    path.write_bytes(content)


def test_files_are_listed_with_licence_and_size():
    assert list(synthetic.EXPECTED) == NAMES
    assert [file.tensors for file in weights.FILES] == [179, 74, 216]
    assert all("non-commercial" in file.licence for file in weights.FILES[1:])


def test_good_folder_is_ok(folder):
    found = weights.check(folder)
    assert [status.state for status in found] == ["ok"] * 3
    assert all(status.sha256 == weights.sha256_of(status.path) for status in found)


@pytest.mark.parametrize("name", NAMES)
def test_missing_file(folder, name):
    (folder / name).unlink()
    assert {s.file.name: s.state for s in weights.check(folder)}[name] == "missing"
    with pytest.raises(WeightsError) as caught:
        weights.load(folder)
    error = caught.value
    assert (error.kind, error.file, error.sha256) == ("missing", folder / name, None)
    assert "licence" in str(error)
    assert "github.com" in str(error)


@pytest.mark.parametrize("size", [0, 1, 1000, 0.5, -1])
def test_truncated_file(folder, weights_folder, size):
    whole = (weights_folder / NAMES[1]).read_bytes()
    spoil(folder / NAMES[1], whole[: int(size * len(whole)) if isinstance(size, float) else size])
    with pytest.raises(WeightsError) as caught:
        weights.load(folder)
    assert (caught.value.kind, caught.value.file.name) == ("truncated", NAMES[1])


def test_truncated_file_of_the_old_format(folder):
    whole = synthetic.arrays(NAMES[1])
    path = folder / "old"
    torch.save({k: torch.from_numpy(v) for k, v in whole.items()}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    spoil(folder / NAMES[1], content)
    assert weights.check(folder)[1].state == "ok"
    spoil(folder / NAMES[1], content[: len(content) // 2])
    assert weights.check(folder)[1].state == "truncated"


@pytest.mark.parametrize("what", ["text", "html", "zip", "swapped", "extra", "shape", "dtype", "list"])
def test_wrong_file(folder, weights_folder, what):
    path = folder / NAMES[1]
    state = torch.load(weights_folder / NAMES[1], weights_only=True)
    path.unlink()
    if what in ("text", "html"):
        path.write_bytes(b"version https://git-lfs" if what == "text" else b"<!DOCTYPE html><html>" * 100)
    elif what == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", "b")
    elif what == "swapped":
        path.symlink_to(weights_folder / NAMES[0])
    elif what == "list":
        torch.save([1, 2], path)
    else:
        key = "fake.weight" if what == "extra" else "decoder1.0.weight"
        state[key] = {
            "extra": torch.zeros(1),
            "shape": torch.zeros(64, 64, 1, 1),
            "dtype": state["decoder1.0.weight"].half(),
        }[what]
        torch.save(state, path)
    assert weights.check(folder)[1].state == "wrong"
    with pytest.raises(WeightsError) as caught:
        weights.load(folder)
    assert caught.value.kind == "wrong"


def test_a_pickle_with_code_is_not_run(folder, tmp_path):
    class Bad:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    (folder / NAMES[0]).unlink()
    torch.save({"x": Bad()}, folder / NAMES[0])
    assert weights.check(folder)[0].state == "wrong"
    assert not (tmp_path / "touched").exists()


def test_alias_that_differs_is_wrong(folder, weights_folder):
    state = torch.load(weights_folder / NAMES[0], weights_only=True)
    state["module.cnet.layer2.0.norm3.weight"] = torch.zeros(96)
    (folder / NAMES[0]).unlink()
    torch.save(state, folder / NAMES[0])
    assert weights.check(folder)[0].state == "wrong"


def test_loaded_networks_need_no_gradients(models):
    nets = (models.raft, models.completion, models.generator)
    assert not any(p.requires_grad for net in nets for p in net.parameters())
    assert not any(net.training for net in nets)


def test_importing_the_package_does_not_import_torch():
    code = (
        "import sys, propainter, propainter.weights; assert 'torch' not in sys.modules; propainter.errors.WeightsError"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_copies_in_a_folder_with_odd_characters(tmp_path, weights_folder):
    odd = tmp_path / "wéights (1) %20\n"
    odd.mkdir()
    shutil.copy(weights_folder / NAMES[1], odd)
    assert [status.state for status in weights.check(odd)] == ["missing", "ok", "missing"]
