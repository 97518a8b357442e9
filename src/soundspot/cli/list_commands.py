"""`soundspot methods`, `datasets`, `protocols`: list what there is, a line each."""

import soundspot


def list_methods() -> None:
    """List the methods that can be trained.

    Examples:
        soundspot methods
    """
    _print(soundspot.list_methods())


def list_datasets(name: list[str]) -> None:
    """List the data sets that can be opened by name, or the options of those that are named.

    Args:
        name: data sets whose options are listed, with their defaults.

    Examples:
        soundspot datasets vggss
    """
    from soundspot.data.datasets.registry import list_dataset_options
    from soundspot.utils.signatures import format_options

    if not name:
        _print(soundspot.list_datasets())
    for key in name:
        options = format_options(list_dataset_options(key))
        print(
            f"{key}: {soundspot.list_datasets()[key]}\n\noptions (`--options.KEY VALUE`, in a recipe `data.options`):"
        )
        print(options)


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
