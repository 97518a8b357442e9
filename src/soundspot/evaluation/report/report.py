"""What an evaluation found: the model's scores beside rows that need no model, every sample, and the raw maps."""

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from soundspot._version import __version__
from soundspot.errors import DataError, did_you_mean
from soundspot.evaluation.engine.predictions import MapsById, StoredMaps, write_maps
from soundspot.evaluation.report import tables
from soundspot.evaluation.report.interval import Interval
from soundspot.evaluation.report.sound_sensitivity import AudioCondition, SoundSensitivity
from soundspot.utils.atomic_io import atomic_write_folder

REPORT_FILE, SAMPLES_FILE, MAPS_FOLDER = "report.json", "samples.csv", "maps"
RowKind = Literal["model", "sound-blind", "ceiling", "published"]


@dataclass(frozen=True)
class ReportRow:
    """The scores of one model, or of an answer that needs none. Fractions."""

    name: str
    kind: RowKind
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class ProtocolRows:
    """The same maps under another protocol than the report's own: its values, and localisation scores of each row."""

    protocol: dict[str, Any]
    rows: tuple[ReportRow, ...]


@dataclass(frozen=True)
class SampleRow:
    """One item: what was asked and how it went; nan for what is not known.

    Attributes:
        present: whether the source is in the picture at all.
        iou, iou_adaptive: nan where the item does not enter the localisation scores.
        f, f_adaptive: F-scores, where the truth is a mask.
        confidence: mean of the highest quarter of the map at the protocol's size.
        area: of the truth, as a share of the picture.
        peak_own, peak_silence, ...: highest raw score with the own sound, with silence, noise, an off-screen sound.
        overlap_silence, ...: IoU of that map's highest places and those with the own sound, as many as the object has.
        iou_universal, pia_silence, ...: at the universal threshold, the IoU, and what is claimed with no source.
    """

    id: str
    group: str
    category: str
    present: bool = True
    iou: float = math.nan
    iou_adaptive: float = math.nan
    f: float = math.nan
    f_adaptive: float = math.nan
    confidence: float = math.nan
    area: float = math.nan
    peak_own: float = math.nan
    peak_silence: float = math.nan
    peak_noise: float = math.nan
    peak_offscreen: float = math.nan
    overlap_silence: float = math.nan
    overlap_noise: float = math.nan
    overlap_offscreen: float = math.nan
    iou_universal: float = math.nan
    pia_silence: float = math.nan
    pia_noise: float = math.nan
    pia_offscreen: float = math.nan

    @classmethod
    def threshold_free_columns(cls) -> tuple[str, ...]:
        """The columns that belong to no cut, in their order."""
        names = [one.name for one in fields(cls)]
        return tuple(names[names.index("confidence") :])


SAMPLE_COLUMNS = tuple(one.name for one in fields(SampleRow))  # of samples.csv


@dataclass(frozen=True, eq=False)
class Report:
    """Scores of a model on a data set under a protocol. `report["ciou"]` is the model's value.

    Attributes:
        protocol: the protocol's values, nested plain types.
        n: items asked, those without a source included.
        rows: the model first.
        samples: one for each item, in the data set's order.
        maps: raw maps (h, w) float32 by item id; after an evaluation they lie on disk and are read when asked for.
        notes: what a reader should know before trusting the numbers.
        front_end: what the maps were made from, where the model says so.
        others: the same under other protocols.
        listening: how the model fares with other sounds than each item's own.
        source: where model and data come from: their names and hashes, options, seeds, the threshold.
    """

    dataset: str
    protocol: dict[str, Any]
    n: int
    rows: tuple[ReportRow, ...]
    samples: tuple[SampleRow, ...] = ()
    maps: MapsById = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    front_end: dict[str, Any] | None = None
    other_protocols: tuple[ProtocolRows, ...] = ()
    sound_sensitivity: SoundSensitivity | None = None
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> ReportRow:
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
        return json.dumps([self.to_json(), [*map(attrgetter(*SAMPLE_COLUMNS), self.samples)], [*self.maps]])

    def to_json(self) -> dict[str, Any]:
        """The content of report.json: all but samples and maps; numbers that are not there are null."""
        ours = {"dataset": self.dataset, "protocol": self.protocol, "n": self.n, "soundspot": __version__}
        rest = {
            name: getattr(self, name)
            for name in ("rows", "other_protocols", "sound_sensitivity", "notes", "source", "front_end")
        }
        plain: dict[str, Any] = _plain(ours | rest)
        return plain

    def scores_by_protocol(self) -> dict[str, dict[str, float]]:
        """The model's scores by protocol: how far the rules alone move them."""
        ruled = [(self.protocol, self.rows), *((other.protocol, other.rows) for other in self.other_protocols)]
        return {
            protocol.get("name", "?"): {
                key: found.value for row in rows if row.kind == "model" for key, found in row.metrics.items()
            }
            for protocol, rows in ruled
        }

    def table(self) -> str:
        """The rows side by side, in percent; the model's with intervals."""
        return tables.format_report(self)

    def save(self, folder: str | Path, overwrite: bool = False, maps: bool = True) -> None:
        """Write report.json, samples.csv and maps/ into a new folder; it appears whole or not at all.

        Args:
            maps: whether to write the maps too.

        Raises:
            OutputError: the folder exists and `overwrite` is not set, or cannot be made.
        """
        with atomic_write_folder(Path(folder), overwrite, marker_file=REPORT_FILE) as draft:
            self.write(draft)
            if maps:
                (draft / MAPS_FOLDER).mkdir()
                write_maps(draft / MAPS_FOLDER, self.maps, self.map_metadata())

    def write(self, folder: Path) -> None:
        """Write report.json and samples.csv into the folder that is there."""
        (folder / REPORT_FILE).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        with open(folder / SAMPLES_FILE, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(SAMPLE_COLUMNS)
            table.writerows(map(attrgetter(*SAMPLE_COLUMNS), self.samples))

    def map_metadata(self) -> dict[str, Any]:
        """How the maps were made, as meta.json beside them has it."""
        meta = {"model": self.model.name, "dataset": self.dataset, "readout": self.protocol.get("readout")}
        meta |= {"front_end": self.front_end, "threshold": self.source.get("threshold")}
        return meta | ({"refinement": self.source["refinement"]} if "refinement" in self.source else {})


def load_report(folder: str | Path, maps: bool = True) -> Report:
    """A report as `Report.save` wrote it.

    Args:
        maps: whether its maps can be asked for too, where it has them; each is read then.

    Raises:
        DataError: a file of it is missing or unreadable.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
        with open(folder / SAMPLES_FILE, newline="", encoding="utf-8") as file:
            samples = tuple(map(_sample, csv.DictReader(file)))
        report = Report(
            content["dataset"],
            content["protocol"],
            content["n"],
            _rows(content["rows"]),
            samples,
            notes=tuple(content["notes"]),
            front_end=content["front_end"],
            other_protocols=tuple(
                ProtocolRows(other["protocol"], _rows(other["rows"])) for other in content["other_protocols"]
            ),
            sound_sensitivity=_sound_sensitivity(content["sound_sensitivity"]),
            source=content["source"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} holds no readable report ({error!r}); make it with `soundspot evaluate`.") from error
    return (
        replace(report, maps=StoredMaps(folder / MAPS_FOLDER)) if maps and (folder / MAPS_FOLDER).is_dir() else report
    )


def _plain(value: Any) -> Any:
    """As JSON has it: values as objects, tuples as lists, numbers that are not finite as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rows(content: list[dict[str, Any]]) -> tuple[ReportRow, ...]:
    return tuple(
        ReportRow(row["name"], row["kind"], {key: _interval(ends) for key, ends in row["metrics"].items()})
        for row in content
    )


def _sound_sensitivity(content: dict[str, Any] | None) -> SoundSensitivity | None:
    if content is None:
        return None
    conditions = []
    for condition in content["conditions"]:
        drop, overlap = (condition[key] and _interval(condition[key]) for key in ("drop", "overlap"))
        conditions.append(AudioCondition(condition["audio"], _interval(condition["score"]), drop, overlap))
    return SoundSensitivity(content["metric"], tuple(conditions), content["is_sensitive"], content["verdict"])


def _interval(ends: dict[str, float | None]) -> Interval:
    return Interval(**{name: math.nan if end is None else end for name, end in ends.items()})


def _sample(line: dict[str, str]) -> SampleRow:
    read: dict[Any, Callable[[str], Any]] = {str: str, float: float, bool: "True".__eq__}
    return SampleRow(**{one.name: read[one.type](line[one.name]) for one in fields(SampleRow)})
