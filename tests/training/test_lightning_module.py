"""Parameters with a rate or a decay of their own."""

import pytest
import torch

from soundspot.config.load import read_recipe
from soundspot.config.schema import Recipe, TrainConfig
from soundspot.errors import RecipeError
from soundspot.methods import Method, create
from soundspot.training.lightning_module import OPTIMIZERS, build_param_groups, check_losses

SMALL = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}


@pytest.fixture
def method() -> Method:
    return create("sspl_pcm", image=SMALL, audio=SMALL, width=8)


def test_without_groups_there_is_one_of_all_that_learns(method: Method) -> None:
    method.image_encoder.requires_grad_(False)
    (group,) = build_param_groups(method, {})
    assert set(group) == {"params"}
    assert {id(one) for one in group["params"]} == {id(one) for one in method.parameters() if one.requires_grad}


def test_each_parameter_is_in_the_group_of_the_longest_beginning_that_fits(method: Method) -> None:
    groups = {"pcm": {"lr": 0.5}, "pcm.gates": {"weight_decay": 0.0}, "head": {"lr": 0.25, "weight_decay": 0.125}}
    optimizer = OPTIMIZERS["adamw"](build_param_groups(method, groups), lr=1.0, weight_decay=0.75)
    told = {
        id(one): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for one in group["params"]
    }
    assert len(told) == sum(1 for _ in method.parameters())
    for name, one in method.named_parameters():
        expected = (1.0, 0.75)
        if name.startswith("pcm."):
            expected = (1.0, 0.0) if name.startswith("pcm.gates.") else (0.5, 0.75)
        if name.startswith("head."):
            expected = (0.25, 0.125)
        assert told[id(one)] == expected, name


def test_a_group_is_of_whole_names_and_of_what_learns(method: Method) -> None:
    one = build_param_groups(method, {"query.0.weight": {"lr": 0.1}})[1]
    assert [tuple(found.shape) for found in one["params"]] == [(4, 4)]
    with pytest.raises(
        RecipeError, match=r"train\.param_groups: no parameter that learns is called hea, .*mean 'head'"
    ):
        build_param_groups(method, {"hea": {"lr": 0.1}})
    method.query.requires_grad_(False)  # type: ignore[operator]
    with pytest.raises(RecipeError, match=r"called query, .*begin with audio_encoder, head, image_encoder, pcm"):
        build_param_groups(method, {"query": {"lr": 0.1}})


def test_groups_are_read_and_refused() -> None:
    recipe = read_recipe("sspl_pcm/vggsound144k")
    assert recipe.train.param_groups["pcm.gates"] == {"weight_decay": 0.0}
    assert read_recipe("sspl/debug", ["--train.param_groups", "{head: {lr: 0.5}}"]).train.param_groups == {
        "head": {"lr": 0.5}
    }
    with pytest.raises(RecipeError, match=r"train\.param_groups\.head: no 'rate'"):
        TrainConfig(param_groups={"head": {"rate": 1.0}})
    with pytest.raises(RecipeError, match=r"train\.param_groups\.head\.lr: found -1"):
        TrainConfig(param_groups={"head": {"lr": -1.0}})
    assert Recipe(views=recipe.views).train.param_groups == {}


def test_sgd_has_momentum() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = OPTIMIZERS["sgd"]([weight], lr=1.0)
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimizer.step()
    assert weight.item() == pytest.approx(-2.9)


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        (torch.zeros(()), "found Tensor."),
        ({}, "found an empty dict."),
        ({"nce": torch.zeros(3)}, r"found a tensor of shape \(3,\) at 'nce'."),
        ({"nce": 0.5}, "found float at 'nce'."),
        ({"nce": torch.zeros(())}, "found none with a gradient."),
    ],
)
def test_losses_of_a_method_of_ones_own_are_checked(losses: object, found: str) -> None:
    with pytest.raises(RecipeError, match=f"^Method.losses: expected a dict of .*, {found}"):
        check_losses(losses, Method)


def test_a_method_without_losses_says_so(method: Method) -> None:
    learns = {"nce": torch.zeros((), requires_grad=True)}
    assert check_losses(learns, Method) is learns
    with pytest.raises(RecipeError, match="SSPLPCM has no losses, so it cannot be trained"):
        getattr(Method.losses, "__wrapped__", Method.losses)(method, None)  # jaxtyping checks the batch otherwise
