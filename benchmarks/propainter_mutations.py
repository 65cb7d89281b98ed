"""Do the tests of propainter notice a mistake? Each mutation breaks one fact; at least one test must fail.

Run from the root of the repository: python -m benchmarks.propainter_mutations [NAME ...]
A copy of the package and its tests is changed and tested in a temporary folder, where only the trimmed golden vectors
are (the full set lies beside the checkout, not beside the copy). Exit code 1 if any mutation survives.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
NETWORKS = "tests/propainter/test_networks.py"


@dataclass(frozen=True)
class Mutation:
    """Replace ``old`` by ``new`` everywhere in one module; ``count`` occurrences are expected."""

    name: str
    module: str
    old: str
    new: str
    tests: str = "generator"
    count: int = 1


OFFSETS = (
    "moves = offset.float().reshape(n, GROUPS, TAPS, 2, high, width)",
    "moves = offset.float().reshape(n, GROUPS, TAPS, 2, high, width).flip(3)",
)
MUTATIONS = (
    Mutation("rfc: offsets in (x, y) order", "deform", *OFFSETS, tests="deformable or completion"),
    Mutation("rfc: offset reach 3 instead of 5", "flow_completion", "OFFSET_REACH_PX = 5.0", "OFFSET_REACH_PX = 3.0",
             tests="completion"),
    Mutation("rfc: zero instead of replicate padding", "layers", 'mode="replicate"', 'mode="constant"',
             tests="completion"),
    Mutation("rfc: align_corners=False", "layers", "align_corners=True", "align_corners=False", tests="completion"),
    Mutation("gen: offsets in (x, y) order", "deform", "offset = offset + flow.flip(1)", "offset = offset + flow"),
    Mutation("gen: offset reach 5 instead of 3", "propagation", "OFFSET_REACH_PX = 3.0", "OFFSET_REACH_PX = 5.0"),
    Mutation("gen: even and odd frames swapped", "transformer", "parity=index % 2", "parity=1 - index % 2"),
    Mutation("gen: roll by (2, 4)", "attention", "SHIFTS = ((-3, -5), (-3, 5), (3, -5), (3, 5))",
             "SHIFTS = ((-2, -4), (-2, 4), (2, -4), (2, 4))"),
    Mutation("gen: rolled tokens unfiltered", "attention", "slots = slots[:, self.valid_ind_rolled]", "slots = slots"),
    Mutation("gen: zeros shifted in instead of a circular roll", "attention",
             "        rolled = x.flatten(1, 2)[:, slots]",
             "        torn = _torn(padded).to(x.device)[some][:, self.valid_ind_rolled]\n"
             "        rolled = x.flatten(1, 2)[:, slots] * torn[..., None]"),
    Mutation("gen: no pooled tokens", "attention", "torch.cat((own, rolled, shared), dim=2)",
             "torch.cat((own, rolled), dim=2)"),
    Mutation("gen: all windows dense", "attention", ".sum(0).flatten() > 0", ".sum(0).flatten() > -1"),
    Mutation("gen: no window dense", "attention", ".sum(0).flatten() > 0", ".sum(0).flatten() > 1e9"),
    Mutation("gen: forward and backward flow swapped", "generator", "/ 4.0 for f in flows))",
             "/ 4.0 for f in flows[::-1]))"),
    Mutation("gen: hole and missing mask swapped", "generator", "torch.cat((masks, missing), dim=1)[:, :, ::4",
             "torch.cat((missing, masks), dim=1)[:, :, ::4"),
    Mutation("gen: flows not divided by 4", "generator", ") / 4.0 for f in flows", ") for f in flows"),
    Mutation("gen: align_corners=False", "layers", "align_corners=True", "align_corners=False"),
    Mutation("gen: consistency mask 1", "warp", "return (error < CONSISTENCY_SLOPE * length + CONSISTENCY_SLACK_PX2)",
             "return (error < error + 1)", tests="generator or pixel or consistency"),
    Mutation("gen: tanh-GELU, patches", "transformer", "nn.Sequential(nn.GELU()",
             'nn.Sequential(nn.GELU(approximate="tanh")'),
    Mutation("gen: tanh-GELU, convolutions", "transformer", "F.gelu(image.add_(bias).div_(overlap))",
             'F.gelu(image.add_(bias).div_(overlap), approximate="tanh")'),
    Mutation("raft: lookup order transposed", "correlation", "return taps.flatten(1)",
             "return taps.transpose(2, 3).flatten(1)", tests="raft"),
    Mutation("raft: context's share of the gates dropped", "gru", ".add_(self.share_q)", "", tests="raft"),
    Mutation("pixels: bilinear instead of nearest", "propagation", '"nearest"', '"bilinear"', tests="pixel"),
)  # fmt: skip

# what a mutation needs beside its one line
EXTRA = {
    "gen: zeros shifted in instead of a circular roll": """

def _torn(padded: tuple[int, int]) -> Tensor:
    inside = []
    for down, right in SHIFTS:
        row = torch.arange(padded[0])[:, None] - down
        column = torch.arange(padded[1]) - right
        kept = (row >= 0) & (row < padded[0]) & (column >= 0) & (column < padded[1])
        inside.append(to_windows(kept[None, :, :, None].float())[0, :, :, 0])
    return torch.cat(inside, dim=1)
""",
}


def copied(folder):
    """A copy of the package and its tests."""
    shutil.copytree(ROOT / "propainter", folder / "propainter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "propainter", folder / "tests" / "propainter",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    (folder / "tests" / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)


def tested(folder, select, weights):
    """Whether all selected tests pass in the copy, and the first failure."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "--no-header",
        "-p",
        "no:cacheprovider",
        NETWORKS,
        "-k",
        select,
    ]
    environment = os.environ | {"PROPAINTER_SYNTHETIC_WEIGHTS": str(weights), "PYTHONPATH": str(folder)}
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"the tests could not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 0, failed[0].split(" - ")[0] if failed else ""


def mutate(folder, mutation):
    path = folder / "propainter" / f"{mutation.module}.py"
    text = path.read_text()
    if text.count(mutation.old) != mutation.count:
        sys.exit(f"{mutation.name}: {mutation.old!r} occurs {text.count(mutation.old)} times in {mutation.module}.py")
    path.write_text(text.replace(mutation.old, mutation.new) + EXTRA.get(mutation.name, ""))


def main(names):
    from tests.propainter import synthetic

    survived = []
    with tempfile.TemporaryDirectory() as folder:
        weights = synthetic.write(Path(folder) / "weights")
        for mutation in (None, *MUTATIONS):
            if names and mutation is not None and not any(name in mutation.name for name in names):
                continue
            copy = Path(folder) / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            copied(copy)
            if mutation is not None:
                mutate(copy, mutation)
            started = time.monotonic()
            passed, failure = tested(copy, "not twin" if mutation is None else mutation.tests, weights)
            took = f"{time.monotonic() - started:5.0f} s"
            if mutation is None:
                print(f"{'nothing changed':52s} {'passes' if passed else 'FAILS ' + failure} {took}", flush=True)
                if not passed:
                    sys.exit(1)
                continue
            print(f"{mutation.name:52s} {'SURVIVED' if passed else 'caught'} {took}  {failure}", flush=True)
            survived += [mutation.name] * passed
    print(f"{len(survived)} survived", *survived, sep="\n  ")
    return bool(survived)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
