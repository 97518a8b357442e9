"""An index of a user's own pictures, sounds and videos, asked by a picture, a sound, or both at once."""

from whence.search.index import Index
from whence.search.result import Hit, Outcome

__all__ = ["Hit", "Index", "Outcome"]
