"""`soundspot label`: a table of class labels, made by classifiers that the user names."""

from pathlib import Path
from typing import Any, Literal


def pseudo_label(
    data: str,
    image_classifier: str | None = None,
    audio_classifier: str | None = None,
    output: Path = Path("labels.csv"),
    groups: Path | None = None,
    multi_label: Literal["auto", "none", "image", "sound", "both"] = "auto",
    min_probability: float = 0.01,
    root: Path | None = None,
    options: dict[str, Any] | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    overwrite: bool = False,
) -> None:
    """Say of each clip of a data set what its picture shows and what its sound is (extra `hub`), for `labels.source`.

    Args:
        data: name of the data set (`soundspot datasets`).
        image_classifier: of pictures, on the Hugging Face hub or a folder. Without one pictures get no row.
        sound_classifier: of sounds, the same.
        output: the table, a CSV of id,modality,class,probability.
        groups: a CSV of class,group: what the classifiers' classes are counted as; those left out are dropped. Without
            it the classes are those of both classifiers, each by its own name.
        many: of which modality several classes can be right at once; auto: as each classifier's configuration says.
        least: probabilities below it are left out, but for each clip's most probable class.
        root: folder of the data set.
        options: of the data set, as in a recipe: `{"split": "train"}`.
        device: where the classifiers run.
        overwrite: replace a file that is there.

    Examples:
        soundspot label catalogue --root CATALOGUE --image-classifier NAME --sound-classifier NAME -o labels.csv
    """
    from soundspot.data.datasets.labels import write_labels
    from soundspot.data.datasets.registry import open_dataset
    from soundspot.errors import RecipeError
    from soundspot.inference.mining.classify import Classifier, Kind, read_class_groups
    from soundspot.inference.mining.classify import classify_dataset as rows_of
    from soundspot.utils.atomic_io import atomic_write, check_output
    from soundspot.utils.device import resolve_device

    check_output(output, overwrite, (".csv",))
    dataset = open_dataset(data, root, **(options or {}))
    where = str(resolve_device(device))
    named: dict[Kind, str | None] = {"image": image_classifier, "sound": audio_classifier}
    classifiers: dict[Kind, Classifier] = {
        kind: Classifier(kind, name, None if multi_label == "auto" else multi_label in (kind, "both"), where)
        for kind, name in named.items()
        if name is not None
    }
    if not classifiers:
        raise RecipeError("labels come from classifiers; give --image-classifier, --sound-classifier, or both")
    known = [name for one in classifiers.values() for name in one.class_names]
    mapping = None if groups is None else read_class_groups(groups, known)
    unread: list[str] = []
    rows = list(rows_of(dataset, classifiers, mapping, min_probability, progress=True, unreadable=unread))
    with atomic_write(output) as draft:
        write_labels(rows, draft)
    classes = len({row.class_name for row in rows})
    print(f"{output}: {len(rows)} labels of {classes} classes for {len(dataset)} clips")
    if unread:
        first = "\n".join(f"  {message}" for message in unread[:5])
        print(f"{len(unread)} pictures or sounds could not be read and have no label, the first:\n{first}")
