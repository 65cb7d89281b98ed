"""ultralytics without its side effects: a private settings folder, nothing sent, nothing fetched, nothing installed.

On import ultralytics looks for a network, writes settings into the home folder and, by its defaults, posts usage
events, downloads missing fonts and weights, and installs packages. Here it gets a folder of its own that is removed
with the process, and is told that there is no network.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

from waterz_spool.errors import SetupError

_ENVIRONMENT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
_SWITCHES = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")


@cache
def ultralytics() -> ModuleType:
    """The package, quiet and offline, for the life of this process.

    Raises:
        SetupError: It is not installed, or it was imported before with the user's own settings.
    """
    if "ultralytics" in sys.modules:
        raise SetupError("ultralytics has already been imported by something else", todo="use a process of its own")
    home = tempfile.TemporaryDirectory(prefix="waterz-yolo-")
    os.environ.update(_ENVIRONMENT, YOLO_CONFIG_DIR=home.name)  # read at import, and by its own worker processes
    try:
        import ultralytics as package
        from matplotlib import get_data_path
        from ultralytics.utils import SETTINGS, USER_CONFIG_DIR
    except ImportError as error:
        raise SetupError(
            f"finding overlays with YOLO needs a package that is missing: {error.name}",
            todo='pip install "waterz-spool[neural]"',
        ) from error
    SETTINGS.update(dict.fromkeys(_SWITCHES, False) | {"weights_dir": home.name, "runs_dir": home.name})
    # It would download its fonts; any font does for labels nobody sees.
    for name in ("Arial.ttf", "Arial.Unicode.ttf"):
        shutil.copy(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", Path(USER_CONFIG_DIR) / name)
    package._waterz_home = home  # removed when the interpreter ends
    module: ModuleType = package
    return module


def device_of(name: str) -> str:
    """A device that ultralytics takes.

    Raises:
        SetupError: A GPU was named and torch finds none.
    """
    import torch

    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not torch.cuda.is_available():
        raise SetupError("there is no GPU here that torch can use", where=f"device {name}", todo="use --device cpu")
    return name
