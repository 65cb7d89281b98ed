"""Crop and mask files are lossless, deterministic, and notice damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.media.test_decode import info_with
from waterz_spool import media
from waterz_spool.errors import InputError
from waterz_spool.media.crops import storage_format

FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv440p",
    "yuv411p",
    "yuv410p",
    "yuv420p9le",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p12le",
    "yuv420p14le",
    "yuv422p16le",
    "yuv440p12le",
    "yuva420p",
    "yuva444p10le",
    "yuva422p12le",
    "yuva444p16le",
    "gbrp",
    "gbrap",
    "gbrp10le",
    "gbrp14le",
    "gbrap16le",
    "gray",
    "gray10le",
    "gray14le",
    "gray16le",
]
SIZES = [(48, 32), (17, 9), (2, 2), (1, 1)]


def noise(pix_fmt: str, size: tuple[int, int], seed: int) -> Any:
    """Planes of random samples."""
    work = media.work_format(pix_fmt)
    rng = np.random.default_rng(seed)
    return tuple(
        rng.integers(0, 2**work.bits, work.plane_shape(i, *size)).astype(work.dtype) for i in range(work.plane_count)
    )


def write(path: Path, pix_fmt: str, frames: int = 5) -> list[list[Any]]:
    """A crop file of all sizes, with streams of different lengths; what it holds."""
    held: list[list[Any]] = [[] for _ in SIZES]
    work = media.work_format(pix_fmt)
    with media.CropWriter(path, crops=SIZES, work=work, info=info_with(color_range=2)) as writer:
        for index in range(frames):
            for crop, size in enumerate(SIZES[: 2 + index]):
                held[crop].append(noise(pix_fmt, size, 100 * crop + index))
                writer.write(crop, held[crop][-1])
    return held


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_crops_come_back_bit_by_bit(pix_fmt: str, tmp_path: Path) -> None:
    held = write(tmp_path / "crops", pix_fmt)
    reader = media.CropReader(tmp_path / "crops")
    assert reader.work == media.work_format(pix_fmt) and reader.sizes == SIZES
    for crop, frames in enumerate(held):
        read = list(reader.read(crop))
        assert len(read) == len(frames)
        for a, b in zip(read, frames, strict=True):
            assert all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_storage_is_yuv_or_gray_so_that_nothing_converts() -> None:
    assert storage_format(media.work_format("gbrp")) == "yuv444p"
    assert storage_format(media.work_format("gbrp14le")) == "yuv444p14le"
    assert storage_format(media.work_format("gray14le")) == "gray14le"


def test_masks_come_back_bit_by_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    masks = [[(rng.random((h, w)) > 0.5).astype(np.uint8) * 255 for _ in range(7)] for w, h in SIZES]
    with media.MaskWriter(tmp_path / "masks", crops=SIZES) as writer:
        for index in range(7):
            for crop in range(len(SIZES)):
                writer.write_mask(crop, masks[crop][index])
    reader = media.MaskReader(tmp_path / "masks")
    for crop, expected in enumerate(masks):
        assert all(np.array_equal(a, b) for a, b in zip(reader.read_masks(crop), expected, strict=True))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv410p"])
def test_crops_of_every_size_can_be_written(pix_fmt: str, tmp_path: Path) -> None:
    sizes = [(width, height) for width in range(30, 38) for height in range(30, 38)]
    work = media.work_format(pix_fmt)
    with media.CropWriter(tmp_path / "crops", crops=sizes, work=work, info=info_with(color_range=2)) as writer:
        for crop, size in enumerate(sizes):
            writer.write(crop, noise(pix_fmt, size, crop))
    assert media.CropReader(tmp_path / "crops").sizes == sizes


def test_equal_crops_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, "yuv420p10le")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_one_crop_may_be_written_wholly_before_the_next(tmp_path: Path) -> None:
    work = media.work_format("gray")
    with media.CropWriter(tmp_path / "a", crops=[(8, 8), (4, 4)], work=work) as writer:
        for crop, size in enumerate(((8, 8), (4, 4))):
            for index in range(300):
                writer.write(crop, noise("gray", size, index))
    reader = media.CropReader(tmp_path / "a")
    for crop, size in enumerate(((8, 8), (4, 4))):
        for index, (plane,) in enumerate(reader.read(crop)):
            assert np.array_equal(plane, noise("gray", size, index)[0])
        assert index == 299


def test_a_wrong_size_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="crop 0 takes 3 planes of 48x32"),
        media.CropWriter(tmp_path / "a", crops=[(48, 32)], work=media.work_format("yuv420p")) as writer,
    ):
        writer.write(0, noise("yuv420p", (50, 32), 1))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_file_is_noticed(share: float, tmp_path: Path) -> None:
    write(tmp_path / "whole", "yuv420p")
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="crop file"):
        media.CropReader(tmp_path / "cut")


def test_other_files_are_no_crop_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nothing")
    for name in ("a", "missing"):
        with pytest.raises(InputError, match="crop file"):
            media.CropReader(tmp_path / name)
