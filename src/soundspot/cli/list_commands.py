"""`soundspot methods`, `datasets`, `protocols`: list what there is, a line each."""

import soundspot


def list_methods() -> None:
    """List the methods that can be trained.

    Examples:
        soundspot methods
    """
    _print(soundspot.list_methods())


def list_datasets() -> None:
    """List the data sets that can be opened by name.

    Examples:
        soundspot datasets
    """
    _print(soundspot.list_datasets())


def list_protocols() -> None:
    """List the protocols (rules of scoring), and what differs between them.

    Examples:
        soundspot protocols
    """
    from soundspot.evaluation.protocols import table
    from soundspot.evaluation.report.tables import format_text_table

    print(format_text_table(table.protocol_table()), end="\n\n")
    _print(soundspot.list_protocols())
    print()
    _print(table.COLUMN_DESCRIPTIONS)


def _print(lines: dict[str, str]) -> None:
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")
