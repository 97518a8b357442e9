"""Search in an index of a user's own images, audio and videos, by an image, an audio, or both at once."""

from soundspot.search.index import Index
from soundspot.search.result import Hit, IndexingSummary

__all__ = ["Hit", "Index", "IndexingSummary"]
