"""`soundspot methods`, `soundspot datasets`, `soundspot protocols`: what there is, a line each."""


def list_methods() -> None:
    """List the methods there are.

    Examples:
        soundspot methods
    """
    from soundspot.methods import list_methods as names

    _print(names())


def list_datasets() -> None:
    """List the data sets there are.

    Examples:
        soundspot datasets
    """
    from soundspot.data.datasets.registry import list_datasets as names

    _print(names())


def list_protocols() -> None:
    """List the rules of scoring there are, and what differs between them.

    Examples:
        soundspot protocols
    """
    from soundspot.evaluation.protocols import table as rulebook
    from soundspot.evaluation.protocols.presets import list_protocols as names
    from soundspot.evaluation.report.tables import format_text_table

    print(format_text_table(rulebook.protocol_table()), end="\n\n")
    _print(names())
    print()
    _print(rulebook.COLUMN_DESCRIPTIONS)


def _print(lines: dict[str, str]) -> None:
    width = max(map(len, lines), default=0)
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")
