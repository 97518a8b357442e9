"""`whence label`: a table of class labels, made by classifiers that the user names."""

from pathlib import Path
from typing import Any, Literal


def label(
    data: str,
    image_classifier: str | None = None,
    sound_classifier: str | None = None,
    output: Path = Path("labels.csv"),
    groups: Path | None = None,
    many: Literal["auto", "none", "image", "sound", "both"] = "auto",
    least: float = 0.01,
    root: Path | None = None,
    options: dict[str, Any] | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    overwrite: bool = False,
) -> None:
    """Say of each clip of a data set what its picture shows and what its sound is (extra `hub`), for `labels.source`.

    Args:
        data: name of the data set (`whence datasets`).
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
        whence label catalogue --root CATALOGUE --image-classifier NAME --sound-classifier NAME -o labels.csv
    """
    from whence.data.datasets import open_dataset
    from whence.data.labels import write_labels
    from whence.device import device_of
    from whence.errors import RecipeError
    from whence.inference.classify import Classifier, Kind, read_groups
    from whence.inference.classify import label as rows_of
    from whence.output import check_output, whole_file

    check_output(output, overwrite, (".csv",))
    dataset = open_dataset(data, root, **(options or {}))
    where = str(device_of(device))
    named: dict[Kind, str | None] = {"image": image_classifier, "sound": sound_classifier}
    classifiers: dict[Kind, Classifier] = {
        kind: Classifier(kind, name, None if many == "auto" else many in (kind, "both"), where)
        for kind, name in named.items()
        if name is not None
    }
    if not classifiers:
        raise RecipeError("labels come from classifiers; give --image-classifier, --sound-classifier, or both")
    known = [name for one in classifiers.values() for name in one.names]
    mapping = None if groups is None else read_groups(groups, known)
    unread: list[str] = []
    rows = list(rows_of(dataset, classifiers, mapping, least, progress=True, unread=unread))
    with whole_file(output) as draft:
        write_labels(rows, draft)
    classes = len({row.name for row in rows})
    print(f"{output}: {len(rows)} labels of {classes} classes for {len(dataset)} clips")
    if unread:
        first = "\n".join(f"  {message}" for message in unread[:5])
        print(f"{len(unread)} pictures or sounds could not be read and have no label, the first:\n{first}")
