"""`soundspot check-results FOLDER`: a page to check what was located, and a threshold from the clicks."""

from pathlib import Path

from soundspot.cli.serve_page import serve_page
from soundspot.errors import InputError


def check_results(
    folder: Path,
    output: Path | None = None,
    min_precision: float | None = None,
    clips: int = 60,
    seed: int = 0,
    host: str = "127.0.0.1",
    port: int = 7862,
    overwrite: bool = False,
) -> None:
    """Check what was located in your own recordings on a page, by keys; some fifty clicks give a threshold for them.

    Clips are drawn so that low and high peaks are equally frequent. Decisions go into `review.sqlite` in the folder,
    and nothing in it is ever overwritten: go on at any time, also several people under their own names.

    Args:
        folder: folder that `soundspot locate` of a folder wrote.
        output: write the calibration from the clicks so far to this file (`.json`), and open no page; it is what
            `--calibration` takes. The page writes it to `review.calibration.json` in the folder.
        min_precision: of the output: least precision wanted, such as 0.9; by default the threshold has the highest F1.
        clips: number of clips to check; more than before draws more, and those before stay.
        seed: of the draw.
        host: address to listen at; 0.0.0.0 opens the page to everybody on the network.
        port: number to listen at; 0 takes a free one.
        overwrite: replace an output that is there.

    Examples:
        soundspot check-results located
    """
    from soundspot.review.calibrate import calibrate_review, format_calibration
    from soundspot.review.review import Review
    from soundspot.utils.atomic_io import check_output

    if output is not None:
        check_output(output, overwrite, (".json",))
        calibration = calibrate_review(Review(folder, clips, seed), min_precision)
        calibration.save(output, overwrite)
        print("\n".join(format_calibration(calibration)))
        print(f"written: {output}")
        return
    if min_precision is not None:
        raise InputError("--min-precision: is of the output, and --output names no file. On the page it is a slider")
    from soundspot.app.limits import Limits
    from soundspot.app.server import open_check_page

    review = Review(folder, clips, seed)
    print(f"{folder}: {len(review.clips)} clips of {len(review.moments)} results to check")
    serve_page(lambda: open_check_page(review, host), host, port, Limits())
