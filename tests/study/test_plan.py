"""What a study does next, and with what."""

from pathlib import Path

from soundspot.study.plan import Planner
from soundspot.study.schema import StudyData, read_study


def test_the_commands_root_is_of_data_that_lie_there(tmp_path: Path) -> None:
    planner = Planner(read_study("debug"), tmp_path, "DATA")
    roots = [
        planner.localized_test(test).root
        for test in (
            StudyData("catalog"),
            StudyData("catalog", root="OTHER"),
            StudyData("open-interactive"),
        )
    ]
    assert roots == ["DATA", "OTHER", None]
