"""What holds for every loss: padding leaves no trace, order does not matter, nothing to learn is a zero."""

import pytest
import torch

from agents.losses import LOSSES, make_loss

ALL = {name: make_loss(name, **({"sampling_rate": 0.3} if name == "gbce" else {})) for name in LOSSES}


def value_and_gradient(loss, scores, labels, mask, weights):
    scores = scores.clone().requires_grad_()
    value = loss(scores, labels, mask, weights)
    value.backward()
    return value.detach(), scores.grad


@pytest.mark.parametrize("name", LOSSES)
def test_padding_leaves_no_trace(name, ragged):
    """Lists padded with NaN and infinity against the same lists with other padding, cut or widened."""
    scores, labels, mask, weights = ragged(0, tied=True)
    value, gradient = value_and_gradient(ALL[name], scores, labels, mask, weights)
    assert value.isfinite() and gradient.isfinite().all()
    assert (gradient[~mask] == 0).all() and (gradient[mask] != 0).any()
    wide = [torch.nn.functional.pad(x.nan_to_num(7.0, 7.0, 7.0), (3, 2), value=5) for x in (scores, labels, weights)]
    wide_mask = torch.nn.functional.pad(mask, (3, 2), value=False)
    same, same_gradient = value_and_gradient(ALL[name], wide[0], wide[1], wide_mask, wide[2])
    assert torch.allclose(same, value, rtol=1e-12)
    assert torch.allclose(same_gradient[:, 3:-2], gradient, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_order_does_not_matter(name, ragged):
    """Documents of each list and the lists themselves change places; scores and labels have ties."""
    scores, labels, mask, weights = ragged(1, tied=True)
    weights = 1 + 2.0 * (labels > 0)  # Where scores and labels tie, documents must not differ otherwise.
    value, gradient = value_and_gradient(ALL[name], scores, labels, mask, weights)
    generator = torch.Generator().manual_seed(0)
    documents = torch.rand(scores.shape, generator=generator).argsort(dim=1)
    queries = torch.randperm(len(scores), generator=generator)

    def moved(values):
        return values.gather(1, documents)[queries]

    same, same_gradient = value_and_gradient(ALL[name], *(moved(x) for x in (scores, labels, mask, weights)))
    assert torch.allclose(same, value, rtol=1e-12)
    if not name.startswith("lambdarank"):  # whose tied documents share their forces as they stand in the list
        assert torch.allclose(same_gradient, moved(gradient), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", ["lambdarank", "lambdarank-map"])
def test_order_does_not_matter_to_lambdas_of_distinct_scores(name, ragged):
    scores, labels, mask, weights = ragged(1)
    _, gradient = value_and_gradient(ALL[name], scores, labels, mask, weights)
    _, flipped = value_and_gradient(ALL[name], *(x.flip(1) for x in (scores, labels, mask, weights)))
    assert torch.allclose(flipped.flip(1), gradient, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_scale_what_they_weigh(name, ragged):
    """They multiply terms, whatever the normaliser: twice the weight, twice the force."""
    scores, labels, mask, weights = ragged(2)
    _, gradient = value_and_gradient(ALL[name], scores, labels, mask, weights)
    _, doubled = value_and_gradient(ALL[name], scores, labels, mask, 2 * weights)
    _, plain = value_and_gradient(ALL[name], scores, labels, mask, None)
    _, ones = value_and_gradient(ALL[name], scores, labels, mask, torch.ones_like(weights))
    assert torch.allclose(doubled, 2 * gradient, rtol=1e-12) and torch.equal(plain, ones)


@pytest.mark.parametrize("name", LOSSES)
def test_only_lists_that_say_something_count(name, ragged):
    """Lists without a document, and for losses of whole lists those without a relevant one, may as well be left out."""
    scores, labels, mask, weights = ragged(3)
    value, _ = value_and_gradient(ALL[name], scores, labels, mask, weights)
    says = (mask & (labels > 0)).any(dim=1) if ALL[name].kind != "pointwise" else mask.any(dim=1)
    assert not says.all()
    fewer, _ = value_and_gradient(ALL[name], *(x[says] for x in (scores, labels, mask, weights)))
    assert torch.allclose(fewer, value, rtol=1e-12)


def nothing_to_learn():
    scores = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    all_masked, none_masked = torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    yield "all masked", scores, torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), all_masked
    yield "no query", scores[:0], scores[:0], none_masked[:0]
    yield "no document", scores[:, :0], scores[:, :0], none_masked[:, :0]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("case", list(nothing_to_learn()), ids=lambda case: case[0])
def test_nothing_to_learn_is_a_connected_zero(name, case):
    _, scores, labels, mask = case
    value, gradient = value_and_gradient(ALL[name], scores, labels, mask, None)
    assert float(value) == 0 and gradient.shape == scores.shape and (gradient == 0).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if ALL[name].kind != "pointwise"])
def test_nothing_relevant_teaches_nothing(name):
    scores = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    value, gradient = value_and_gradient(ALL[name], scores, torch.zeros(2, 3), torch.ones_like(scores) > 0, None)
    assert float(value) == 0 and (gradient == 0).all()


@pytest.mark.parametrize("name", ["ranknet", "margin", "lambdarank", "lambdarank-map", "listmle"])
def test_equal_labels_order_nothing(name):
    """And a list that orders nothing does not count."""
    scores, mask = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]]), torch.ones(2, 3, dtype=torch.bool)
    labels = torch.tensor([[2.0, 2.0, 2.0], [0.0, 2.0, 0.0]])
    value, gradient = value_and_gradient(ALL[name], scores[:1], labels[:1], mask[:1], None)
    assert float(value) == 0 and (gradient == 0).all()
    assert torch.equal(ALL[name](scores, labels, mask), ALL[name](scores[1:], labels[1:], mask[1:]))


@pytest.mark.parametrize("name", LOSSES)
def test_far_apart_scores_stay_finite(name):
    """In float32, where exp overflows at 89."""
    scores = torch.tensor([[-1e4, 1e4, 0.0, 90.0], [1e4, -1e4, 1e3, -200.0]])
    labels = torch.tensor([[1.0, 0.0, 2.0, 0.0]] * 2)
    value, gradient = value_and_gradient(ALL[name], scores, labels, torch.ones_like(scores) > 0, None)
    assert value.isfinite() and gradient.isfinite().all() and float(value) > 0


@pytest.mark.parametrize("name", LOSSES)
def test_precision_and_repetition(name, ragged):
    """float32 agrees with float64, half precision comes out as float32, and the same call gives the same bits."""
    scores, labels, mask, weights = ragged(5)
    expected, _ = value_and_gradient(ALL[name], scores, labels, mask, weights)
    single = [x.float() for x in (scores, labels, weights)]
    value, gradient = value_and_gradient(ALL[name], single[0], single[1], mask, single[2])
    again, same_gradient = value_and_gradient(ALL[name], single[0], single[1], mask, single[2])
    assert value.dtype == torch.float32 and torch.allclose(value.double(), expected, rtol=1e-5)
    assert torch.equal(value, again) and torch.equal(gradient, same_gradient)
    half, half_gradient = value_and_gradient(ALL[name], scores.bfloat16(), labels, mask, weights)
    assert half.dtype == torch.float32 and half_gradient.dtype == torch.bfloat16


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_down_the_gradient_is_a_step_down(name, ragged):
    scores, labels, mask, weights = ragged(6)
    if name in ("bce", "gbce"):
        labels = (labels > 1).double()
    value, gradient = value_and_gradient(ALL[name], scores, labels, mask, weights)
    if not name.startswith("lambdarank"):  # whose pair weights change with the ranking
        assert float(ALL[name](scores - 1e-4 * gradient, labels, mask, weights)) < float(value)
    if ALL[name].kind != "pointwise":  # only differences of scores matter
        assert abs(float(gradient.sum())) < 1e-12
