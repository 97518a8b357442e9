"""A review: its draw and its decisions last, nothing is overwritten, and several people work at once."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from review_results import click, make_results
from soundspot.errors import DataError
from soundspot.review.review import ABSENT, ELSEWHERE, JOURNAL_FILE, RIGHT, UNSURE, Review
from soundspot.utils.append_journal import insert_row


def test_the_draw_lasts_and_grows(located: Path) -> None:
    clips = Review(located, 20).clips
    assert Review(located, 20, seed=9).clips == clips  # drawn already
    more = Review(located, 35).clips
    assert more[:20] == clips
    assert len({clip.moment for clip in more}) == 35
    assert Review(located, 5).clips == more


def test_an_undone_decision_stays_in_the_journal(located: Path) -> None:
    review = Review(located, 5)
    first, second = (clip.id for clip in review.clips[:2])
    review.record("ann", first, RIGHT)
    review.record("ann", second, ABSENT)
    review.record("bob", second, UNSURE)
    assert review.undo("ann") == second
    assert review.read_choices() == {"ann": {first: RIGHT}, "bob": {second: UNSURE}}
    assert review.next_clip("ann", first) == review.clips[1]
    assert (review.undo("ann"), review.undo("ann")) == (first, 0)
    assert review.journal.count_rows()["decisions"] == 5
    with closing(sqlite3.connect(located / JOURNAL_FILE)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("DELETE FROM decisions")


def test_each_annotator_goes_through_all_clips(located: Path) -> None:
    review = Review(located, 4)
    order, number = [], 0
    while clip := review.next_clip("ann", number):
        order.append(clip)
        number = clip.id
        review.record(" ann ", number, RIGHT)
    assert order == review.clips
    assert review.next_clip("bob") == review.clips[0]


def test_a_name_in_other_letters_is_the_same_annotator(located: Path) -> None:
    review = Review(located, 4)
    first, second, third, _ = (clip.id for clip in review.clips)
    review.record("Ann", first, RIGHT)
    review.record(" ann ", second, RIGHT)
    review.record_all("ANN", {first: ABSENT, third: UNSURE})
    assert review.read_choices() == {"Ann": {first: ABSENT, second: RIGHT, third: UNSURE}}
    assert review.next_clip("aNN") == review.clips[3]
    assert (review.undo("ann"), review.undo("ann")) == (third, first)
    assert review.measure_agreement() == []


def test_a_clip_that_another_process_drew_is_seen(located: Path) -> None:
    page, other = Review(located, 4), Review(located, 4)
    first, *rest = page.clips
    other.replace_clips([first.id])
    drawn = other.clips[-1]
    assert drawn not in page.clips
    assert [page.next_clip("ann", number) for number in (0, rest[-1].id)] == [rest[0], drawn]
    page.record("ann", drawn.id, RIGHT)
    assert other.read_choices() == page.read_choices() == {"ann": {drawn.id: RIGHT}}


def test_a_clip_that_another_process_lost_and_decided_on_is_seen(located: Path) -> None:
    page, other = Review(located, 4), Review(located, 4)
    clip = page.clips[0]
    page.replace_clips([clip.id])
    assert other.find_clip(page.clips[-1].id) == page.clips[-1]  # without another call before
    assert other.find_clip(clip.id) is None
    early = Review(located, 4)
    with early.journal.connect(write=True) as connection:  # decided on at the moment in which it was noted as gone
        insert_row(connection, "decisions", annotator="ann", clip=clip.id, choice=RIGHT)
    for review in (page, other):
        assert review.read_choices() == {"ann": {clip.id: RIGHT}}
        assert clip in review.clips


def test_a_clip_that_is_gone_is_replaced_and_stays_so(located: Path) -> None:
    review = Review(located, 5)
    first, second = (clip.id for clip in review.clips[:2])
    review.record("ann", second, RIGHT)
    review.replace_clips([first, second, first, 99])
    assert review.gone == {first, second}
    assert [clip.id for clip in review.clips] == [2, 3, 4, 5, 6]  # what is decided counts
    assert review.read_choices() == {"ann": {second: RIGHT}}
    assert review.next_clip("bob").id == 3
    again = Review(located, 5)
    assert (again.clips, again.gone) == (review.clips, review.gone)
    review.replace_clips([first, second])
    assert review.journal.count_rows()["decisions"] == 3


def test_the_majority_counts_for_presence_and_location_apart(located: Path) -> None:
    review = Review(located, 5)
    votes = [(RIGHT, ELSEWHERE, RIGHT), (RIGHT, ELSEWHERE, ABSENT), (RIGHT, ABSENT, UNSURE), (UNSURE,) * 3, (ABSENT,)]
    for clip, choices in zip(review.clips, votes, strict=True):
        for name, choice in zip(("ann", "bob", "carol"), choices, strict=False):
            review.record(name, clip.id, choice)
    labels, others = review.labels()
    assert [(label.clip, label.present, label.at_peak) for label in labels] == [
        (review.clips[0], True, True),
        (review.clips[1], True, None),
        (review.clips[4], False, None),
    ]
    assert others == {"disputed": 1, "unsure": 1}


def test_two_reviewers_at_once_lose_nothing_and_agree_as_they_click(located: Path) -> None:
    reviews = [Review(located, 40), Review(located, 40)]  # as two pages have them
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(click, reviews, ("ann", "bob"), (0.0, 0.1)))
    (agreement,) = reviews[0].measure_agreement()
    assert (agreement.first, agreement.second, agreement.num_items) == ("ann", "bob", 40)
    assert 0 < agreement.kappa < 1
    assert "kappa 0." in str(agreement)


def test_results_that_changed_are_left_out(located: Path) -> None:
    review = Review(located, 10)
    moment = review.clips[0].moment
    path = located / moment.result
    path.write_text(json.dumps([json.loads(path.read_text())[0] | {"peak": 0.1234}]))
    again = Review(located, 10)
    assert review.clips[0].id not in {clip.id for clip in again.clips}
    assert len(again.clips) == 10
    for other in located.glob("*.json"):  # located by another model
        other.write_text(json.dumps([json.loads(other.read_text())[0] | {"model_id": "another", "peak": 0.5}]))
    assert not {clip.id for clip in Review(located, 10).clips} & {clip.id for clip in again.clips}


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "a" * 61])
def test_a_name_that_cannot_be_shown_is_refused(located: Path, name: str) -> None:
    review = Review(located, 1)
    for act in (lambda: review.record(name, review.clips[0].id, RIGHT), lambda: review.undo(name)):
        with pytest.raises(DataError, match="found the annotator"):
            act()


def test_what_is_no_decision_is_refused(located: Path) -> None:
    review = Review(located, 1)
    with pytest.raises(DataError, match=r"found the choice 'rihgt', expected another. Did you mean 'right'\?"):
        review.record("ann", review.clips[0].id, "rihgt")
    with pytest.raises(DataError, match="found no clip number 99"):
        review.record("ann", 99, RIGHT)
    with pytest.raises(DataError, match="found 0 clips"):
        Review(located, 0)


def test_silence_alone_is_an_error(tmp_path: Path) -> None:
    folder = make_results(tmp_path, np.zeros(1), media=False)
    path = folder / "0.json"
    path.write_text(json.dumps([json.loads(path.read_text())[0] | {"silent": True}]))
    with pytest.raises(DataError, match="found silence in all results"):
        Review(folder)
