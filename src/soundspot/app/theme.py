"""How the page looks: the colours of the heat map on quiet grey, light and dark, in the fonts that are there."""

from typing import Any

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")


def build_theme() -> Any:
    """Gradio's plainest theme in our colours; no font is fetched."""
    from gradio.themes import Base, Color, sizes

    rose = Color(
        "#fdf1f5", "#fbdde8", "#f5b5cd", "#ec84ac", "#d94d85", "#ad1263", "#980f63", "#7f0b6e", "#51066c", "#3a0462",
        "#26035c", name="soundspot",
    )  # fmt: skip
    grey = Color(
        "#fbfbfc", "#f3f3f6", "#e4e5ea", "#d0d1d9", "#a3a6b2", "#7b7e8a", "#5d606b", "#40424c", "#30323b", "#1b1c22",
        "#131418", name="soundspot-grey",
    )  # fmt: skip
    base = Base(
        primary_hue=rose, secondary_hue=rose, neutral_hue=grey, radius_size=sizes.radius_md, font=SANS, font_mono=MONO
    )
    return base.set(
        body_background_fill="#fbfbfc",
        body_background_fill_dark="#131418",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1b1c22",
        block_border_width="1px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="#5d606b",
        block_label_text_color_dark="#a3a6b2",
        block_title_text_color="#5d606b",
        block_title_text_color_dark="#a3a6b2",
        block_title_text_weight="500",
        body_text_color_subdued="#5d606b",
        body_text_color_subdued_dark="#a3a6b2",
        checkbox_label_background_fill="#f3f3f6",
        checkbox_label_background_fill_dark="#26282f",
        checkbox_label_background_fill_hover="#e4e5ea",
        checkbox_label_background_fill_hover_dark="#30323b",
        checkbox_label_background_fill_selected="#fbdde8",
        checkbox_label_background_fill_selected_dark="#51066c",
        input_background_fill="#ffffff",
        input_background_fill_dark="#131418",
        link_text_color_dark="#f5b5cd",
        link_text_color_hover_dark="#ffffff",
        slider_color="#ad1263",
        slider_color_dark="#dd1844",
        button_primary_background_fill="#ad1263",
        button_primary_background_fill_hover="#7f0b6e",
        button_primary_background_fill_dark="#ad1263",
        button_primary_background_fill_hover_dark="#dd1844",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
    )


CSS = """
.gradio-container { width: 100% !important; max-width: 1180px !important;
  margin: 0 auto !important; padding: 0 20px 40px !important; }
footer { display: none !important; }
.band { height: 5px; border-radius: 0 0 4px 4px;
  background: linear-gradient(90deg,#26035c,#51066c,#7f0b6e,#ad1263,#dd1844,#f15617,#f58c1c,#fab626,#fadf2b); }
.head { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .9rem; padding: 1.1rem .1rem .3rem; }
.head h1 { font-size: 1.9rem; line-height: 1.1; letter-spacing: -.02em; margin: 0; font-weight: 680; }
.head p { margin: 0; color: var(--body-text-color-subdued); font-size: 1.02rem; }
.head span { margin-left: auto; color: var(--body-text-color-subdued); font-size: .84rem; overflow-wrap: anywhere; }
p.note { color: var(--body-text-color-subdued); font-size: .84rem; margin: .2rem 0 0; }
.card { border: 1px solid var(--border-color-primary); border-left: 4px solid var(--tone); border-radius: 10px;
  background: var(--block-background-fill); padding: .85rem 1.1rem .9rem; margin-bottom: .5rem; --tone: #8b8f9a; }
.card h3 { margin: 0 0 .15rem; font-size: 1.12rem; font-weight: 640; color: var(--body-text-color); }
.card p { margin: .25rem 0 0; font-size: .9rem; color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.card code { font-size: .86em; padding: .08em .35em; border-radius: 4px; background: var(--background-fill-secondary); }
.card .of { margin: 0; }
.card.in { --tone: #00a37a; } .card.out { --tone: #8b8f9a; } .card.wrong { --tone: #dd1844; }
.card.unknown { --tone: #f58c1c; } .card.hint { --tone: #ad1263; }
.card dl { display: flex; flex-wrap: wrap; gap: .1rem 1.6rem; margin: .5rem 0 0; }
.card dl div { display: flex; gap: .45em; align-items: baseline; }
.card dt { color: var(--body-text-color-subdued); font-size: .84rem; }
.card dd { margin: 0; font-weight: 600; font-size: .92rem; font-variant-numeric: tabular-nums; }
.gauge { position: relative; height: 8px; border-radius: 4px; margin: .75rem 0 .2rem; opacity: .95;
  background: linear-gradient(90deg,#26035c,#51066c,#7f0b6e,#ad1263,#dd1844,#f15617,#f58c1c,#fab626,#fadf2b); }
.gauge i { position: absolute; top: 50%; transform: translate(-50%, -50%); }
.gauge .peak { width: 16px; height: 16px; border-radius: 50%; background: #fff; border: 3px solid #1b1c22; z-index: 1;
  box-shadow: 0 0 0 1.5px #fff; }
.gauge .mark { width: 3px; height: 20px; background: var(--body-text-color); border-radius: 2px; }
.dark { --color-accent: #ec84ac; }
h4 { margin: .2rem 0 0; font-size: .9rem; font-weight: 500; color: var(--body-text-color-subdued); }
#examples { border: 0; background: none; }
#examples .grid-wrap, #hits .grid-wrap { min-height: 0; max-height: none; padding: 0; }
#examples .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; gap: 8px; padding: 0; }
#examples .caption-label, #hits .caption-label { font-size: .72rem; }
.empty { border: 1px dashed var(--border-color-primary); border-radius: 10px; height: 300px; }
.figures { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); }
.figures figure { margin: 0 auto; min-width: 0; width: 100%; max-width: calc(var(--ratio) * 480px); }
.figures img { display: block; width: 100%; height: auto; border-radius: 10px; }
.figures figcaption { display: flex; gap: 1rem; justify-content: space-between; font-size: .82rem;
  padding: .3rem .1rem 0;
  color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.swatch { margin-right: .9em; } .swatch i { display: inline-block; width: .8em; height: .8em; border-radius: 3px;
  margin-right: .4em; vertical-align: -.05em; }
iframe.report { width: 100%; height: 78vh; border: 1px solid var(--border-color-primary); border-radius: 10px;
  background: #fff; }
p.open { margin: .1rem 0 .5rem; font-size: .9rem; overflow-wrap: anywhere; }
p.open span { color: var(--body-text-color-subdued); } p.open a { margin-left: .6em; }
@media (max-width: 640px) {
  .gradio-container { padding: 0 10px 30px !important; }
  .head span { margin-left: 0; width: 100%; } .head p { font-size: .95rem; }
}
"""
