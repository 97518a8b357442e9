"""Tabs that show a project as a whole: its plan, its images, and whether it can be released."""

from typing import Any

import gradio as gr
from markupsafe import Markup

from soundspot.app.components import render_card, render_table, wire_silent_event
from soundspot.benchmark.annotation import measure_mask_agreement
from soundspot.benchmark.mask_files import count_masks
from soundspot.benchmark.page.media import render_image
from soundspot.benchmark.project import Project
from soundspot.benchmark.release import write_release
from soundspot.benchmark.selection import measure_agreement, read_statuses, selected_images
from soundspot.errors import SoundspotError
from soundspot.utils.atomic_io import next_free_path

MAX_CATEGORIES = 200  # rows of the table of the plan
PAGE_SIZE = 24  # images on a page


def build_plan_tab(project: Project) -> None:
    """Lay out the tab of the plan; to be called inside Gradio blocks.

    Args:
        project: the project.
    """
    gr.HTML(render_plan(project), elem_id="plan", padding=False)


def render_plan(project: Project) -> Markup:
    """Render the plan of a project.

    Args:
        project: the project.

    Returns:
        HTML of a card and a table, at most 200 categories.
    """
    plan = project.plan
    uses = plan.count_uses()
    rows: list[tuple[object, ...]] = [(category, uses[category]) for category in plan.categories[:MAX_CATEGORIES]]
    more = f"The first {MAX_CATEGORIES} of {len(uses)} categories." if len(uses) > MAX_CATEGORIES else ""
    card = render_card(
        "hint",
        plan.name,
        f"{len(plan.categories)} categories, {len(plan.groups)} pairs, {len(plan)} images, seed {plan.seed}.",
        *(f"Prompt: {prompt}" for prompt in plan.prompts),
        *([more] if more else []),
    )
    return card + render_table(("category", "images"), rows)


def build_images_tab(project: Project, tab: gr.Tab) -> None:
    """Lay out the tab of the images, and wire its events; to be called inside Gradio blocks.

    Args:
        project: the project.
        tab: the tab itself, which shows what is new whenever it is opened.
    """
    with gr.Row():
        number = gr.Number(1, label=f"Page of {PAGE_SIZE} images", precision=0, minimum=1, elem_id="images-page")
    grid = gr.HTML(render_images(project, 1), elem_id="images-grid", padding=False)
    for event in (number.change, tab.select):
        wire_silent_event(event, lambda value: render_images(project, int(value or 1)), [number], grid)


def render_images(project: Project, page: int) -> Markup:
    """Render a page of the images of a project.

    Args:
        project: the project.
        page: number of the page, from 1.

    Returns:
        HTML of the images, in the order in which they were added.
    """
    total = project.journal.count_rows()["images"]
    first = (max(1, page) - 1) * PAGE_SIZE
    records = project.journal.read_images("id > ?", (first,), PAGE_SIZE)  # numbers have no gaps: nothing is deleted
    card = render_card(
        "hint",
        f"{total} of {len(project.plan)} images",
        "More come by `soundspot benchmark images`: from folders, cut-outs or a text-to-image model.",
    )
    return card + Markup('<div class="project-grid">{}</div>').format(Markup("").join(map(render_image, records)))


def build_release_tab(project: Project, tab: gr.Tab) -> None:
    """Lay out the tab of the release, and wire its events; to be called inside Gradio blocks.

    Args:
        project: the project.
        tab: the tab itself, which shows what is new whenever it is opened.
    """
    status = gr.HTML("", elem_id="release-status", padding=False)
    button = gr.Button("Release into the project's folder", variant="primary", elem_id="release")
    message = gr.HTML("", elem_id="release-message", padding=False)

    def release() -> Markup:
        try:
            summary = write_release(project, next_free_path(project.folder / "release"))
        except SoundspotError as error:
            return render_card("wrong", "Not yet", *str(error).splitlines())
        return render_card(
            "in",
            "Released",
            f"{summary.num_images} images, {summary.num_instances} things that sound, in {summary.folder.name}.",
            f"Checksum `{summary.checksum}`",
        )

    wire_silent_event(tab.select, lambda: render_status(project), [], status)
    button.click(release, [], message, api_visibility="private", concurrency_limit=1, concurrency_id="release")


def render_status(project: Project) -> Markup:
    """Render how far each step is, and how far annotators agree.

    Args:
        project: the project.

    Returns:
        HTML of a card and tables.
    """
    statuses = list(read_statuses(project).values())
    done, total = count_masks(project, selected_images(project))
    pairings = len(project.journal.read_pairings())
    counts: list[tuple[object, ...]] = [
        ("images", project.journal.count_rows()["images"], len(project.plan)),
        ("kept", statuses.count("keep"), ""),
        ("dropped", statuses.count("drop"), ""),
        ("to resolve", statuses.count("disagree"), ""),
        ("things with a sound", pairings, total),
        ("things with a mask", done, total),
    ]
    rows: list[tuple[Any, ...]] = [
        ("selection", a.first, a.second, a.num_items, f"{100 * a.agreement:.0f} % equal, kappa {a.kappa:.2f}")
        for a in measure_agreement(project)
    ]
    rows += [
        ("masks", a.first, a.second, a.num_masks, f"mean IoU {a.mean_iou:.3f}") for a in measure_mask_agreement(project)
    ]
    agreements = render_table(("agreement", "of", "and", "on", ""), rows) if rows else Markup("")
    return render_table(("", "there are", "of"), counts) + agreements
