"""What restorers share that run the user's weights on torch: the packages, the files, and what a job pins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from waterz_spool.config import RestoreConfig
from waterz_spool.restore.base import Restorer
from waterz_spool.restore.weights import pinned_digests, require_same, require_torch


class NetworkRestorer(Restorer):
    """A restorer whose network needs torch and the files of ``weights``."""

    @classmethod
    def pinned(cls, options: RestoreConfig) -> dict[str, Any]:
        """Threads, because sums on a CPU depend on them, and the bytes of the weights."""
        cls.require()
        return {"threads": options.torch_threads, "weights": pinned_digests(cls.weights)}

    @classmethod
    def require(cls) -> None:
        """Make sure that the neural packages and the files are here, whole or not."""
        require_torch(cls.name)
        super().require()

    def require_jobs(self, weights: Mapping[str, str] | None) -> None:
        """Make sure that it can be used here, with the files of the job: sha256 by name, none accepts any."""
        self.require()
        require_same(self.weights, weights or {})
