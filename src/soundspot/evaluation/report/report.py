"""The report of an evaluation: the model's scores beside rows that need no model, every sample, and the raw maps."""

import csv
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from soundspot import __version__
from soundspot.errors import DataError, did_you_mean
from soundspot.evaluation.engine.predictions import MapsById, StoredMaps, write_maps
from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.report import tables
from soundspot.evaluation.report.sound_sensitivity import AudioCondition, SoundSensitivity
from soundspot.utils.atomic_io import atomic_write_folder
from soundspot.utils.notebook import lines_to_html, table_to_html
from soundspot.utils.safe_read import check_fields, convert_read_errors, read_json_object

REPORT_FILE, SAMPLES_FILE, MAPS_FOLDER = "report.json", "samples.csv", "maps"
RowKind = Literal["model", "sound-blind", "ceiling", "published"]


@dataclass(frozen=True)
class ReportRow:
    """The scores of one model, or of maps that need none.

    Attributes:
        name: name of the model or the reference row.
        kind: `model`, `sound-blind` (maps that ignore the sample's audio), `ceiling` or `published`.
        metrics: report key -> score with its 95 % interval; fractions, but for metrics that are not.
    """

    name: str
    kind: RowKind
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class ProtocolRows:
    """Rows of the same maps under another protocol than the report's own.

    Attributes:
        protocol: attributes of the protocol as plain values (`Protocol.as_dict`).
        rows: rows of the scores that threshold rules change, the model first.
    """

    protocol: dict[str, Any]
    rows: tuple[ReportRow, ...]


@dataclass(frozen=True)
class SubsetRows:
    """Rows of the samples that have one value of an attribute.

    Attributes:
        attribute: name of the attribute, such as `category` or `voice_over`.
        value: the value that they share; empty where it is not known of them.
        n: number of samples among them that enter the localization scores.
        rows: rows of the scores on them, the model first.
    """

    attribute: str
    value: str
    n: int
    rows: tuple[ReportRow, ...]


@dataclass(frozen=True)
class ReliabilityBin:
    """A bin of the reliability diagram: maps of about one predicted probability of presence.

    Attributes:
        low, high: ends of the bin.
        share: share of the maps in it; those of present and of absent sources count one half each.
        probability: their mean predicted probability; nan where there are none.
        frequency: share of present sources among them; nan where there are none.
    """

    low: float
    high: float
    share: float
    probability: float
    frequency: float


@dataclass(frozen=True)
class SampleRow:
    """Sample of the data set with its numbers: `sample["iou"]`.

    Attributes:
        id: id of the sample.
        group: name of its image.
        category: category of its audio; "" where unknown.
        present: whether the source is in the image.
        values: numbers by column, nan where unknown. `iou`, `iou_adaptive`, `f`, `f_adaptive` (F-scores of masks) and
            registered metrics of maps: nan where the sample does not enter the localization scores. `confidence`: mean
            of the highest quarter of the map at the protocol's size. `area`: share of the image's pixels in the ground
            truth. `peak_own`, `peak_silence`...: highest raw score with that audio. `overlap_silence`...: IoU of that
            map's highest pixels and those with the sample's own audio, as many as the object has. At the universal
            threshold: `iou_universal`, and `pia_silence`..., the predicted area as a fraction of the image.
    """

    id: str
    group: str
    category: str
    present: bool
    values: dict[str, float]

    def __getitem__(self, column: str) -> float:
        """Return a number of the sample.

        Args:
            column: name of the column.

        Returns:
            The number; nan where it is unknown.
        """
        return self.values.get(column, math.nan)


@dataclass(frozen=True, eq=False)
class Report:
    """Scores of a model on a data set under a protocol: `report["ciou"]` is the model's value.

    Attributes:
        dataset: name of the data set.
        protocol: attributes of the protocol as plain values (`Protocol.as_dict`).
        n: number of samples, those without a source included.
        rows: scores of the model and of reference rows, the model first.
        samples: samples in the data set's order.
        maps: sample id -> (h, w) float32 raw map; after an evaluation they lie on disk and are read when looked up.
        notes: notes for the reader.
        front_end: fields of the `InputSpec` of the model; None where unknown.
        other_protocols: scores of the same maps under other protocols.
        sound_sensitivity: scores of the same images with other audio than each sample's own; None without such maps.
        source: origin of model and data as plain values: names and hashes, options, seeds, the threshold and the
            calibration of presence.
        subsets: scores by attributes of the samples; empty where none were asked for.
        reliability: bins of the reliability diagram of the probability of presence; empty where none was fitted.
        draws: report key -> (d,) score of the model in each bootstrap draw. Draw i counts the images of one data set
            alike in every report of the same seed, so that scores of several reports are paired. Not saved.
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
    subsets: tuple[SubsetRows, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    draws: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> ReportRow:
        """The row of the model."""
        return next(row for row in self.rows if row.kind == "model")

    def __getitem__(self, key: str) -> float:
        """Return a score of the model.

        Args:
            key: report key, such as `ciou_adaptive`.

        Returns:
            Value of the score, a fraction for most metrics.

        Raises:
            KeyError: the report has no such score.
        """
        metrics = self.model.metrics
        if key not in metrics:
            raise KeyError(f"no score {key!r} in this report{did_you_mean(key, metrics)}")
        return metrics[key].value

    def __eq__(self, other: object) -> bool:
        """Compare all attributes and maps; nan equals nan.

        Args:
            other: object to compare with.

        Returns:
            True for a report with equal content; NotImplemented for another type.
        """
        if not isinstance(other, Report):
            return NotImplemented
        return self._comparable() == other._comparable() and all(
            np.array_equal(scores, other.maps[id], equal_nan=True) for id, scores in self.maps.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def _comparable(self) -> str:
        return json.dumps([self.to_json(), _to_json(self.samples), [*self.maps]])

    def select_metrics(self, keys: Collection[str]) -> "Report":
        """Return a copy of the report with these metrics alone.

        Args:
            keys: report keys; unknown ones are ignored.

        Returns:
            The report; rows without any of the metrics are left out, except the model's.
        """

        def select(rows: tuple[ReportRow, ...]) -> tuple[ReportRow, ...]:
            chosen = (replace(r, metrics={k: score for k, score in r.metrics.items() if k in keys}) for r in rows)
            return tuple(row for row in chosen if row.metrics or row.kind == "model")

        return replace(
            self,
            rows=select(self.rows),
            other_protocols=tuple(replace(other, rows=select(other.rows)) for other in self.other_protocols),
            subsets=tuple(replace(subset, rows=select(subset.rows)) for subset in self.subsets),
            reliability=self.reliability if "presence_ece" in keys else (),
        )

    def to_json(self) -> dict[str, Any]:
        """Convert all but samples and maps to plain values, the object in report.json.

        Returns:
            Attribute -> value, with the `soundspot` version; numbers that are not finite are None.
        """
        content = {"dataset": self.dataset, "protocol": self.protocol, "n": self.n, "soundspot": __version__}
        content |= {"rows": self.rows, "other_protocols": self.other_protocols, "notes": self.notes}
        content |= {"sound_sensitivity": self.sound_sensitivity, "source": self.source, "front_end": self.front_end}
        content |= {"subsets": self.subsets, "reliability": self.reliability}
        report_json: dict[str, Any] = _to_json(content)
        return report_json

    def scores_by_protocol(self) -> dict[str, dict[str, float]]:
        """Return the model's scores under each protocol.

        Returns:
            Name of the protocol -> report key -> value; the report's own protocol first.
        """
        of_protocols = [(self.protocol, self.rows), *((other.protocol, other.rows) for other in self.other_protocols)]
        return {
            protocol.get("name", "?"): {
                key: score.value for row in rows if row.kind == "model" for key, score in row.metrics.items()
            }
            for protocol, rows in of_protocols
        }

    def table(self) -> str:
        """Format the rows side by side as a text table, in percent.

        Returns:
            Lines of text: a line for each metric, a column for each row; the model's scores have intervals. Scores
                under other
            protocols, sound sensitivity and notes follow.
        """
        return tables.format_report(self)

    def _repr_html_(self) -> str:
        verdict = self.sound_sensitivity.verdict if self.sound_sensitivity else ""
        heading = f"{self.dataset}, {self.n} samples, protocol {self.protocol['name']}"
        table = table_to_html(tables.build_metric_table(self))
        return lines_to_html(filter(None, [verdict, heading])) + table + lines_to_html(self.notes)

    def save(self, folder: str | Path, overwrite: bool = False, maps: bool = True) -> None:
        """Write report.json, samples.csv and maps/ into a new folder, which appears complete or not at all.

        Args:
            folder: path of the folder to make; its parent exists.
            overwrite: replace an existing report; a folder of other content is never replaced.
            maps: True: write the maps too; False: numbers alone.

        Raises:
            OutputError: the folder exists and `overwrite` is not set, holds something else, or its parent does not
                exist.
        """
        with atomic_write_folder(Path(folder), overwrite, marker_file=REPORT_FILE) as draft:
            self.write(draft)
            if maps:
                (draft / MAPS_FOLDER).mkdir()
                write_maps(draft / MAPS_FOLDER, self.maps, self.map_metadata())

    def write(self, folder: Path) -> None:
        """Write report.json and samples.csv.

        Args:
            folder: existing folder; files of these names are replaced.
        """
        (folder / REPORT_FILE).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        columns = [*self.samples[0].values] if self.samples else []
        with open(folder / SAMPLES_FILE, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["id", "group", "category", "present", *columns])
            table.writerows([s.id, s.group, s.category, s.present, *map(s.__getitem__, columns)] for s in self.samples)

    def map_metadata(self) -> dict[str, Any]:
        """Return how the maps were made: the object in meta.json beside the maps.

        Returns:
            Names of model and data set, upsampling, front end, threshold and, where there are these, refinement and
            calibration of presence, as plain values.
        """
        meta = {"model": self.model.name, "dataset": self.dataset, "upsampling": self.protocol.get("upsampling")}
        meta |= {"front_end": self.front_end, "threshold": self.source.get("threshold")}
        return meta | {key: self.source[key] for key in ("refinement", "presence") if key in self.source}


def load_report(folder: str | Path, maps: bool = True) -> Report:
    """Load a report that `Report.save` wrote.

    Args:
        folder: folder of the report.
        maps: True: open its maps too, where it has them; False: numbers alone.

    Returns:
        The report; its maps are read when they are looked up.

    Raises:
        DataError: a file is missing or unreadable, or of a version before the library was named soundspot.
    """
    folder = Path(folder)
    with convert_read_errors(folder, "expected a report. Make it with `soundspot evaluate`"):
        content = read_json_object(folder / REPORT_FILE, "expected that of a report. Make it with `soundspot evaluate`")
        if "soundspot" not in content:
            raise DataError(
                f"{folder}: found a report of an earlier version, expected one of soundspot. Make it anew with "
                "`soundspot evaluate`, or from its maps with `soundspot evaluate-maps`."
            )
        with open(folder / SAMPLES_FILE, newline="", encoding="utf-8") as file:
            samples = tuple(map(_read_sample, csv.DictReader(file)))
        report = Report(
            content["dataset"],
            content["protocol"],
            content["n"],
            _read_rows(content["rows"]),
            samples,
            notes=tuple(content["notes"]),
            front_end=content["front_end"],
            other_protocols=tuple(
                ProtocolRows(o["protocol"], _read_rows(o["rows"])) for o in content["other_protocols"]
            ),
            sound_sensitivity=_read_sound_sensitivity(content["sound_sensitivity"]),
            source=content["source"],
            subsets=tuple(
                SubsetRows(s["attribute"], s["value"], s["n"], _read_rows(s["rows"]))
                for s in content.get("subsets", ())
            ),
            reliability=tuple(ReliabilityBin(**_read_numbers(b)) for b in content.get("reliability", ())),
        )
        check_fields(report)
        if all(row.kind != "model" for row in report.rows) or len({tuple(s.values) for s in samples}) > 1:
            raise DataError(f"{folder}: found no row of a model, or samples of different columns. Evaluate again")
    return (
        replace(report, maps=StoredMaps(folder / MAPS_FOLDER)) if maps and (folder / MAPS_FOLDER).is_dir() else report
    )


def _to_json(value: Any) -> Any:
    """Return what JSON holds: dataclasses as objects, tuples as lists, numbers that are not finite as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_rows(content: list[dict[str, Any]]) -> tuple[ReportRow, ...]:
    return tuple(
        ReportRow(row["name"], row["kind"], {key: _read_interval(score) for key, score in row["metrics"].items()})
        for row in content
    )


def _read_sound_sensitivity(content: dict[str, Any] | None) -> SoundSensitivity | None:
    if content is None:
        return None
    conditions = tuple(
        AudioCondition(c["audio"], *(c[key] and _read_interval(c[key]) for key in ("score", "drop", "overlap")))
        for c in content["conditions"]
    )
    return SoundSensitivity(content["metric"], conditions, content["is_sensitive"], content["verdict"])


def _read_interval(ends: dict[str, float | None]) -> Interval:
    return Interval(**_read_numbers(ends))


def _read_numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in values.items()}


def _read_sample(line: dict[str, str]) -> SampleRow:
    id, group, category, present = (line.pop(name) for name in ("id", "group", "category", "present"))
    return SampleRow(id, group, category, present == "True", {name: float(value) for name, value in line.items()})
