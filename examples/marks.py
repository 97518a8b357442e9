"""What scripts write into pages that people write too: a part between two marks."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Marks:
    """The part of a page that the script `by` writes; `what` names it."""

    what: str
    by: str

    @property
    def begin(self) -> str:
        return f"<!-- {self.what}: written by examples/{self.by}.py -->"

    @property
    def end(self) -> str:
        return f"<!-- end of {self.what} -->"

    def shown(self, file: Path) -> str:
        """What stands between them."""
        return file.read_text(encoding="utf-8").split(self.begin)[1].split(self.end)[0].strip()

    def fill(self, file: Path, text: str) -> None:
        """Puts the text between them."""
        before, rest = file.read_text(encoding="utf-8").split(self.begin)
        after = rest.split(self.end)[1]
        file.write_text(f"{before}{self.begin}\n{text.strip()}\n{self.end}{after}", encoding="utf-8")
