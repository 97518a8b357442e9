"""Components that the tabs share: inputs that pass values unchecked, and cards, verdicts and figures in HTML.

Every name and number is escaped on its way into the HTML.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from soundspot.app.service import MapFigure, format_error
from soundspot.errors import SoundspotError
from soundspot.inference.render import encode_data_uri
from soundspot.inference.result import LocalizationMap
from soundspot.inference.video.presence import MAX_RUNS, merge_seconds
from soundspot.inference.video.save import VideoSummary

NO_THRESHOLD = (
    "No threshold was fitted for this model, so it does not say whether the source is in the image: "
    "give one below, or fit it with `soundspot calibrate`."
)
THRESHOLD_CLEARED = "The threshold was cleared, so it is not known whether the source is in the image: give one below."


def pass_path(component: Any) -> Any:
    """Make a component pass the path of its upload unread: messages on unreadable files are ours, not Gradio's.

    Args:
        component: Gradio component of one file, changed in place.

    Returns:
        The same component; its value is a path, or None without an upload.
    """
    component.preprocess = lambda payload: None if payload is None else payload.path
    return component


def pass_paths(component: Any) -> Any:
    """Make a component pass the paths of its uploads unread.

    Args:
        component: Gradio component of several files, changed in place.

    Returns:
        The same component; its value is a list of paths, perhaps empty.
    """
    component.preprocess = lambda payload: [file.path for file in payload.root] if payload else []
    return component


def pass_value(component: Any) -> Any:
    """Make a component pass its value unchecked: its choices change with the answers.

    Args:
        component: Gradio component, changed in place.

    Returns:
        The same component.
    """
    component.preprocess = lambda payload: payload
    return component


def wire_silent_event(event: Callable[..., Any], fn: Callable[..., Any], inputs: Sequence[Any], outputs: Any) -> None:
    """Wire an event of which only the last of many matters, such as a slider's, without a sign of progress.

    Args:
        event: event of a Gradio component, such as `slider.input`; for several `partial(gr.on, EVENTS)`.
        fn: function that is called with the values of the inputs; it returns those of the outputs.
        inputs: Gradio components.
        outputs: Gradio component or components.
    """
    event(
        fn,
        list(inputs),
        outputs,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
        concurrency_limit=2,
        concurrency_id="drawing",
    )


def wire_decision(event: Callable[..., Any], fn: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """Wire a click whose answer is quick and must not be lost; clicks of several people run at once.

    Args:
        event: event of a Gradio component, such as `button.click`.
        fn: function that is called with the values of the inputs; it returns those of the outputs.
        inputs: Gradio components.
        outputs: Gradio components.
    """
    event(
        fn,
        inputs,
        outputs,
        show_progress="hidden",
        trigger_mode="multiple",
        api_visibility="private",
        concurrency_limit=8,
        concurrency_id="decisions",
    )


def show_on_phone(event: Any, *names: str) -> None:
    """Scroll to an answer after an event, where the screen is narrow and the answer may lie above or below it.

    Args:
        event: event with an answer, as Gradio returns it.
        names: `elem_id` of the components of the answer; the first that shows a drawing, a video or an error counts.
    """
    event.then(None, js=f"() => window.soundspotShow({json.dumps(names)})", show_progress="hidden")


def error_card(error: SoundspotError, *files: str | None) -> Markup:
    """Render an error as a card, without the paths of uploaded files.

    Args:
        error: error of a request.
        files: paths of its uploads, which are replaced by file names; None is skipped.

    Returns:
        HTML of the card.
    """
    return render_card("wrong", "That did not work", format_error(error, *(file for file in files if file)))


def build_keys_script() -> str:
    """Build the script by which the key `x` presses the button whose `elem_id` is `key-x`, where it is on the screen.

    Returns:
        HTML for the head of a page.
    """
    return f"<script>{(Path(__file__).parent / 'keys.js').read_text(encoding='utf-8')}</script>"


def render_card(kind: str, title: str, *lines: str) -> Markup:
    """Render a box with a heading and paragraphs.

    Args:
        kind: meaning of the box, which gives its color: `in`, `out`, `unknown`, `wrong`, `hint`.
        title: heading.
        lines: text of each paragraph, with code between backticks; it is escaped.

    Returns:
        HTML of the box.
    """
    role = Markup(' role="alert"') if kind == "wrong" else Markup("")
    template = Markup('<div class="card {}"{}><h3>{}</h3>{}</div>')
    return template.format(kind, role, title, _render_paragraphs(lines))


def render_verdict(name: str, result: LocalizationMap, no_threshold: str = NO_THRESHOLD) -> Markup:
    """Render the verdict of a map: whether the source is in the image, by which peak, and notes.

    Args:
        name: name of the sound.
        result: map of the sound.
        no_threshold: text that is shown where the map has no threshold.

    Returns:
        HTML of a card.
    """
    kind, title = {
        True: ("in", "In the image"),
        False: ("out", "Not in the image"),
        None: ("unknown", "In the image? Not known"),
    }[result.present]
    numbers = [("peak", f"{result.peak:.3f}")]
    if result.presence_probability is not None:
        numbers.append(("probability", f"{result.presence_probability:.2f}"))
    if result.threshold is not None:
        numbers.append(("in the image from", f"{result.threshold:.3f}"))
    facts = Markup("").join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*pair) for pair in numbers)
    notes = [no_threshold] if result.present is None else []
    template = Markup('<div class="card {}" data-verdict="{}"><h3>{}</h3><p class="of">{}</p>{}<dl>{}</dl>{}</div>')
    return template.format(
        kind, kind, title, name, _render_gauge(result), facts, _render_paragraphs((*notes, *result.all_notes))
    )


def _render_gauge(result: LocalizationMap) -> Markup:
    """Render the peak on a scale, with a mark at the threshold."""
    values = [result.peak] if result.threshold is None else [result.peak, result.threshold]
    low, high = min(0.0, *values), max(1.0, *values)
    positions = [f"{100 * (value - low) / (high - low):.1f}" for value in values]
    marks = Markup("").join(Markup('<i class="mark" style="left:{}%"></i>').format(x) for x in positions[1:])
    template = Markup('<div class="gauge" aria-hidden="true"><i class="peak" style="left:{}%"></i>{}</div>')
    return template.format(positions[0], marks)


def render_figures(figures: Sequence[MapFigure]) -> Markup:
    """Render figures with captions, as many beside each other as there is room for; each can be saved.

    Args:
        figures: drawings with their titles, from left to right; embedded as WebP.

    Returns:
        HTML of the figures.
    """
    swatch = Markup('<span class="swatch"><i style="background:rgb{}"></i>{}</span>')
    template = Markup(
        '<figure style="--ratio:{ratio:.4f}"><img src="{uri}" alt="Map of {title} over the image"><figcaption>'
        '<span>{legend}</span><a href="{uri}" download="soundspot.webp">Save</a></figcaption></figure>'
    )
    rendered = Markup("")
    for figure in figures:
        legend = Markup(" ").join(swatch.format(color, name) for name, color in figure.colors.items())
        rendered += template.format(
            uri=encode_data_uri(figure.image, 88, 2),
            title=figure.title,
            ratio=figure.image.width / figure.image.height,
            legend=legend or figure.title,
        )
    return Markup('<div class="figures">{}</div>').format(rendered)


def render_video_summary(summary: VideoSummary) -> Markup:
    """Render the summary of a located video.

    Args:
        summary: number of frames and of those without the source; the verdict is `in` for at least half of the frames.

    Returns:
        HTML of a card.
    """
    lines = [f"{summary.num_frames} frames in {summary.seconds:.1f} s."]
    if summary.num_absent is None:
        return render_card("unknown", "In the video? Not known", *lines, NO_THRESHOLD, *summary.notes)
    share = 1 - summary.num_absent / max(1, summary.num_frames)
    lines.append(f"The source is in {100 * share:.0f} % of the frames; in {summary.num_absent} of them it is not.")
    lines += [f"{run}." for run in merge_seconds(summary.presence)[:MAX_RUNS]]
    kind, title = ("in", "Mostly in the video") if share >= 0.5 else ("out", "Mostly not in the video")
    return render_card(kind, title, *lines, *summary.notes)


def render_table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> Markup:
    """Render a table.

    Args:
        head: names of the columns.
        rows: cells of each row; everything is escaped.

    Returns:
        HTML of the table.
    """

    def line(cells: tuple[object, ...], tag: str) -> Markup:
        return Markup("").join(Markup("<{0}>{1}</{0}>").format(Markup(tag), cell) for cell in cells)

    body = Markup("").join(Markup("<tr>{}</tr>").format(line(row, "td")) for row in rows)
    return Markup('<table class="listing"><tr>{}</tr>{}</table>').format(line(head, "th"), body)


def render_errors(lines: Sequence[str]) -> Markup:
    """Render the errors of sounds that could not be used, if there are any.

    Args:
        lines: messages.

    Returns:
        HTML of a card; empty without messages.
    """
    return render_card("wrong", "Not everything could be used", *lines) if lines else Markup("")


def render_header(model: str, known: Sequence[str], notes: Sequence[str]) -> Markup:
    """Render the top of the page.

    Args:
        model: title of the model.
        known: names of the things that the model learned to locate, in a list that opens; empty where it has none.
        notes: sentences on the model, a paragraph each.

    Returns:
        HTML of the header.
    """
    title = Markup("<span>{}</span>").format(model)
    if known:
        title = Markup("<details><summary>{} knows {} things</summary><p>{}</p></details>").format(
            model, len(known), ", ".join(name.replace("_", " ") for name in known)
        )
    return Markup(
        '<div class="band"></div><div class="head"><h1>soundspot</h1>'
        "<p>Where in the image does the sound come from?</p>{}</div>{}"
    ).format(title, _render_paragraphs(notes, "note"))


def _render_paragraphs(lines: Sequence[str], kind: str = "") -> Markup:
    """Render lines as paragraphs, with `text in backticks` as code."""
    rendered = Markup("")
    for line in lines:
        pieces = line.split("`") if line.count("`") % 2 == 0 else [line]  # a backtick that is never closed
        text = Markup("").join(
            Markup("<code>{}</code>").format(piece) if n % 2 else escape(piece) for n, piece in enumerate(pieces)
        )
        rendered += Markup('<p class="{}">{}</p>').format(kind, text) if kind else Markup("<p>{}</p>").format(text)
    return rendered
