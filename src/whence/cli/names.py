"""`whence methods`, `whence datasets`, `whence protocols`: what there is, a line each."""


def methods() -> None:
    """List the methods there are.

    Examples:
        whence methods
    """
    from whence.methods import methods as names

    _print(names())


def datasets() -> None:
    """List the data sets there are.

    Examples:
        whence datasets
    """
    from whence.data.datasets import datasets as names

    _print(names())


def protocols() -> None:
    """List the rules of scoring there are, and what differs between them.

    Examples:
        whence protocols
    """
    from whence.evaluation import rulebook
    from whence.evaluation.protocols import protocols as names
    from whence.evaluation.tables import plain

    print(plain(rulebook.table()), end="\n\n")
    _print(names())
    print()
    _print(rulebook.COLUMNS)


def _print(lines: dict[str, str]) -> None:
    width = max(map(len, lines), default=0)
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")
