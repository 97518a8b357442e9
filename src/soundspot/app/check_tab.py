"""The tab in which people check what was located in their own recordings, by keys, and get a threshold for these."""

from functools import partial
from pathlib import Path

import gradio as gr
from markupsafe import Markup

from soundspot.app.clip_route import ROUTE
from soundspot.app.components import error_card, render_card, render_table, wire_decision, wire_silent_event
from soundspot.config.recording_calibration import RecordingCalibration
from soundspot.errors import DataError, SoundspotError
from soundspot.review.calibrate import calibrate_review, format_calibration
from soundspot.review.media import ClipCutter
from soundspot.review.review import ABSENT, ELSEWHERE, RIGHT, UNSURE, Clip
from soundspot.utils.append_journal import check_annotator

CALIBRATION_FILE = "review.calibration.json"
NO_REVIEW = render_card(
    "hint",
    "Nothing to check yet",
    "Locate a folder of your own recordings, `soundspot locate FOLDER -o located`, and start the page with "
    "`--results located`. Some fifty clicks give a threshold for them.",
)
NO_NAME = render_card("hint", "Who are you?", "Write your name above: it is stored with each decision.")
BUTTONS = (
    ("j", "Right: the source is at the ring", RIGHT),
    ("l", "In the image, but not there", ELSEWHERE),
    ("k", "Wrong: not in the image", ABSENT),
    ("i", "Unsure", UNSURE),
)
REPLACED = "Another is drawn in its place, as far as there are any."
MAX_LOST = 20  # clips that are tried at one click
CURVE_SIDE = 220  # of the drawing of a reliability curve


def build_check_tab(cutter: ClipCutter | None) -> None:
    """Lay out the tab, and wire its events; to be called inside Gradio blocks.

    Args:
        cutter: clips of a review; None: the tab says how to begin one.
    """
    if cutter is None:
        gr.HTML(NO_REVIEW, padding=False)
        return
    current = gr.Number(0, precision=0, visible=False)  # held by the browser: a key decides on what it shows
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=6, min_width=290):
            annotator = gr.Textbox(label="Your name", max_length=60, elem_id="annotator")
            clip_view = gr.HTML(NO_NAME, elem_id="clip", padding=False)
        with gr.Column(scale=4, min_width=260, elem_id="decisions"):
            buttons = [gr.Button(f"{text} ({key})", elem_id=f"key-{key}") for key, text, _ in BUTTONS]
            undo = gr.Button("Undo (u)", elem_id="key-u")
            progress = gr.HTML(render_progress(cutter), elem_id="check-progress", padding=False)
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=4, min_width=260):
            min_precision = gr.Slider(
                0, 0.99, 0.0, step=0.01, label="Least precision wanted; 0 for the best F1", elem_id="min-precision"
            )
            fit = gr.Button("Fit the threshold", variant="primary", elem_id="fit")
        with gr.Column(scale=6, min_width=290):
            answer = gr.HTML("", elem_id="calibration", padding=False)

    def begin(name: str, number: int) -> tuple[Markup, int]:
        return show_next(cutter, name, number - 1)  # the clip that is there stays, unless it is decided on

    def record(choice: str, name: str, number: int) -> tuple[Markup, int, Markup]:
        try:
            if number:
                cutter.review.record(name, number, choice)
            return *show_next(cutter, name, number), render_progress(cutter)
        except SoundspotError as error:
            return error_card(error), number, render_progress(cutter)

    def take_back(name: str, number: int) -> tuple[Markup, int, Markup]:
        try:
            clip = cutter.review.find_clip(cutter.review.undo(name))
        except SoundspotError as error:
            return error_card(error), number, render_progress(cutter)
        view = show_next(cutter, name, number - 1) if clip is None else (render_clip(cutter, clip), clip.id)
        return *view, render_progress(cutter)

    def calibrate(min_precision: float | int) -> Markup:
        return render_answer(cutter, float(min_precision) or None)

    outputs = [clip_view, current]
    for event in (annotator.submit, annotator.blur):
        wire_silent_event(event, begin, [annotator, current], outputs)
    for button, (_, _, choice) in zip(buttons, BUTTONS, strict=True):
        wire_decision(button.click, partial(record, choice), [annotator, current], [*outputs, progress])
    wire_decision(undo.click, take_back, [annotator, current], [*outputs, progress])
    wire_decision(fit.click, calibrate, [min_precision], [answer])


def show_next(cutter: ClipCutter, name: str, after: int) -> tuple[Markup, int]:
    """Show the next clip that an annotator has not decided on.

    Args:
        cutter: clips of the review.
        name: name of the annotator.
        after: number of the clip before.

    Returns:
        HTML, and the number of the clip; 0 where there is none. Clips whose files are gone are named above the next,
        and others are drawn for them.
    """
    review, lost = cutter.review, list[str]()
    try:
        name = check_annotator(name)
    except DataError:
        return NO_NAME, 0
    clip = review.next_clip(name, after)
    while clip is not None and len(lost) < MAX_LOST and (failure := cutter.find_failure(clip)):
        if not cutter.has_sources():
            break
        lost.append(failure)
        review.replace_clips([clip.id])
        clip = review.next_clip(name, clip.id)
    left_out = render_card("wrong", "Left out, as it cannot be shown", *lost, REPLACED) if lost else Markup("")
    if clip is None:
        more = f"`soundspot check-results FOLDER --clips {2 * len(review.clips)}` draws more."
        text = f"{name} decided on all clips. Fit the threshold below, or: {more}"
        return left_out + render_card("in", "All checked", text), 0
    return left_out + render_clip(cutter, clip), clip.id


def render_clip(cutter: ClipCutter, clip: Clip) -> Markup:
    """Render a clip: the image with its peak, and its sound or video; how high the peak is would sway people.

    Args:
        cutter: clips of the review.
        clip: the clip.

    Returns:
        HTML of a figure; of a card where a file of the clip is gone.
    """
    if failure := cutter.find_failure(clip):
        return render_card("wrong", "This clip cannot be shown", failure, "Or go on: `i` (unsure) leaves it out.")
    moment = clip.moment
    tag = "audio" if moment.kind == "sound" else "video"
    time = "" if moment.time is None else f" at {moment.time:.1f} s"
    sound = f", {Path(moment.audio).name}" if moment.audio else ""
    template = Markup(
        '<figure class="clip" data-clip="{id}"><img src="{route}/image/{id}" alt="The image, with a ring at the peak">'
        '<figcaption>{name}</figcaption><{tag} controls autoplay playsinline src="{route}/{kind}/{id}"></{tag}>'
        "</figure>"
    )
    caption = f"{Path(moment.image).name}{time}{sound}"
    return template.format(id=clip.id, route=ROUTE, name=caption, tag=Markup(tag), kind=moment.kind)


def render_progress(cutter: ClipCutter) -> Markup:
    """Render the progress of each annotator, and how far they agree.

    Args:
        cutter: clips of the review.

    Returns:
        HTML of a card.
    """
    review = cutter.review
    total = len(review.clips)
    lines = [f"{name}: {len(choices)} of {total}" for name, choices in sorted(review.read_choices().items())]
    lines += [f"{agreement}." for agreement in review.measure_agreement()]
    title = f"{total} clips of {len(review.moments)} results"
    return render_card("hint", title, *lines, "Keys: `j` right, `l` elsewhere, `k` wrong, `i` unsure, `u` undo.")


def render_answer(cutter: ClipCutter, min_precision: float | None) -> Markup:
    """Fit the threshold, write it to `review.calibration.json` in the folder of the results, and render it.

    Args:
        cutter: clips of the review.
        min_precision: least precision wanted; None: the highest F1.

    Returns:
        HTML of a card with the reliability curve, or of the reason why there is no threshold.
    """
    folder = cutter.review.folder
    try:
        calibration = calibrate_review(cutter.review, min_precision)
        calibration.save(folder / CALIBRATION_FILE)
    except SoundspotError as error:
        return render_card("unknown", "No threshold yet", str(error).replace(str(folder), folder.name))
    name = f"{folder.name}/{CALIBRATION_FILE}"  # no visitor needs to know where the folder lies
    use = f"Written to {name}. Use it: `soundspot locate FOLDER --calibration {name}`."
    return render_card("in", "Your threshold", *format_calibration(calibration), use) + render_reliability(calibration)


def render_reliability(calibration: RecordingCalibration) -> Markup:
    """Render the reliability curve: predicted probability against the share of clips, with 95 % intervals.

    Args:
        calibration: the calibration.

    Returns:
        HTML of a drawing and a table.
    """
    side, edge = CURVE_SIDE, 30

    def to_point(probability: float, share: float) -> tuple[float, float]:
        return round(edge + probability * side, 1), round(edge + (1 - share) * side, 1)

    marks = Markup("")
    for item in calibration.reliability:
        (x, y), (_, top), (_, bottom) = (
            to_point(item.probability, share) for share in (item.frequency, item.high, item.low)
        )
        marks += Markup('<path d="M{x} {top}V{bottom}"/><circle cx="{x}" cy="{y}" r="4"/>').format(
            x=x, y=y, top=top, bottom=bottom
        )
    (left, low), (right, high) = to_point(0.0, 0.0), to_point(1.0, 1.0)
    drawing = Markup(
        '<svg class="curve" viewBox="0 0 {box} {box}" role="img" aria-label="Reliability curve">'
        '<rect x="{left}" y="{high}" width="{side}" height="{side}"/><path class="diagonal" '
        'd="M{left} {low}L{right} {high}"/>{marks}'
        '<text x="{middle}" y="{below}">predicted probability</text>'
        '<text transform="translate({edge} {middle}) rotate(-90)">share of the clips</text></svg>'
    ).format(
        box=side + 2 * edge,
        left=left,
        high=high,
        low=low,
        right=right,
        side=side,
        marks=marks,
        middle=edge + side / 2,
        below=low + 18,
        edge=edge - 10,
    )
    rows: list[tuple[object, ...]] = [
        (f"{item.probability:.2f}", f"{item.frequency:.2f}", f"{item.low:.2f} to {item.high:.2f}", item.num_clips)
        for item in calibration.reliability
    ]
    table = render_table(("predicted", "in the image", "95 % interval", "clips"), rows)
    return Markup('<div class="reliability">{}{}</div>').format(drawing, table)
