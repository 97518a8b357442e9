"""`soundspot compare REPORT REPORT ...`: models beside one another, with p-values and the published rows."""

from pathlib import Path


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
        names: of the models, in the order of the reports.
        intersect: compare the items that all reports of a data set have; otherwise different items are refused.
        bootstraps: draws behind intervals and p-values.
        seed: of the bootstrap.
        overwrite: replace a file that is there.

    Examples:
        soundspot compare runs/reports/first runs/reports/second -o table.html --names first second
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
