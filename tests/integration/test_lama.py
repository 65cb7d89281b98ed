"""The LaMa network for still shots, with a made-up network: the way there and back, not the pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.integration.conftest import box_option, read_bgr, write_video  # noqa: E402
from tests.restore.test_texture import HEIGHT, WIDTH, clip_of, hidden, rough, shot  # noqa: E402
from waterz_spool import restore  # noqa: E402
from waterz_spool.errors import SetupError  # noqa: E402

pytestmark = [pytest.mark.neural, pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")]


class Checks(torch.nn.Module):
    """In place of the network: a chessboard of 4 px around the mean of what is known; says what it was given."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert image.shape[2] % 8 == 0 and image.shape[3] % 8 == 0
        assert float((image * mask).abs().max()) == 0.0
        mean = image.sum(dim=(2, 3), keepdim=True) / (1 - mask).sum().clamp(min=1)
        rows, columns = torch.arange(image.shape[2]) // 4, torch.arange(image.shape[3]) // 4
        board = ((rows[:, None] + columns[None, :]) % 2).float() * 0.4 - 0.2
        return (image * (1 - mask) + mask * (mean + board)).clamp(0, 1)


class Shrinks(torch.nn.Module):
    """Not such a network."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return image[:, :, ::2, ::2] * (1 - mask[:, :, ::2, ::2])


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("WATERZ_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "big-lama.pt"


@pytest.fixture
def network(models):
    torch.jit.script(Checks()).save(str(models))


@pytest.mark.parametrize("family", ["rgb", "yuv"])
def test_what_no_frame_shows_gets_the_networks_detail(network, family):
    frames, masks = shot(rough())
    clip = clip_of(frames, masks, family)
    result = restore.create("lama").restore(clip)
    inside = hidden()
    assert np.array_equal(result.frames[:, ~inside], clip.frames[:, ~inside])
    assert result.confidence.invented > 0.3
    y, x = np.divmod(np.arange(HEIGHT * WIDTH), WIDTH)
    light = ((y // 4 + x // 4) % 2).reshape(HEIGHT, WIDTH) == 1
    luma = result.frames[..., 0].mean(axis=0)
    assert luma[inside & light].mean() - luma[inside & ~light].mean() > 25
    assert np.abs(np.diff(result.frames[:, inside].astype(int), axis=0)).mean() < 2


def test_without_a_plate_it_is_propagate(network):
    frames, masks = shot(rough(), frames=4)
    clip = replace(clip_of(frames, masks), plate=None)
    one, other = (restore.create(name).restore(clip).frames for name in ("lama", "propagate"))
    assert np.array_equal(one, other)


def test_through_a_run_on_any_number_of_workers(network, models, tmp_path, cli):
    frames, _ = shot(rough(), frames=24)
    video = write_video(tmp_path / "still.mp4", np.kron(frames, np.ones((1, 2, 2, 1), np.uint8)), audio=False)
    made = {}
    for workers in (1, 2):
        options = ("--box-exact", "100,68,64,48", "--segment-s", "0.5", "--preset", "ultrafast")
        done = cli("run", video, *options, "--engine", "lama", "--workers", workers, "-o", f"{workers}.mp4",
                   extra={"WATERZ_MODELS": str(models.parent)})  # fmt: skip
        assert done.returncode == 0
        made[workers] = (tmp_path / f"{workers}.mp4").read_bytes()
    assert made[1] == made[2]
    result = read_bgr(tmp_path / "1.mp4")[:, 72:112, 104:160].astype(int)
    assert np.abs(np.diff(result, axis=2)).mean() > 4


def test_a_missing_file_is_named(models, video, cli, tmp_path):
    done = cli("run", video, *box_option(), "--engine", "lama", check=False, extra={"WATERZ_MODELS": str(tmp_path)})
    assert done.returncode == 6
    assert "big-lama.pt" in done.stderr and "licence" not in done.stdout and "--engine propagate" in done.stderr


@pytest.mark.parametrize("what", ["text", "other network"])
def test_a_file_that_is_none_is_refused(models, what):
    if what == "text":
        models.write_text("no network")
    else:
        torch.jit.script(Shrinks()).save(str(models))
    with pytest.raises(SetupError, match=r"big-lama\.pt is not the LaMa network"):
        restore.create("lama")


def test_another_file_than_the_jobs_is_refused(network):
    with pytest.raises(SetupError, match="not the job's"):
        restore.create("lama", {"weights": {"big-lama.pt": "0" * 64}})
