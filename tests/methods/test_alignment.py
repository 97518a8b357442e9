"""What the options of alignment do to its terms."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from soundspot.losses.contrastive import cross_view_nce, embedding_similarity, info_nce, map_similarity, unit_norm
from soundspot.methods import Method
from soundspot.methods.alignment import Alignment
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]
Terms = Callable[..., dict[str, Tensor]]
ALIKE = torch.eye(4, dtype=torch.bool)
ALIKE[0, 1] = ALIKE[1, 0] = True


@pytest.fixture
def terms(toy: Toy, clips: Clips) -> Terms:
    """Terms of two views of four clips, of which two are known to be alike."""
    batch = replace(clips(views=2), false_negatives=ALIKE)

    @torch.no_grad()
    def of(**options: Any) -> dict[str, Tensor]:
        return toy("alignment", **options).eval().losses(batch)

    return of


@pytest.mark.parametrize("weight", ["localization", "alignment", "intra_modal"])
def test_a_weight_is_that_of_its_own_term_and_none_leaves_it_out(weight: str, terms: Terms) -> None:
    once, thrice, never = (terms(**{"intra_modal": 1.0, weight: w}) for w in (1.0, 3.0, 0.0))
    assert set(once) == {"localization", "alignment", "intra_modal"}
    assert set(never) == set(once) - {weight}
    for name in once:
        torch.testing.assert_close(thrice[name], (3.0 if name == weight else 1.0) * once[name])


@torch.no_grad()
@pytest.mark.parametrize("attract", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("reducer", ["mean", "softmax"])
def test_every_term_is_what_its_options_say(
    reducer: str, symmetric: bool, attract: bool, toy: Toy, clips: Clips, terms: Terms
) -> None:
    how = {"tau": 0.2, "false_negatives_as_positives": attract}
    options = {**how, "reducer": reducer, "sharpness": 3.0, "symmetric": symmetric, "intra_modal": 1.0}
    found, method, batch = terms(**options), toy("alignment").eval(), clips(views=2)
    grids, vectors = method.encode(batch)
    pictures = torch.stack([method.embed_images(x) for x in batch.images])
    sounds = torch.stack([method.embed_audio(x) for x in batch.audio])
    places = torch.einsum("vichw,ujc->vuijhw", grids, vectors).flatten(-2)
    weights = torch.softmax(3.0 * places, dim=-1) if reducer == "softmax" else torch.tensor(1 / places.shape[-1])
    both = {"symmetric": symmetric, "false_negatives": ALIKE, **how}
    torch.testing.assert_close(found["localization"], info_nce((weights * places).sum(-1), **both))
    torch.testing.assert_close(found["alignment"], info_nce(embedding_similarity(pictures, sounds), **both))
    inside = cross_view_nce(pictures, false_negatives=ALIKE, **how) + cross_view_nce(
        sounds, false_negatives=ALIKE, **how
    )
    torch.testing.assert_close(found["intra_modal"], inside)


@pytest.mark.parametrize("reducer", ["max", "trimap"])
def test_a_reducer_is_that_of_places(reducer: str, toy: Toy, clips: Clips) -> None:
    batch, method = clips(), toy("alignment", reducer=reducer, alignment=0.0).eval()
    similarity = map_similarity(*method.encode(batch), reducer)[0, 0]  # type: ignore[arg-type]
    expected = F.cross_entropy(similarity / 0.07, torch.arange(4))
    torch.testing.assert_close(method.losses(batch)["localization"], expected)


@pytest.mark.parametrize("depth", [1, 3])
def test_projections_are_as_wide_and_as_deep_as_told(depth: int, toy: Toy, clips: Clips) -> None:
    batch, method = clips(), toy("alignment", projection_width=5, projection_depth=depth).eval()
    assert isinstance(method, Alignment)
    for head in (method.p_v, method.p_a):
        assert head is not None
        assert sum(isinstance(one, torch.nn.Linear) for one in head.modules()) == depth
    assert method.embed_images(batch.images[0]).shape == (4, 5)
    assert method.embed_audio(batch.audio[0]).shape == (4, 5)


@torch.no_grad()
def test_without_projections_embeddings_are_pooled_features(toy: Toy, clips: Clips) -> None:
    batch, method = clips(), toy("alignment", projection_width=0).eval()
    pictures = unit_norm(method.encode_images(batch.images[0]).mean(dim=(-2, -1)))
    torch.testing.assert_close(method.embed_images(batch.images[0]), pictures)
    assert toy("alignment").embed_images(batch.images[0]).shape == (4, 8)
