"""The packed transformer treats each sequence as if it were alone, looks back only where told to, and its
cross-entropy over the catalogue is torch's."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, embedding

from agents.transformer import PackedTransformer, TransformerConfig, full_cross_entropy, pack

LENGTHS = (3, 1, 12, 7, 12, 5, 2, 11)
VARIANTS = [
    {"norm": "pre"},
    {"norm": "post", "activation": "gelu", "feedforward_factor": 4},
    {"norm": "query", "num_heads": 2},
    {"positions": False, "num_heads": 4},
]


def network(seed: int = 0, **changes) -> PackedTransformer:
    config = TransformerConfig(**{"dim": 16, "max_length": 12} | changes)
    net = PackedTransformer(config, torch.Generator().manual_seed(seed)).eval()
    # Larger weights than the initial ones, so that states depend on other tokens by more than rounding.
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(seed + 1))
    return net


def tokens(num: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(num, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])
@pytest.mark.parametrize("changes", VARIANTS)
def test_a_packed_sequence_is_as_if_alone(changes, causal):
    net, inputs = network(causal=causal, **changes), tokens(sum(LENGTHS))
    together = net(inputs, pack(torch.tensor(LENGTHS)))
    alone = [net(part, pack(torch.tensor([len(part)]))) for part in inputs.split(LENGTHS)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])
def test_gradients_of_a_packed_sequence_are_as_if_alone(changes, causal):
    inputs, signal = tokens(sum(LENGTHS)), tokens(sum(LENGTHS), seed=6)

    def gradient(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
        net = network(causal=causal, **changes)
        for part, wanted in parts:
            lengths = torch.tensor(LENGTHS if len(parts) == 1 else [len(part)])
            (net(part, pack(lengths)) * wanted).sum().backward()
        return [parameter.grad for parameter in net.parameters()]

    together = gradient([(inputs, signal)])
    alone = gradient(list(zip(inputs.split(LENGTHS), signal.split(LENGTHS), strict=True)))
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes", VARIANTS)
def test_causal_states_depend_on_no_later_token(changes):
    lengths, inputs = torch.tensor([6, 4]), tokens(10).requires_grad_()
    states = network(**changes)(inputs, pack(lengths))
    for token in range(10):
        (reached,) = torch.autograd.grad(states[token].square().sum(), inputs, retain_graph=True)
        first = 0 if token < 6 else 6
        earlier = torch.arange(10).ge(first) & torch.arange(10).le(token)
        assert reached[~earlier].abs().max() == 0
        assert reached[earlier].abs().amax(dim=1).min() > 1e-6


@pytest.mark.parametrize("changes", VARIANTS)
def test_bidirectional_states_depend_on_the_whole_sequence_and_on_no_other(changes):
    lengths, inputs = torch.tensor([6, 4]), tokens(10).requires_grad_()
    states = network(causal=False, **changes)(inputs, pack(lengths))
    for token in (0, 3, 5):
        (reached,) = torch.autograd.grad(states[token].square().sum(), inputs, retain_graph=True)
        assert reached[6:].abs().max() == 0
        assert reached[:6].abs().amax(dim=1).min() > 1e-6


@pytest.mark.parametrize("norm", ["pre", "post", "query"])
def test_attention_is_that_of_the_paper(norm):
    """A literal twin of one block with two heads on one sequence."""
    net = network(norm=norm, num_heads=2, num_blocks=1, feedforward_factor=2)
    block, x = net.blocks[0], tokens(7)

    def normalise(states, layer):
        centred = states - states.mean(1, keepdim=True)
        return layer.scale * centred / (centred.pow(2).mean(1, keepdim=True) + 1e-8).sqrt() + layer.shift

    def attention(asking, answering):
        weight, bias = block.query_key_value.weight.split(16), block.query_key_value.bias.split(16)
        query, key, value = (
            of @ w.T + b for of, w, b in zip((asking, answering, answering), weight, bias, strict=True)
        )
        out = torch.zeros(7, 16)
        for head in (slice(0, 8), slice(8, 16)):
            for i in range(7):
                weights = torch.softmax(query[i, head] @ key[: i + 1, head].T / 8**0.5, dim=0)
                out[i, head] = weights @ value[: i + 1, head]
        return out @ block.output.weight.T + block.output.bias

    def feedforward(states):
        wide = torch.relu(states @ block.widen.weight.T + block.widen.bias)
        return wide @ block.narrow.weight.T + block.narrow.bias

    first, second = block.attention_norm, block.feedforward_norm
    x = x + net.positions[:7]
    if norm == "pre":
        x = x + attention(normalise(x, first), normalise(x, first))
        x = normalise(x + feedforward(normalise(x, second)), net.final_norm)
    elif norm == "post":
        x = normalise(x + attention(x, x), first)
        x = normalise(x + feedforward(x), second)
    else:
        x = normalise(normalise(x, first) + attention(normalise(x, first), x), second)
        x = normalise(x + feedforward(x), net.final_norm)
    torch.testing.assert_close(net(tokens(7), pack(torch.tensor([7]))), x, rtol=1e-4, atol=1e-4)


def test_positions_count_from_the_first_token_of_each_sequence():
    packing = pack(torch.tensor([3, 1, 4]))
    assert packing.position.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    assert packing.last.tolist() == [2, 3, 7]


@pytest.mark.parametrize("seed", range(5))
def test_every_token_has_its_own_cell_and_little_is_padding(seed):
    lengths = torch.from_numpy(np.random.default_rng(seed).integers(1, 60, 40))
    packing = pack(lengths)
    flat = torch.cat([group.token.flatten() for group in packing.groups])
    assert torch.equal(flat[packing.cell], torch.arange(int(lengths.sum())))
    assert len(flat) <= 1.25 * int(lengths.sum())
    padding = torch.cat(
        [(torch.zeros_like(g.token) if g.padding is None else g.padding).flatten().bool() for g in packing.groups]
    )
    assert not padding[packing.cell].any() and padding.sum() == len(flat) - len(packing.cell)


def test_dropout_is_drawn_by_the_generator_alone():
    packing, inputs = pack(torch.tensor(LENGTHS)), tokens(sum(LENGTHS))
    net = network(dropout=0.3).train()

    def run(seed):
        return net(inputs, packing, torch.Generator().manual_seed(seed))

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    net.eval()
    assert torch.equal(run(1), run(2))


def test_the_same_seed_gives_the_same_weights():
    one, same, other = (network(seed=seed).state_dict() for seed in (0, 0, 1))
    made = [PackedTransformer(TransformerConfig(), torch.Generator().manual_seed(s)).state_dict() for s in (0, 0, 1)]
    for a, b, c in ((one, same, other), made):
        assert all(torch.equal(a[name], b[name]) for name in a)
        assert not all(torch.equal(a[name], c[name]) for name in a)


@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", ""])
@pytest.mark.parametrize("num_tokens, num_items", [(1, 5), (50, 7), (700, 6000)])
def test_full_cross_entropy_is_the_plain_one(num_tokens, num_items, with_bias):
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(num_items, (num_tokens,), generator=generator)

    def leaves():
        generator.manual_seed(4)
        shapes = ((num_tokens, 16), (num_items, 16), (num_items,))
        return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]

    states, items, bias = leaves()
    chunked = full_cross_entropy(3 * states, items, ids, bias if with_bias else None)
    (2 * chunked).backward()
    states_, items_, bias_ = leaves()
    plain = cross_entropy(3 * states_ @ items_.T + (bias_ if with_bias else 0), ids)
    (2 * plain).backward()
    torch.testing.assert_close(chunked, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(states.grad, states_.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(items.grad, items_.grad, rtol=1e-4, atol=1e-6)
    if with_bias:
        torch.testing.assert_close(bias.grad, bias_.grad, rtol=1e-4, atol=1e-6)


def test_full_cross_entropy_gradient_check():
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    items = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([0, 4, 4, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda s, i, b: full_cross_entropy(s, i, ids, b), (states, items, bias))


def test_full_cross_entropy_stands_large_logits_and_no_tokens():
    states = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]], requires_grad=True)
    items = torch.eye(2)
    loss = full_cross_entropy(states, items, torch.tensor([1, 1]))
    loss.backward()
    assert loss == 500 and torch.equal(states.grad, torch.tensor([[0.5, -0.5], [0.0, 0.0]]))
    nothing = torch.zeros(0, 2, requires_grad=True)
    empty = full_cross_entropy(nothing, items.requires_grad_(), torch.zeros(0, dtype=torch.long))
    empty.backward()
    assert empty == 0 and nothing.grad.shape == (0, 2) and items.grad.abs().max() == 0


def test_without_gradients_there_is_the_value_alone():
    states, items = tokens(9), tokens(20, seed=8)
    ids = torch.arange(9)
    with torch.no_grad():
        value = full_cross_entropy(states, items, ids)
    assert not value.requires_grad
    torch.testing.assert_close(value, cross_entropy(states @ items.T, ids))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"dim": 10, "num_heads": 4}, "dim must be a multiple of num_heads, got 10 and 4"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"num_blocks": 0}, "num_blocks must be at least 1, got 0"),
        ({"norm": "none"}, "norm must be one of .*, got 'none'"),
    ],
)
def test_a_wrong_shape_is_refused(changes, message):
    with pytest.raises((ValueError, TypeError)):
        TransformerConfig(**changes)
    if "norm" not in changes:
        with pytest.raises(ValueError, match=message):
            TransformerConfig(**changes)


def test_sequences_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="lengths must be at least 1, got 0"):
        pack(torch.tensor([2, 0]))
    with pytest.raises(ValueError, match="at most 12 tokens, got 13"):
        network()(tokens(13), pack(torch.tensor([13])))


def test_it_learns_what_only_order_tells():
    """The token two places back, among four: no bag of tokens and no last token tells it."""
    generator = torch.Generator().manual_seed(0)
    net = PackedTransformer(TransformerConfig(dim=16, max_length=10, dropout=0.0), generator)
    table = torch.nn.Parameter(torch.randn(4, 16, generator=generator) * 0.1)
    optimizer = torch.optim.Adam([*net.parameters(), table], lr=0.01)
    packing = pack(torch.full((64,), 10))
    for _ in range(150):
        ids = torch.randint(4, (640,), generator=generator)
        known = packing.position >= 2
        states = net(embedding(ids, table), packing, generator)
        loss = full_cross_entropy(states[known], table, ids.roll(2)[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1  # guessing costs log 4 = 1.39
