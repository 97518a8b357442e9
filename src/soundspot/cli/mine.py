"""`soundspot neighbors mine`: tables of nearest neighbors."""

from pathlib import Path
from typing import Any, Literal


def mine(
    data: str,
    output: Path,
    model: str | None = None,
    root: Path | None = None,
    k: int = 1000,
    options: dict[str, Any] | None = None,
    image_embeddings: Path | None = None,
    audio_embeddings: Path | None = None,
    index_type: Literal["exact", "ivf"] = "exact",
    probes: int = 64,
    keep_embeddings: bool = False,
    extend: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    overwrite: bool = False,
) -> None:
    """Find the k nearest neighbors of each sample of a data set, by image and by audio.

    The draft is kept beside OUTPUT, as `.NAME.part`, until the table is complete: a run that was stopped is continued
    when the same command is given again, and ends with the same bytes.

    Args:
        data: name of the data set (`soundspot datasets`).
        output: folder of the table.
        model: name of a model or a checkpoint, whose own embeddings are used, by default the starter's; `clip-clap` for
            public encoders (extra `hub`), `clip-clap:CLIP_NAME,CLAP_NAME` for others. None with embeddings of your own.
        root: folder of the data set.
        k: number of neighbors of each sample.
        options: of the data set, as in a recipe: `{"split": "train"}`.
        image_embeddings: an .npy of (samples, channels) in the order of the data set, in place of a model.
        audio_embeddings: likewise of the audio.
        index_type: `exact`, up to about a million samples; beyond, `ivf` (extra `ann`), whose recall is measured on
            1,000 samples, printed, and kept in meta.json.
        probes: cells that `ivf` searches; more find more and take longer.
        keep_embeddings: keep the embeddings beside the table, so that it can be extended.
        extend: a table with its embeddings, made before samples were added to the data set: only the new ones are
            embedded, and the result is that of mining anew.
        device: of the checkpoint and of the exact search, whose 64-bit numbers MPS lacks.
        overwrite: replace a table that exists, or a draft of other options.

    Examples:
        soundspot neighbors mine catalog NEIGHBORS --model runs/demo/best.safetensors --root CATALOG
    """
    import hashlib

    from soundspot.data.datasets.registry import open_dataset
    from soundspot.errors import OutputError, RecipeError
    from soundspot.inference.localizer import load
    from soundspot.inference.mining.embed import read_embeddings
    from soundspot.inference.mining.mine import MiningOptions, SampleEmbeddings, mine_neighbors
    from soundspot.utils.device import resolve_device

    is_table = (output / "meta.json").is_file()
    if output.exists() and not (is_table and overwrite):
        remedy = ", or replace the table in it by --overwrite" if is_table else ""
        raise OutputError(f"{output}: exists already; name another folder{remedy}")
    dataset = open_dataset(data, root, **(options or {}))
    embedder: Any
    if image_embeddings or audio_embeddings:
        if not (image_embeddings and audio_embeddings) or model:
            raise RecipeError("give --image-embeddings and --audio-embeddings together, and no --model")
        embeddings = read_embeddings(image_embeddings), read_embeddings(audio_embeddings)
        digest = hashlib.sha256()
        for tensor in embeddings:
            digest.update(tensor.numpy().data)
        name = f"npy {image_embeddings.name} {audio_embeddings.name}"
        embedder = SampleEmbeddings(*embeddings, name, digest.hexdigest()[:16], str(resolve_device(device)))
    elif (model or "").partition(":")[0] == "clip-clap":
        from soundspot.inference.mining.hub import HubEmbedder

        embedder = HubEmbedder(*filter(None, str(model).partition(":")[2].split(",")))
    else:
        embedder = load(model, device=device)
    mining = MiningOptions(
        k,
        index_type,
        probes,
        keep_embeddings=keep_embeddings,
        extend=extend,
        overwrite=overwrite,
        progress=True,
    )
    table = mine_neighbors(embedder, dataset, output, mining)
    print(f"{output}: {k} neighbors of each of {len(dataset)} samples, by {table.encoder}")
    if table.recall:
        recall = ", ".join(f"{value:.1%} of {modality}" for modality, value in table.recall.items())
        print(f"true neighbors among them: {recall}, measured on up to 1,000 samples")
