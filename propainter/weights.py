"""The three checkpoint files: what they are, whether a folder holds them whole, and how to load them.

Papers: RAFT (Teed and Deng, ECCV 2020); ProPainter (Zhou et al., ICCV 2023).
Licences of the weights: raft-things.pth comes from princeton-vl/RAFT (BSD-3-Clause); the two ProPainter files are
under the NTU S-Lab License 1.0, NON-COMMERCIAL USE ONLY. This project ships none of them and downloads nothing:
the user supplies the files. The code here is written from published facts, not from the original's source.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from propainter.errors import WeightsError, WeightsKind

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SLAB = "NTU S-Lab License 1.0 (non-commercial use only)"
RELEASES = "https://github.com/sczhou/ProPainter/releases/download/v0.1.0"


@dataclass(frozen=True)
class WeightFile:
    """One checkpoint: what it is and what its licence permits.

    Attributes:
        name: File name inside the weights folder.
        licence: Licence of the weights.
        what: What the network does, one line.
        tensors: Number of tensors in the file.
        sha256: Official sha256 of the file, or None where this project knows no trustworthy value.
    """

    name: str
    licence: str
    what: str
    tensors: int
    sha256: str | None = None

    @property
    def source(self) -> str:
        """URL at which the authors publish it."""
        return f"{RELEASES}/{self.name}"


RAFT_FILE = WeightFile("raft-things.pth", "BSD-3-Clause (princeton-vl/RAFT)", "optical flow between frames (RAFT)", 179)
FLOW_FILE = WeightFile("recurrent_flow_completion.pth", SLAB, "completes the flow inside the hole", 74)
GENERATOR_FILE = WeightFile("ProPainter.pth", SLAB, "feature propagation and sparse video transformer", 216)
FILES: tuple[WeightFile, ...] = (RAFT_FILE, FLOW_FILE, GENERATOR_FILE)


@dataclass(frozen=True)
class FileStatus:
    """What ``check`` found for one file.

    Attributes:
        file: The checkpoint this is about.
        path: Where it was looked for.
        state: ``ok``, or the kind of ``WeightsError`` that loading would raise.
        detail: One line for people.
        sha256: sha256 of the file as found, or None where there is no file.
    """

    file: WeightFile
    path: Path
    state: Literal["ok"] | WeightsKind
    detail: str
    sha256: str | None


@dataclass(frozen=True)
class Models:
    """The three networks, in eval mode, without gradients, on one device.

    Attributes:
        raft: Optical flow, ``propainter.raft.Raft``.
        completion: Flow completion, ``propainter.flow_completion.FlowCompletion``.
        generator: Inpainting generator, ``propainter.generator.Generator``.
    """

    raft: nn.Module
    completion: nn.Module
    generator: nn.Module

    def to(self, device: torch.device | str) -> Models:
        """The same networks, moved to ``device`` (in place, as torch does)."""
        for net in (self.raft, self.completion, self.generator):
            net.to(device)
        return self


def check(folder: Path | str) -> tuple[FileStatus, ...]:
    """State of each of the three files in ``folder``; reads them whole, never raises for a bad file.

    Args:
        folder: Folder that should hold the files of ``FILES``.

    Returns:
        One status per entry of ``FILES``, in that order.
    """
    return tuple(_status(file, Path(folder) / file.name) for file in FILES)


def load(folder: Path | str, *, device: torch.device | str = "cpu") -> Models:
    """The three networks with the weights found in ``folder``; nothing is downloaded.

    Args:
        folder: Folder that holds the files of ``FILES``, unchanged.
        device: Where the networks go.

    Raises:
        WeightsError: A file is missing, truncated, or not the expected checkpoint (names, shapes, types: strict).
    """
    raft, completion, generator = (_net(file, Path(folder) / file.name) for file in FILES)
    return Models(raft, completion, generator).to(device)


def sha256_of(path: Path) -> str:
    """Lower-case hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _status(file: WeightFile, path: Path) -> FileStatus:
    digest = sha256_of(path) if path.is_file() else None
    try:
        _net(file, path)
    except WeightsError as error:
        return FileStatus(file, path, error.kind, error.what, digest)
    if file.sha256 is not None and digest != file.sha256:
        return FileStatus(file, path, "wrong", f"{path}: sha256 differs from the official file", digest)
    return FileStatus(file, path, "ok", f"{file.tensors} tensors", digest)


def _net(file: WeightFile, path: Path) -> nn.Module:
    """The network of one checkpoint, loaded strictly."""
    import torch

    state = _read(file, path)
    with torch.device("meta"):  # no random initialisation: every tensor comes from the file
        net = _builder(file)()
    try:
        _check_types(net, remapped := _remap(file, state))
        net.load_state_dict(remapped, strict=True, assign=True)
    except (RuntimeError, TypeError) as error:
        first = " ".join(str(error).split())[:300]
        raise _error("wrong", file, path, f"not the expected checkpoint: {first}") from error
    return net.eval().requires_grad_(False)


def _builder(file: WeightFile) -> Callable[[], nn.Module]:
    from propainter.flow_completion import FlowCompletion
    from propainter.generator import Generator
    from propainter.raft import Raft

    return {RAFT_FILE.name: Raft, FLOW_FILE.name: FlowCompletion, GENERATOR_FILE.name: Generator}[file.name]


def _read(file: WeightFile, path: Path) -> dict[str, Tensor]:
    """The state dict in ``path``; only tensors are unpickled, so a hostile file cannot run code."""
    import torch

    if not path.is_file():
        raise _error("missing", file, path, "no such file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, OSError, pickle.UnpicklingError, *_UNPICKLING_SLIPS) as error:
        kind: WeightsKind = "truncated" if _looks_cut(path, error) else "wrong"
        raise _error(kind, file, path, f"is not a whole torch checkpoint ({type(error).__name__})") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise _error("wrong", file, path, "does not hold a plain dictionary of tensors")
    return state


# what unpickling bytes that are no pickle may raise beside UnpicklingError, by the pickle module's own word
_UNPICKLING_SLIPS = (ValueError, KeyError, AttributeError, IndexError, TypeError)


def _looks_cut(path: Path, error: Exception) -> bool:
    """Whether the file starts like a checkpoint and ends early: next to nothing, or a zip without its directory."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if head == b"PK\x03\x04":
        return not zipfile.is_zipfile(path)
    return len(head) < 4 or isinstance(error, EOFError) or "truncated" in str(error) or "unexpected EOF" in str(error)


def _remap(file: WeightFile, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of the file turned into names of our modules; only RAFT's differ."""
    if file is not RAFT_FILE:
        return state
    from propainter.raft import remap

    return remap(state)


def _check_types(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Strict loading by assignment keeps the file's types, so they are compared here."""
    for name, own in net.state_dict().items():
        if name in state and state[name].dtype != own.dtype:
            raise TypeError(f"{name} is {state[name].dtype}, expected {own.dtype}")


def _error(kind: WeightsKind, file: WeightFile, path: Path, what: str) -> WeightsError:
    todo = (
        f"Put the official {file.name} into {path.parent} yourself (nothing is downloaded): {file.source}; "
        f"licence of the weights: {file.licence}."
    )
    return WeightsError(kind, path, what, todo=todo, sha256=file.sha256)
