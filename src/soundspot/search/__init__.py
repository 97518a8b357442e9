"""An index of a user's own pictures, sounds and videos, asked by a picture, a sound, or both at once."""

from soundspot.search.index import Index
from soundspot.search.result import Hit, IndexingSummary

__all__ = ["Hit", "Index", "IndexingSummary"]
