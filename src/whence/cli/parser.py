"""How a command line is read: jsonargparse's way, less what a command of this kind does not need."""

from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser


class Parser(ArgumentParser):
    """Flags are given by name alone (`--overwrite`), `-o` is `--output`, and commands have no `--config`."""

    def add_argument(self, *names: str, **options: Any) -> Any:
        if options.get("action") is ActionConfigFile:
            return None
        if options.get("default") is False:
            return super().add_argument(*names, action="store_true", help=options.get("help"))
        return super().add_argument(*(("-o",) if names == ("--output",) else ()), *names, **options)
