"""Makes the trimmed golden vectors from the full set: python -m tests.propainter.trim_golden FULL_FOLDER.

The trimmed set keeps all inputs of the cases it has, and of the outputs those that the mutations in
benchmarks/propainter_mutations.py need to be caught.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "golden"
KEEP = {
    "deform": ("x", "offset", "mask", "out"),
    "rfc_a": ("flow_f", "flow_b", "mask_u8", "pred_f", "align_backward_1", "align_forward_2"),
    "rfc_b": ("flow_f", "flow_b", "mask_u8", "pred_f", "pred_b", "comb_f", "comb_b"),
    "imgprop": ("frames_u8", "mask_u8", "flow_f", "flow_b", "updated_frames", "updated_masks_u8", "valid_fwd_u8"),
    "gen_a": ("frames_u8", "mask_u8", "upd_mask_u8", "flow_f", "flow_b", "out", "prop_t3", "encoder_t5"),
    "gen_b": ("frames_u8", "mask_u8", "upd_mask_u8", "flow_f", "flow_b", "out"),
    "gen_c": ("frames_u8", "mask_u8", "upd_mask_u8", "flow_f", "flow_b", "out"),
    "raft": ("frames_u8", "flow_init", "coord_shift", "corr_pyr1_row37", "corr_pyr2_row37", "corr_pyr3_row37",
             "iter1_delta", "low_1", "low_5", "low_20", "low_init3", "bi20_f", "bi20_b"),
    "e2e_a": ("frames_u8", "mask_u8", "proc_mask_u8", "comp_u8", "first_window_ids", "first_window_nlocal",
              "updated_masks_u8"),
}  # fmt: skip
THINNED = {("gen_b", "out"): slice(3, 4)}  # the last local frame


def main(full):
    HERE.mkdir(exist_ok=True)
    for name, keys in KEEP.items():
        with np.load(full / f"{name}.npz") as data:
            kept = {key: data[key][THINNED.get((name, key), slice(None))] for key in keys}
        np.savez_compressed(HERE / f"{name}.npz", **kept)
    listed = json.loads((full / "state_dict_keys.json").read_text())
    shapes = {file: {entry["key"]: entry["shape"] for entry in entries} for file, entries in listed.items()}
    (HERE / "keys.json").write_text(json.dumps(shapes, separators=(",", ":")) + "\n")
    print(sum(path.stat().st_size for path in HERE.iterdir()) / 2**20, "MiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
