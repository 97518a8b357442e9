"""A review: the clips drawn from a folder of results, and the decisions on them, in a journal that only grows."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

import numpy as np

from soundspot.errors import DataError, did_you_mean
from soundspot.evaluation.functional.agreement import PairAgreement, compare_annotators
from soundspot.review.draw import draw_moments
from soundspot.review.results import Moment, read_moments
from soundspot.utils.append_journal import AppendJournal, insert_row, match_annotator

JOURNAL_FILE = "review.sqlite"
SCHEMA_VERSION = 1
NUM_CLIPS = 60
NOBODY = ""  # writes that a clip is gone; no annotator has this name
RIGHT, ELSEWHERE, ABSENT, UNSURE = CHOICES = ("right", "elsewhere", "absent", "unsure")
UNDONE = "undone"  # takes back the decision before
GONE = "gone"  # no decision: a file of the clip cannot be read any more
_TABLES = {
    "clips": "moment TEXT NOT NULL, identity TEXT NOT NULL, UNIQUE (moment, identity)",
    "decisions": "annotator TEXT NOT NULL, clip INTEGER NOT NULL REFERENCES clips (id), choice TEXT NOT NULL",
}
_INDEXES = ("CREATE INDEX decisions_of_clip ON decisions (annotator, clip)",)


@dataclass(frozen=True)
class Clip:
    """A clip to check.

    Attributes:
        id: number in the journal, from 1.
        moment: the located moment.
    """

    id: int
    moment: Moment


@dataclass(frozen=True)
class ClipLabel:
    """Label of a clip that its annotators agree on.

    Attributes:
        clip: the clip.
        present: whether its source is in the image.
        at_peak: whether the source is where the peak is; None: it is absent, or annotators disagree.
    """

    clip: Clip
    present: bool
    at_peak: bool | None


class Review:
    """The review of a folder of results, whose journal `review.sqlite` lies in that folder.

    Several people may review at once, each under a name, in one page or several.

    Args:
        folder: folder that `soundspot locate` wrote its results into.
        num_clips: number of clips in all; where more were drawn before, these stay.
        seed: random seed of the draw.

    Attributes:
        model: the model that located the results.
        moments: all moments of the results.
        clips: clips to check, in the order of the draw. Left out are clips of results that have changed since, and of
            files that are gone where nobody has decided on them.
        gone: numbers of the clips whose files are gone.

    Raises:
        DataError: there are no results in the folder, they are damaged or of several models, or the journal is damaged.
        OutputError: the journal cannot be written.
    """

    def __init__(self, folder: Path, num_clips: int = NUM_CLIPS, seed: int = 0) -> None:
        if num_clips < 1:
            raise DataError(f"found {num_clips} clips, expected at least 1. Give a larger number")
        self.folder = folder
        self.model, self.moments = read_moments(folder)
        if not self.moments:
            raise DataError(f"{folder}: found silence in all results, expected sounds. Locate other recordings")
        self.journal = AppendJournal(folder / JOURNAL_FILE, _TABLES, SCHEMA_VERSION, _INDEXES, create=True)
        self._num_clips, self._seed = num_clips, seed
        self._indices = {moment.to_json(): index for index, moment in enumerate(self.moments)}
        self._peaks = np.array([moment.peak for moment in self.moments])
        self._files = np.unique([moment.image for moment in self.moments], return_inverse=True)[1]
        self._state: tuple[int | None, ...] = ()
        self._update()

    def _update(self) -> None:
        """Read the clips anew where another process has drawn some, or decided on one, which may be gone."""
        query = "SELECT (SELECT MAX(id) FROM clips), (SELECT MAX(id) FROM decisions)"
        with self.journal.reading() as connection:
            state = tuple(connection.execute(query).fetchone())
        if state != self._state:
            with self.journal.connect(write=True) as connection:
                self.clips, self.gone = self._draw(connection)
                self._state = tuple(connection.execute(query).fetchone())

    def _draw(self, connection: Connection) -> tuple[list[Clip], set[int]]:
        """Draw clips up to their number, and return those whose results and files are as they were; and who is gone."""
        texts, identity = [*self._indices], self.model.identity
        rows = connection.execute("SELECT id, moment FROM clips WHERE identity = ? ORDER BY id", (identity,))
        numbers = {row["moment"]: row["id"] for row in rows if row["moment"] in self._indices}
        gone = {row["clip"] for row in connection.execute("SELECT clip FROM decisions WHERE choice = ?", (GONE,))}
        lost = gone - {number for choices in _read_choices(connection).values() for number in choices}
        count = self._num_clips + len(lost.intersection(numbers.values()))
        drawn = [self._indices[text] for text in numbers]
        for index in draw_moments(self._peaks, self._files, count, self._seed, drawn):
            numbers[texts[index]] = insert_row(connection, "clips", moment=texts[index], identity=identity)
        clips = [Clip(number, self.moments[self._indices[text]]) for text, number in numbers.items()]
        return [clip for clip in clips if clip.id not in lost], gone

    def replace_clips(self, numbers: Collection[int]) -> None:
        """Note that clips are gone, and draw another for each that nobody has decided on.

        Args:
            numbers: numbers of clips whose files cannot be read any more.
        """
        with self.journal.connect(write=True) as connection:
            for number in sorted({clip.id for clip in self.clips}.intersection(numbers) - self.gone):
                insert_row(connection, "decisions", annotator=NOBODY, clip=number, choice=GONE)
        self._update()

    def find_clip(self, number: int) -> Clip | None:
        """Find a clip by its number.

        Args:
            number: number in the journal.

        Returns:
            The clip; None where there is none.
        """
        self._update()
        return next((clip for clip in self.clips if clip.id == number), None)

    def record(self, annotator: str, clip: int, choice: str) -> None:
        """Record a decision on a clip; an earlier decision of the same annotator stays in the journal.

        Args:
            annotator: name of the annotator.
            clip: number of the clip.
            choice: `right`: the source is in the image, and the peak is on it; `elsewhere`: it is in the image, and the
                peak is not on it; `absent`: it is not in the image; `unsure`.

        Raises:
            DataError: there is no such clip or choice, or the name is not valid.
        """
        self.record_all(annotator, {clip: choice})

    def record_all(self, annotator: str, choices: Mapping[int, str]) -> None:
        """Record decisions on several clips, all or none.

        Args:
            annotator: name of the annotator.
            choices: number of each clip -> choice, as of `record`.

        Raises:
            DataError: there is no such clip or choice, or the name is not valid.
        """
        self._update()
        numbers = {clip.id for clip in self.clips}
        with self.journal.connect(write=True) as connection:
            annotator = match_annotator(connection, annotator)
            for clip, choice in choices.items():
                if choice not in CHOICES:
                    raise DataError(f"found the choice {choice!r:.40}, expected another{did_you_mean(choice, CHOICES)}")
                if clip not in numbers:
                    where = self.journal.path
                    raise DataError(f"{where}: found no clip number {clip}. Reload the page, or correct the number")
                insert_row(connection, "decisions", annotator=annotator, clip=clip, choice=choice)

    def undo(self, annotator: str) -> int:
        """Take back the latest decision of an annotator that counts; the journal keeps it, with a row that undoes it.

        Args:
            annotator: name of the annotator.

        Returns:
            Number of the clip; 0 where there is no decision.

        Raises:
            DataError: the name is not valid.
        """
        self._update()
        numbers = [clip.id for clip in self.clips]
        with self.journal.connect(write=True) as connection:
            annotator = match_annotator(connection, annotator)
            row = connection.execute(
                "SELECT clip FROM decisions WHERE annotator = ? AND choice != ? AND id IN "
                "(SELECT MAX(id) FROM decisions WHERE annotator = ? GROUP BY clip) "
                f"AND clip IN ({', '.join('?' * len(numbers))}) ORDER BY id DESC LIMIT 1",
                (annotator, UNDONE, annotator, *numbers),
            ).fetchone()
            if row is None:
                return 0
            insert_row(connection, "decisions", annotator=annotator, clip=row["clip"], choice=UNDONE)
            return int(row["clip"])

    def read_choices(self) -> dict[str, dict[int, str]]:
        """Read the decisions that count: the latest of each annotator on each clip, without those taken back.

        Returns:
            Name of each annotator -> number of the clip -> choice.
        """
        self._update()
        numbers = {clip.id for clip in self.clips}
        with self.journal.reading() as connection:
            choices = _read_choices(connection)
        own = {name: {clip: of[clip] for clip in of if clip in numbers} for name, of in choices.items()}
        return {name: of for name, of in own.items() if of}

    def next_clip(self, annotator: str, after: int = 0) -> Clip | None:
        """Return the next clip that an annotator has not decided on, and whose files are not gone.

        Args:
            annotator: name of the annotator.
            after: number of a clip; later ones come first, and then those before it.

        Returns:
            The clip; None where all are decided.

        Raises:
            DataError: the name is not valid.
        """
        self._update()
        with self.journal.reading() as connection:
            decided = _read_choices(connection).get(match_annotator(connection, annotator), {})
        left = [clip for clip in self.clips if clip.id not in self.gone and clip.id not in decided]
        return next((clip for clip in left if clip.id > after), left[0] if left else None)

    def measure_agreement(self) -> list[PairAgreement]:
        """Measure how far each two annotators agree, clips included that one of them is unsure about.

        Returns:
            Agreement of each two that decided on a common clip.
        """
        return compare_annotators(self.read_choices())

    def labels(self) -> tuple[list[ClipLabel], Counter[str]]:
        """Combine the decisions of all annotators: the majority counts, for presence and for the location apart.

        Returns:
            The label of each clip that has one; and the number of clips `unsure` (by all who decided) and `disputed`
            (as many say that the source is present as that it is absent).
        """
        votes: dict[int, list[str]] = defaultdict(list)
        for choices in self.read_choices().values():
            for number, choice in choices.items():
                votes[number].append(choice)
        labels, others = [], Counter[str]()
        for clip in self.clips:
            counts = Counter(votes[clip.id])
            present, absent = counts[RIGHT] + counts[ELSEWHERE], counts[ABSENT]
            if present == absent:
                others["disputed" if present else "unsure"] += bool(counts)
            else:
                at_peak = _majority(counts[RIGHT], counts[ELSEWHERE]) if present > absent else None
                labels.append(ClipLabel(clip, present > absent, at_peak))
        return labels, others


def _read_choices(connection: Connection) -> dict[str, dict[int, str]]:
    """Read the latest choice of each annotator on each clip, of all clips of the journal."""
    rows = connection.execute(
        "SELECT annotator, clip, choice FROM decisions WHERE id IN (SELECT MAX(id) FROM decisions "
        "GROUP BY annotator, clip) ORDER BY id"
    ).fetchall()
    choices: dict[str, dict[int, str]] = defaultdict(dict)
    for row in rows:
        if row["choice"] not in (UNDONE, GONE):
            choices[row["annotator"]][row["clip"]] = row["choice"]
    return dict(choices)


def _majority(first: int, second: int) -> bool | None:
    return None if first == second else first > second
