"""`soundspot compare REPORT REPORT ...`: models side by side, with p-values and published rows."""

import sys
from pathlib import Path
from typing import Literal


def compare(
    reports: list[Path],
    output: Path | None = None,
    format: Literal["md", "tex", "html", "csv"] | None = None,
    names: list[str] | None = None,
    intersect: bool = False,
    bootstraps: int = 2000,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Compare reports of the same data sets: differences with paired bootstrap p-values, and published rows.

    Args:
        reports: folders that `soundspot evaluate` or `soundspot evaluate-maps` wrote; the others are compared to the
            first.
        output: a page (`.html`) or a table (`.md`) to write; by default a table is printed alone.
        format: print a table as papers have it in place of all that, and write it to `--output`: headline scores with
            one decimal, the best in bold, no intervals.
        names: of the models, in the order of the reports.
        intersect: compare the samples that all reports of a data set have; otherwise different samples are an error.
        bootstraps: draws behind intervals and p-values.
        seed: of the bootstrap.
        overwrite: replace a file that is there.

    Examples:
        soundspot compare runs/reports/first runs/reports/second -o table.html --names first second
    """
    from soundspot.errors import DataError
    from soundspot.evaluation.report.compare import compare as compare_reports
    from soundspot.evaluation.report.compare_report import format_comparison, render_comparison
    from soundspot.evaluation.report.paper_table import format_paper_tables
    from soundspot.evaluation.report.report import load_report
    from soundspot.utils.atomic_io import atomic_write, check_output

    if len(reports) < 2:
        raise DataError(
            f"found {len(reports)} report{'s' * (len(reports) != 1)} to compare, expected two or more. Name the "
            "folders that `soundspot evaluate` wrote (each holds report.json)."
        )
    if output is not None:
        check_output(output, overwrite, (f".{format}",) if format else (".html", ".md"))
    loaded = [load_report(folder, maps=False) for folder in reports]
    comparisons = compare_reports(loaded, names, intersect=intersect, bootstraps=bootstraps, seed=seed)
    print(format_paper_tables(comparisons, format) if format else format_comparison(comparisons))
    if output is not None:
        if format:
            text = format_paper_tables(comparisons, format)
        elif output.suffix == ".html":
            text = render_comparison(comparisons)
        else:
            text = format_comparison(comparisons, markdown=True)
        with atomic_write(output) as draft:
            draft.write_text(text + "\n", encoding="utf-8")
        print(f"written: {output}", file=sys.stderr if format else sys.stdout)
