"""What an evaluation found: the model's scores beside rows that need no model, every sample, and the raw maps."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from whence import __version__
from whence.errors import DataError, did_you_mean
from whence.evaluation.predictions import Maps, read_maps, write_maps
from whence.evaluation.words import printed, word
from whence.output import whole_folder

Kind = Literal["model", "sound-blind", "ceiling", "published"]


@dataclass(frozen=True)
class Interval:
    """A score, and where 95 % of the bootstrap's draws fall; nan for unknown ends."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Row:
    """The scores of one model, or of an answer that needs none. Fractions."""

    name: str
    kind: Kind
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class SampleRow:
    """One item: what was asked and how it went.

    Attributes:
        iou, iou_adaptive: nan where the item does not enter the localisation scores.
        confidence: mean of the highest quarter of the map at the protocol's size.
        peak_own, peak_foreign: highest raw score with its own sound, and with the sound of another category.
        truth_area: share of the picture.
        present: whether the source is in the picture at all.
    """

    id: str
    group: str
    category: str
    iou: float
    iou_adaptive: float
    confidence: float
    peak_own: float
    peak_foreign: float
    truth_area: float
    present: bool


@dataclass(frozen=True, eq=False)
class Report:
    """Scores of a model on a data set under a protocol. `report["ciou"]` is the model's value.

    Attributes:
        protocol: the protocol's values, nested plain types.
        n: items asked, those without a source included.
        rows: the model first.
        samples: one for each item, in the data set's order.
        maps: raw maps (h, w) float32 by item id.
        notes: what a reader should know before trusting the numbers.
        front_end: what the maps were made from, where the model says so.
    """

    dataset: str
    protocol: dict[str, Any]
    n: int
    rows: tuple[Row, ...]
    samples: tuple[SampleRow, ...] = ()
    maps: Maps = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    front_end: dict[str, Any] | None = None

    @property
    def model(self) -> Row:
        return next(row for row in self.rows if row.kind == "model")

    def __getitem__(self, key: str) -> float:
        metrics = self.model.metrics
        if key not in metrics:
            raise KeyError(f"no score {key!r} in this report{did_you_mean(key, metrics)}")
        return metrics[key].value

    def __eq__(self, other: object) -> bool:
        """The same numbers, samples, notes and maps; nan equals nan."""
        if not isinstance(other, Report):
            return NotImplemented
        return self._plain() == other._plain() and all(
            np.array_equal(mine, other.maps[id], equal_nan=True) for id, mine in self.maps.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def _plain(self) -> str:
        return json.dumps([self.to_json(), [*map(astuple, self.samples)], self.notes, self.front_end, [*self.maps]])

    def to_json(self) -> dict[str, Any]:
        """The content of report.json; numbers that are not there are null."""
        rows = [
            {
                "name": row.name,
                "kind": row.kind,
                "metrics": {
                    key: {name: _or_none(end) for name, end in asdict(interval).items()}
                    for key, interval in row.metrics.items()
                },
            }
            for row in self.rows
        ]
        protocol = json.loads(json.dumps(self.protocol))  # tuples become lists, as they will when read back
        return {"dataset": self.dataset, "protocol": protocol, "n": self.n, "whence": __version__, "rows": rows}

    def table(self) -> str:
        """The rows side by side, in percent with intervals."""
        keys = dict.fromkeys(key for row in self.rows for key in row.metrics)
        lines = [["", *(row.name for row in self.rows)]]
        for key in keys:
            lines.append([word(key).name, *(_cell(key, row.metrics.get(key)) for row in self.rows)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        head = f"{self.dataset}: {self.n} items, protocol {self.protocol.get('name', '?')}, percent with 95 % intervals"
        padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
        body = ("  ".join(line).rstrip() for line in padded)
        return "\n".join([head, *body, *(f"note: {note}" for note in self.notes)])

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write report.json, samples.csv, notes.txt and maps/ into a new folder; it appears whole or not at all.

        Raises:
            OutputError: the folder exists and `overwrite` is not set, or cannot be made.
        """
        with whole_folder(Path(folder), overwrite, holds="report.json") as draft:
            (draft / "report.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
            (draft / "notes.txt").write_text("".join(f"{note}\n" for note in self.notes), encoding="utf-8")
            with open(draft / "samples.csv", "w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(one.name for one in fields(SampleRow))
                table.writerows(map(astuple, self.samples))
            (draft / "maps").mkdir()
            meta = {"dataset": self.dataset, "readout": self.protocol.get("readout"), "front_end": self.front_end}
            write_maps(draft / "maps", self.maps, meta)


def load(folder: str | Path) -> Report:
    """A report as `Report.save` wrote it.

    Raises:
        DataError: a file of it is missing or unreadable.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        notes = tuple((folder / "notes.txt").read_text(encoding="utf-8").splitlines())
        rows = tuple(Row(row["name"], row["kind"], dict(_metrics(row["metrics"]))) for row in content["rows"])
        with open(folder / "samples.csv", newline="", encoding="utf-8") as file:
            samples = tuple(map(_sample, csv.DictReader(file)))
        found = content["dataset"], content["protocol"], content["n"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} holds no readable report ({error}); make it with `whence evaluate`.") from error
    maps, meta = read_maps(folder / "maps")
    return Report(*found, rows, samples, maps, notes, meta.get("front_end"))


def _metrics(content: dict[str, dict[str, float | None]]) -> Iterator[tuple[str, Interval]]:
    for key, ends in content.items():
        yield key, Interval(**{name: math.nan if end is None else end for name, end in ends.items()})


def _sample(line: dict[str, str]) -> SampleRow:
    read: dict[Any, Callable[[str], Any]] = {str: str, float: float, bool: "True".__eq__}
    return SampleRow(**{one.name: read[one.type](line[one.name]) for one in fields(SampleRow)})


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _cell(key: str, interval: Interval | None) -> str:
    if interval is None:
        return "-"
    value = printed(key, interval.value)
    known = interval.low == interval.low  # not nan
    return f"{value} [{printed(key, interval.low)}, {printed(key, interval.high)}]" if known else value
