"""`soundspot compare REPORT REPORT ...`: models beside one another, with p-values and the published rows."""

import json
from collections.abc import Sequence
from pathlib import Path

FLAGS = ("--intersect", "--overwrite", "-h", "--help")  # flags without a value


def to_json_arguments(arguments: Sequence[str]) -> list[str]:
    """`A B -o t.md --names x,y` as the parser wants it: the reports as one JSON list, the names as another."""
    reports: list[str] = []
    rest, left = [], list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            reports += json.loads(word) if word.startswith("[") else [word]
            continue
        rest.append(word)
        if word not in FLAGS and "=" not in word and left:
            value = left.pop(0)
            as_list = word == "--names" and not value.startswith("[")
            rest.append(json.dumps(value.split(",")) if as_list else value)
    return [*([json.dumps(reports)] if reports else []), *rest]


def compare(
    reports: list[Path],
    output: Path | None = None,
    names: list[str] | None = None,
    intersect: bool = False,
    bootstraps: int = 2000,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Compare reports of the same data sets: differences with paired bootstrap p-values, published rows beside them.

    Args:
        reports: folders that `soundspot evaluate` or `soundspot score` wrote; the first is what the others are held against.
        output: a page (`.html`) or a table (`.md`) to write; without it, a table is printed.
        names: of the models, in the order of the reports, with commas between.
        intersect: compare the items that all reports of a data set have; otherwise different items are refused.
        bootstraps: draws behind intervals and p-values.
        seed: of the bootstrap.
        overwrite: replace a file that is there.

    Examples:
        soundspot compare runs/reports/first runs/reports/second -o table.html --names first,second
    """
    from soundspot.errors import DataError
    from soundspot.evaluation.report.compare import compare as compared
    from soundspot.evaluation.report.compare_report import format_comparison, render_comparison
    from soundspot.evaluation.report.report import load_report
    from soundspot.utils.atomic_io import atomic_write, check_output

    if len(reports) < 2:
        raise DataError("one report is nothing to compare; name two or more folders.")
    if output is not None:
        check_output(output, overwrite, (".html", ".md"))
    found = compared(
        [load_report(folder, maps=False) for folder in reports],
        names,
        intersect=intersect,
        bootstraps=bootstraps,
        seed=seed,
    )
    print(format_comparison(found))
    if output is not None:
        with atomic_write(output) as draft:
            made = render_comparison(found) if output.suffix == ".html" else format_comparison(found, markdown=True)
            draft.write_text(made + "\n", encoding="utf-8")
        print(f"written: {output}")
