"""`soundspot pseudo-label`: a table of class labels, made by classifiers that the user names."""

from pathlib import Path
from typing import Any, Literal


def pseudo_label(
    data: str,
    output: Path = Path("labels.csv"),
    image_classifier: str | None = None,
    audio_classifier: str | None = None,
    groups: Path | None = None,
    multi_label: Literal["auto", "none", "image", "audio", "both"] = "auto",
    min_probability: float = 0.01,
    root: Path | None = None,
    options: dict[str, Any] | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Label the image and the audio of each sample of a data set by classifiers (extra `hub`), for `labels.source`.

    Args:
        data: name of the data set (`soundspot datasets`).
        output: the table, a CSV of id,modality,class,probability.
        image_classifier: on the Hugging Face hub, or a folder. Without one images get no label.
        audio_classifier: likewise of audio.
        groups: a CSV of class,group: what the classifiers' classes are counted as; those left out are dropped. Without
            it the classes are those of both classifiers, each by its own name.
        multi_label: modality of which several classes can hold at once; auto: as each classifier's configuration says.
        min_probability: less probable classes are left out, but for each sample's most probable one.
        root: folder of the data set.
        options: of the data set, as in a recipe: `{"split": "train"}`.
        device: of the classifiers: `auto`, `cpu`, `cuda`, `mps`...
        overwrite: replace a file that exists.

    Examples:
        soundspot pseudo-label catalog --root CATALOG --image-classifier NAME --audio-classifier NAME -o labels.csv
    """
    from soundspot.data.datasets.labels import Label, write_labels
    from soundspot.data.datasets.registry import open_dataset
    from soundspot.errors import RecipeError
    from soundspot.inference.mining.classify import Classifier, Modality, classify_dataset, read_class_groups
    from soundspot.utils.atomic_io import atomic_write, check_output
    from soundspot.utils.device import resolve_device

    check_output(output, overwrite, (".csv",))
    dataset = open_dataset(data, root, **(options or {}))
    names: dict[Modality, str | None] = {"image": image_classifier, "audio": audio_classifier}
    classifiers = [
        Classifier(
            modality,
            name,
            None if multi_label == "auto" else multi_label in (modality, "both"),
            str(resolve_device(device)),
        )
        for modality, name in names.items()
        if name is not None
    ]
    if not classifiers:
        raise RecipeError("labels come from classifiers; give --image-classifier, --audio-classifier, or both")
    known = [name for classifier in classifiers for name in classifier.class_names]
    class_groups = None if groups is None else read_class_groups(groups, known)
    results = list(classify_dataset(dataset, classifiers, class_groups, min_probability, progress=True))
    labels = [result for result in results if isinstance(result, Label)]
    errors = [result for result in results if not isinstance(result, Label)]
    with atomic_write(output) as draft:
        write_labels(labels, draft)
    num_classes = len({label.class_name for label in labels})
    print(f"{output}: {len(labels)} labels of {num_classes} classes for {len(dataset)} samples")
    if errors:
        first = "\n".join(f"  {error}" for error in errors[:5])
        print(f"{len(errors)} images or audio could not be read and have no label, the first:\n{first}")
