"""The membrane against the equation it solves."""

from __future__ import annotations

import numpy as np
import pytest

from waterz_spool.restore.membrane import Membrane


def laplace(values, hidden):
    """A plain, slow solve: many sweeps over the whole picture."""
    surface = np.where(hidden, values[~hidden].mean(), values).astype(np.float64)
    for _ in range(4000):
        padded = np.pad(surface, 1, mode="edge")
        mean = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
        surface = np.where(hidden, mean, surface)
    return surface


def shape_of(name):
    hidden = np.zeros((48, 60), bool)
    if name == "plate":
        hidden[12:36, 10:50] = True
    elif name == "letters":
        hidden[10:40, 8:52:6] = hidden[10:40, 9:53:6] = hidden[22:25, 8:52] = True
    elif name == "at the border":
        hidden[0:20, 30:60] = True
    return hidden


@pytest.mark.parametrize("name", ["plate", "letters", "at the border"])
def test_it_is_near_the_exact_solution(name):
    hidden = shape_of(name)
    y, x = np.mgrid[:48, :60]
    values = (128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7)).astype(np.float32)
    membrane = Membrane(hidden)
    x0, y0, x1, y1 = membrane.box
    result = membrane.fill(values[y0:y1, x0:x1, None])[:, 0]
    exact = laplace(values, hidden)[hidden]
    assert np.sqrt(np.mean((result - exact) ** 2)) < 5
    assert result.min() >= values[~hidden].min() - 8
    assert result.max() <= values[~hidden].max() + 8


def test_columns_are_independent():
    hidden = shape_of("letters")
    rng = np.random.default_rng(0)
    values = rng.random((48, 60, 5), np.float32) * 255
    membrane = Membrane(hidden)
    x0, y0, x1, y1 = membrane.box
    crop = values[y0:y1, x0:x1]
    together = membrane.fill(crop)
    for column in range(5):
        assert np.array_equal(together[:, column], membrane.fill(crop[..., column : column + 1])[:, 0])


def test_a_flat_surrounding_gives_a_flat_fill():
    hidden = shape_of("plate")
    membrane = Membrane(hidden)
    x0, y0, x1, y1 = membrane.box
    values = np.full((y1 - y0, x1 - x0, 1), 77, np.float32)
    values[membrane.hidden] = 200
    assert np.abs(membrane.fill(values) - 77).max() < 1e-3
