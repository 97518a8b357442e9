"""A name for each class of a kind, and a clear word where a name is unknown."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from soundspot.errors import RecipeError, did_you_mean

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Mapping of names to classes or functions of one kind: `@registry.register("name")`, then `registry["name"]`.

    An unknown name raises RecipeError with the nearest known name.

    Args:
        kind: noun for error messages, such as `method`.

    Examples:
        >>> shapes: Registry[type] = Registry("shape")
        >>> @shapes.register("circle")
        ... class Circle: ...
        >>> shapes["circel"]
        Traceback (most recent call last):
        ...
        soundspot.errors.RecipeError: unknown shape 'circel'. Did you mean 'circle'?
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that enters a class or function under a name.

        Args:
            name: name of the entry, not yet in use.

        Returns:
            Decorator that returns its argument unchanged.
        """

        def add(entry: T) -> T:
            assert name not in self._entries, f"two {self.kind}s are named {name!r}"
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            hint = did_you_mean(name, self._entries)
            own = " One of your own has a name after `--import FILE.py`." if hint.startswith(". There are") else ""
            raise RecipeError(f"unknown {self.kind} {name!r}{hint}{own}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
