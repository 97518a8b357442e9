"""`soundspot compare REPORT REPORT ...`: models side by side, with p-values and published rows."""

from pathlib import Path
from typing import Literal


def compare(
    reports: list[Path],
    output: Path | None = None,
    names: list[str] | None = None,
    intersect: bool = False,
    bootstraps: int = 2000,
    seed: int = 0,
    overwrite: bool = False,
    format: Literal["md", "tex", "html", "csv"] | None = None,
    intervals: bool = False,
    published: list[str] | None = None,
) -> None:
    """Compare reports of the same data sets, or one with published rows: differences with paired bootstrap p-values.

    Args:
        reports: folders that `soundspot evaluate` or `soundspot evaluate-maps` wrote; the others are compared to the
            first. One report is put beside published rows, where there are any, and its rows that need no model.
        output: a page (`.html`) or a table (`.md`, `.tex`, `.csv`) to write; by default a table is printed alone.
        names: of the models, in the order of the reports.
        intersect: compare the samples that all reports of a data set have; otherwise different samples are an error.
        bootstraps: draws behind intervals and p-values.
        seed: of the bootstrap.
        overwrite: replace a file that is there.
        format: a table as papers print it, a row for each model and the best in bold; `.tex` and `.csv` are always one.
        intervals: with a format: add 95 % intervals.
        published: methods whose published rows are put beside the reports, such as ezvsl slavc; by default all.

    Examples:
        soundspot compare runs/reports/first runs/reports/second -o table.html --names first second
    """
    from soundspot.evaluation.report.compare import compare as compare_reports
    from soundspot.evaluation.report.compare_report import format_comparison, render_comparison
    from soundspot.evaluation.report.paper_table import find_paper_format, format_paper_tables
    from soundspot.evaluation.report.report import load_report
    from soundspot.utils.atomic_io import atomic_write, check_output

    style = find_paper_format(format, output.suffix if output else "")
    if output is not None:
        check_output(output, overwrite, (".html", ".md", ".tex", ".csv"))
    for folder in reports:
        check_report_folder(folder)
    loaded = [load_report(folder, maps=False) for folder in reports]
    comparisons = compare_reports(
        loaded, names, intersect=intersect, bootstraps=bootstraps, seed=seed, published=published
    )
    text = format_paper_tables(comparisons, style, intervals) if style else format_comparison(comparisons)
    print(text)
    if output is not None:
        if not style and output.suffix == ".html":
            text = render_comparison(comparisons)
        elif not style:
            text = format_comparison(comparisons, markdown=True)
        with atomic_write(output) as draft:
            draft.write_text(text + "\n", encoding="utf-8")
        print(f"written: {output}")


def check_report_folder(folder: Path) -> None:
    """Check that a path is the folder of a report, and say which would be where it is not.

    Args:
        folder: path that was given in place of a report.

    Raises:
        DataError: it is no folder with a report.json in it.
    """
    from soundspot.errors import DataError
    from soundspot.evaluation.report.report import REPORT_FILE

    if (folder / REPORT_FILE).is_file():
        return
    if (folder.parent / REPORT_FILE).is_file():
        remedy = f"Name its folder: {folder.parent}."
    elif nested := sorted(path.parent for path in folder.glob(f"*/{REPORT_FILE}")):
        remedy = f"Name reports in it: {' '.join(map(str, nested[:6]))}."
    else:
        remedy = "Make one: `soundspot evaluate DATASET --model MODEL -o FOLDER`."
    kind = "a file" if folder.is_file() else "no readable report" if folder.is_dir() else "nothing"
    raise DataError(f"{folder}: found {kind}, expected the folder of a report, with {REPORT_FILE} in it. {remedy}")
