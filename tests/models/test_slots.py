"""Slot attention: what it must not depend on, and what masking and normalising do."""

import pytest
import torch

from soundspot.models.slots import SlotAttention, SlotDecoder, attend


@pytest.fixture
def attention() -> SlotAttention:
    torch.manual_seed(0)
    return SlotAttention(16)


FIRST = torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_slots_do_not_depend_on_the_order_of_tokens(attention: SlotAttention) -> None:
    tokens, order = torch.randn(2, 9, 16), torch.randperm(9)
    one, two = attention(tokens, FIRST, 5), attention(tokens[:, order], FIRST, 5)
    torch.testing.assert_close(one.slots, two.slots)
    torch.testing.assert_close(attend(one.queries, one.keys)[..., order], attend(two.queries, two.keys))


@torch.no_grad()
def test_slots_follow_the_order_of_the_first_slots(attention: SlotAttention) -> None:
    tokens = torch.randn(2, 9, 16)
    one, two = attention(tokens, FIRST, 5), attention(tokens, FIRST[:, [2, 0, 1]], 5)
    torch.testing.assert_close(one.slots[:, [2, 0, 1]], two.slots)


@torch.no_grad()
def test_a_masked_token_is_forgotten_but_stays_a_token(attention: SlotAttention) -> None:
    tokens, hidden = torch.randn(2, 9, 16), torch.zeros(2, 9, dtype=torch.bool)
    hidden[:, 4] = True
    other = tokens.clone()
    other[:, 4] = 7 * torch.randn(2, 16)
    one, two = (attention(x, FIRST, 5, hidden) for x in (tokens, other))
    torch.testing.assert_close(one.slots, two.slots, rtol=0, atol=0)
    assert one.keys.shape[1] == 9
    assert not torch.allclose(one.slots, attention(tokens, FIRST, 5).slots)
    torch.testing.assert_close(
        attention(tokens, FIRST, 5, torch.zeros_like(hidden)).slots, attention(tokens, FIRST, 5).slots
    )


@torch.no_grad()
def test_maps_are_of_the_queries_before_the_last_update(attention: SlotAttention) -> None:
    tokens = torch.randn(2, 9, 16)
    four, five = attention(tokens, FIRST, 4), attention(tokens, FIRST, 5)
    torch.testing.assert_close(five.queries, attention.to_q(attention.norm_slots(four.slots)))


def test_attention_sums_to_one_over_tokens_and_a_small_factor_makes_it_flat() -> None:
    queries, keys = torch.randn(2, 2, 16), torch.randn(2, 9, 16)
    for factor in (0.0, 0.1, 1.0, 10.0):
        torch.testing.assert_close(attend(queries, keys, factor).sum(dim=-1), torch.ones(2, 2))
    torch.testing.assert_close(attend(queries, keys, 0.0), torch.full((2, 2, 9), 1 / 9))
    spread = [attend(queries, keys, factor).std() for factor in (0.1, 1.0)]
    assert spread[0] < spread[1]
    far = attend(1e4 * queries, 1e4 * keys)  # a slot that wins nothing still has a map, thanks to EPS
    assert bool(far.isfinite().all())


def test_gradients_of_five_iterations() -> None:
    torch.manual_seed(0)
    attention = SlotAttention(4).double()
    first, tokens = torch.randn(1, 2, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    found = [x.requires_grad_() for x in (first, tokens)]
    assert torch.autograd.gradcheck(lambda f, t: attention(t, f, 5).slots, found)


def test_a_decoder_writes_columns_before_rows_and_mixes_slots() -> None:
    torch.manual_seed(0)
    decoder = SlotDecoder(8, (2, 3))
    slots = torch.randn(4, 2, 8)
    assert decoder(slots).shape == (4, 6, 8)
    torch.testing.assert_close(decoder(slots), decoder(slots.flip(1)))
    cell = slots[0, 0] + torch.cat([decoder.columns[2], decoder.rows[1]])  # row 1, column 2 is token 5
    torch.testing.assert_close(decoder(slots[:1, :1])[0, 5], decoder.mlp(cell)[:-1])
