"""`whence mine`: tables of semantic neighbours."""

from pathlib import Path
from typing import Any, Literal


def mine(
    encoder: str,
    data: str,
    output: Path,
    root: Path | None = None,
    k: int = 1000,
    options: dict[str, Any] | None = None,
    images: Path | None = None,
    sounds: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    overwrite: bool = False,
) -> None:
    """Find, for each sample of a data set, the k most like it, in pictures and in sounds by themselves.

    Args:
        encoder: a checkpoint of ours (its own embeddings: no outside supervision); `hub` for CLIP and CLAP (extra
            `hub`), or `hub:CLIP_NAME,CLAP_NAME`; or `npy` for vectors of your own.
        data: name of the data set (`whence datasets`).
        output: folder for the table.
        root: folder of the data set.
        k: how many neighbours to keep.
        options: of the data set, as in a recipe: `{"split": "train"}`.
        images: with `npy`, an .npy of (samples, channels) in the order of the data set.
        sounds: the same for sounds.
        device: where a checkpoint runs.
        overwrite: replace a table that is there.
    """
    from whence.data.datasets import open_dataset
    from whence.errors import OutputError, RecipeError
    from whence.inference.embed import mine as mine_neighbours
    from whence.inference.embed import read_embeddings, table_of

    is_table = (output / "meta.json").is_file()
    if output.exists() and not (is_table and overwrite):
        remedy = ", or replace the table in it by --overwrite" if is_table else ""
        raise OutputError(f"{output}: exists already; name another folder{remedy}")
    dataset = open_dataset(data, root, **(options or {}))
    if encoder == "npy":
        if images is None or sounds is None:
            raise RecipeError("encoder `npy` needs --images and --sounds, an .npy each of (samples, channels)")
        vectors = read_embeddings(images), read_embeddings(sounds)
        table = table_of(*vectors, dataset, k, f"npy {images.name} {sounds.name}")
    else:
        embedder: Any
        if encoder.partition(":")[0] == "hub":
            from whence.inference.hub import HubEmbedder

            embedder = HubEmbedder(*filter(None, encoder.partition(":")[2].split(",")))
        else:
            from whence.inference.localizer import Localizer

            embedder = Localizer.load(encoder, device=device)
        table = mine_neighbours(embedder, dataset, k, progress=True)
    table.save(output)
    print(f"{output}: {k} neighbours of each of {len(dataset)} samples, by {table.encoder}")
