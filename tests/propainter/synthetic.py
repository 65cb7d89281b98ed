"""Synthetic weights: every tensor a pure function of its name and shape, the same bytes on every platform.

No official weights are involved. A tensor is drawn from PCG64 seeded with the crc32 of its name; ``s`` below is
uniform in [-1, 1). Names and shapes come from golden/keys.json.
"""

import hashlib
import json
import math
import re
import zlib
from pathlib import Path

import numpy as np

KEYS = Path(__file__).parent / "golden" / "keys.json"

# sha256 over sorted names and raw values, as recorded with the golden vectors
EXPECTED = {
    "raft-things.pth": "bf6fd6fb2f2a556147e576892c031b0637f53e3554f6def4a29042f1bdb74e0b",
    "recurrent_flow_completion.pth": "c8157fff3f6892d640cf7857ed593ec82d6f576bb6247fe9861d92cfe20e2d90",
    "ProPainter.pth": "720769b42def63501e64169fc8e6702d403622b8ab17f81016f2e80a247354a5",
}

# gain of a weight by file and name; 1.4 where none matches
GAINS = {
    "raft-things.pth": {
        r"flow_head\.conv2\.weight": 0.005,
        r"update_block\.mask\.2\.weight": 6.0,
        r"fnet\.conv2\.weight": 0.4,
        r"cnet\.conv2\.weight": 0.25,
    },
    "recurrent_flow_completion.pth": {
        r"conv_offset\.6\.weight": 1.0,
        r"deform_align\.(backward|forward)_\.weight": 1.6,
        r"backbone\.(backward|forward)_\.2\.weight": 0.5,
        r"upsample\.2\.conv\.weight": 0.5,
    },
    "ProPainter.pth": {
        r"conv_offset\.6\.weight": 1.0,
        r"deform_align\.(backward|forward)_1\.weight": 1.6,
        r"backbone\.(backward|forward)_1\.2\.weight": 0.5,
        r"fuse\.2\.weight": 1.0,
        r"attention\.(key|query)\.weight": 1.6,
        r"attention\.(value|proj)\.weight": 1.2,
        r"mlp\.fc[12]\.\d\.weight": 1.0,
        r"(ss|sc)\.embedding\.weight": 1.0,
        r"sc\.bias_conv\.weight": 0.15,
        r"decoder\.6\.weight": 0.6,
    },
}


def gain(file, key):
    for pattern, value in GAINS[file].items():
        if re.search(pattern + "$", key):
            return value
    return 1.4


def kept_rolled_tokens():
    """Indices of the 4 x 45 diagonal neighbours of a 5x9 window's tokens that lie outside the window."""
    keep = np.ones((4, 5, 9), bool)
    for corner, (rows, columns) in enumerate(
        ((slice(0, 2), slice(0, 4)), (slice(0, 2), slice(5, 9)), (slice(3, 5), slice(0, 4)), (slice(3, 5), slice(5, 9)))
    ):
        keep[corner, rows, columns] = False
    return np.flatnonzero(keep)


def tensor(file, key, shape):
    """One tensor as a numpy array."""
    name = key.rsplit(".", 1)[1]
    if name == "num_batches_tracked":
        return np.zeros((), np.int64)
    if name == "valid_ind_rolled":
        return kept_rolled_tokens()
    # the strided blocks of RAFT store one norm under two names
    seed = zlib.crc32(key.replace(".norm3.", ".downsample.1.").encode())
    s = 2 * np.random.Generator(np.random.PCG64(seed)).random(math.prod(shape)) - 1
    if name == "running_mean":
        value = 0.1 * s
    elif name == "running_var":
        value = 1 + 0.25 * s
    elif name == "bias":
        value = 0.1 * (0.0005 if key.endswith("flow_head.conv2.bias") else 1.0) * s
    elif len(shape) == 1:
        value = 1 + 0.1 * s
    elif key.endswith("pool_layer.weight"):
        value = 1 / 16 + 0.02 * s
    else:
        value = math.sqrt(3) * s * (gain(file, key) / math.sqrt(math.prod(shape[1:])))
    return value.astype(np.float32).reshape(shape)


def arrays(file):
    """All tensors of one checkpoint as numpy arrays, by name."""
    return {key: tensor(file, key, shape) for key, shape in json.loads(KEYS.read_text())[file].items()}


def digest(values):
    h = hashlib.sha256()
    for key in sorted(values):
        h.update(key.encode() + np.ascontiguousarray(values[key]).tobytes())
    return h.hexdigest()


def write(folder):
    """The three checkpoint files in ``folder``; returns the folder."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for file in EXPECTED:
        torch.save({key: torch.from_numpy(np.array(v)) for key, v in arrays(file).items()}, folder / file)
    return folder


if __name__ == "__main__":
    import sys

    print(write(Path(sys.argv[1])))
