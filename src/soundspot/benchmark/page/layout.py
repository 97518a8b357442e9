"""The layout of a project's page: the annotator's name, a tab for each step, keys and styles."""

from typing import Any

import gradio as gr
from markupsafe import Markup

from soundspot.app.components import build_keys_script
from soundspot.benchmark.page.annotate_tab import build_annotate_tab
from soundspot.benchmark.page.audio_tab import build_audio_tab
from soundspot.benchmark.page.overview_tabs import build_images_tab, build_plan_tab, build_release_tab
from soundspot.benchmark.page.select_tab import build_select_tab
from soundspot.benchmark.project import Project

STYLE = """
.project-image { margin: 0 0 .5rem; } .project-image img { max-width: 100%; max-height: 70vh; width: auto;
  height: auto; border-radius: 10px; display: block; }
.project-image figcaption { color: var(--body-text-color-subdued); padding: .3rem .1rem; overflow-wrap: anywhere; }
.project-grid { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
p.sound { margin: .4rem 0; overflow-wrap: anywhere; }
#canvas img { max-height: 68vh; width: auto; object-fit: contain; cursor: crosshair; }
"""


def build_project_page(project: Project, segmenter: str) -> gr.Blocks:
    """Build the Gradio blocks of a project's page.

    Args:
        project: the project.
        segmenter: name of the segmenter of masks.

    Returns:
        The blocks, not yet served.
    """
    with gr.Blocks(analytics_enabled=False, title=f"soundspot: {project.plan.name}") as blocks:
        gr.HTML(render_title(project))
        annotator = gr.Textbox(label="Your name", max_length=60, elem_id="annotator")
        with gr.Tab("Select", id="select"):
            build_select_tab(project, annotator)
        with gr.Tab("Sounds", id="audio") as tab:
            build_audio_tab(project, annotator, tab)
        with gr.Tab("Masks", id="annotate"):
            build_annotate_tab(project, annotator, segmenter)
        with gr.Tab("Plan", id="plan"):
            build_plan_tab(project)
        with gr.Tab("Images", id="images") as tab:
            build_images_tab(project, tab)
        with gr.Tab("Release", id="release") as tab:
            build_release_tab(project, tab)
    return blocks


def build_project_head() -> str:
    """Build the script and the styles of a project's page.

    Returns:
        HTML for the head of the page.
    """
    return f"{build_keys_script()}<style>{STYLE}</style>"


def render_title(project: Project) -> Any:
    """Render the top of the page.

    Args:
        project: the project.

    Returns:
        HTML of the header.
    """
    return Markup(
        '<div class="band"></div><div class="head"><h1>{}</h1><p>A benchmark in the making.</p></div>'
    ).format(project.plan.name)
