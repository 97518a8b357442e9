"""`soundspot mine`: tables of semantic neighbours."""

from pathlib import Path
from typing import Any, Literal


def mine(
    encoder: str,
    data: str,
    output: Path,
    root: Path | None = None,
    k: int = 1000,
    options: dict[str, Any] | None = None,
    image_embeddings: Path | None = None,
    audio_embeddings: Path | None = None,
    algorithm: Literal["exact", "ivf", "ivfpq"] = "exact",
    probes: int = 64,
    keep_embeddings: bool = False,
    extend: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    overwrite: bool = False,
) -> None:
    """Find, for each sample of a data set, the k most like it, in pictures and in sounds by themselves.

    What is made is kept beside OUTPUT, as `.NAME.part`, until the table is whole: a run that was stopped goes on where
    it was when the same command is given again, and ends with the same bytes.

    Args:
        encoder: a checkpoint of ours (its own embeddings: no outside supervision); `hub` for CLIP and CLAP (extra
            `hub`), or `hub:CLIP_NAME,CLAP_NAME`; or `npy` for vectors of your own.
        data: name of the data set (`soundspot datasets`).
        output: folder for the table.
        root: folder of the data set.
        k: how many neighbours to keep.
        options: of the data set, as in a recipe: `{"split": "train"}`.
        images: with `npy`, an .npy of (samples, channels) in the order of the data set.
        sounds: the same for sounds.
        index: `exact`, up to about a million samples; beyond, `ivf` or the smaller `ivfpq` (extra `ann`), whose share
            of the true neighbours is measured on 1,000 samples, told, and kept in meta.json.
        probes: cells that `ivf` and `ivfpq` look into; more find more and take longer.
        keep_vectors: keep the embeddings beside the table, so that it can be extended.
        extend: a table with its vectors, made before samples were added to the data set: only the new ones are
            embedded, and the result is that of mining anew.
        device: where a checkpoint runs, and the exact search.
        overwrite: replace a table that is there, or what was begun with other options.

    Examples:
        soundspot mine runs/demo/best.safetensors catalogue NEIGHBOURS --root CATALOGUE
    """
    import hashlib

    from soundspot.data.datasets.registry import open_dataset
    from soundspot.errors import OutputError, RecipeError
    from soundspot.inference.localizer import Localizer
    from soundspot.inference.mining.embed import read_embeddings
    from soundspot.inference.mining.mine import EncoderInfo, MiningOptions, mine_from_embeddings
    from soundspot.inference.mining.mine import mine_neighbors as mine_neighbours
    from soundspot.utils.device import resolve_device

    is_table = (output / "meta.json").is_file()
    if output.exists() and not (is_table and overwrite):
        remedy = ", or replace the table in it by --overwrite" if is_table else ""
        raise OutputError(f"{output}: exists already; name another folder{remedy}")
    dataset = open_dataset(data, root, **(options or {}))
    how = MiningOptions(k, algorithm, probes, keep_vectors=keep_embeddings, extend=extend)
    if encoder == "npy":
        if image_embeddings is None or audio_embeddings is None:
            raise RecipeError("encoder `npy` needs --images and --sounds, an .npy each of (samples, channels)")
        vectors = read_embeddings(image_embeddings), read_embeddings(audio_embeddings)
        digest = hashlib.sha256()
        for tensor in vectors:
            digest.update(tensor.numpy().data)
        who = EncoderInfo(
            f"npy {image_embeddings.name} {audio_embeddings.name}", digest.hexdigest()[:16], str(resolve_device(device))
        )
        table = mine_from_embeddings(*vectors, dataset, who, output, how, overwrite, progress=True)
    else:
        embedder: Any
        if encoder.partition(":")[0] == "hub":
            from soundspot.inference.mining.hub import HubEmbedder

            embedder = HubEmbedder(*filter(None, encoder.partition(":")[2].split(",")))
        else:
            embedder = Localizer.load(encoder, device=device)
        table = mine_neighbours(embedder, dataset, output, how, overwrite, progress=True)
    print(f"{output}: {k} neighbours of each of {len(dataset)} samples, by {table.encoder}")
    if table.recall:
        shares = ", ".join(f"{share:.1%} of {modality}" for modality, share in table.recall.items())
        print(f"true neighbours among them: {shares}, measured on up to 1,000 samples")
