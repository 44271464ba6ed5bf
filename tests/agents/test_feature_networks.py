"""Networks of features equal slow twins that read one field, one click and one pair at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.dcn import DCN, LowRankCross
from agents.dlrm import DLRM, dots
from agents.dropout import Dropout
from agents.feature_network import BatchNorm, SplitLinear, mlp
from agents.fields import Schema
from agents.multilayer import Multilayer
from agents.requests import Requests
from agents.two_tower import TwoTower
from recsim_lab.policy import TICKS_PER_DAY

A = np.ndarray

DIM = 3
ROWS = [0, 17, 300, 700, 1100]
UNKNOWN_USERS, UNKNOWN_ITEMS = (19, 30), (5, 8, 39)


class Twin:
    """Reads a network's tables with Python loops, in float64."""

    def __init__(self, network, features, observation, history: str, ids: bool, context: bool):
        self.network, self.reader, self.features = network, network.reader, features
        self.observation, self.history, self.ids, self.context = observation, history, ids, context

    def clicks(self, row: int) -> list[tuple[int, int]]:
        """(item, tick) of each click before, oldest first."""
        both = zip(self.observation.clicked[row].tolist(), self.observation.clicked_tick[row].tolist(), strict=True)
        return [(item, tick) for item, tick in both if item >= 0]

    def fields(self, side: str, place: int, extra: tuple[int, ...] = ()) -> list[A]:
        """A vector for each categorical field (and each extra code), then for each multi-valued one."""
        declared = getattr(self.features, f"{side}_fields")
        columns = getattr(self.features, f"{side}s")
        layer = getattr(self.reader, f"{side}_fields")
        codes, values = layer.codes.detach().double().numpy(), [v.detach().double().numpy() for v in layer.values]
        sizes = [f.cardinality for f in declared if f.kind == "categorical"]
        found = [int(columns[f.name][place]) for f in declared if f.kind == "categorical"]
        vectors, start = [], 0
        for size, code in zip([*sizes, *([24, 3] if extra else [])], [*found, *extra], strict=True):
            vectors.append(codes[start + code])
            start += size
        for field, table in zip((f for f in declared if f.kind == "multi"), values, strict=True):
            own = [table[value] for value in np.flatnonzero(columns[field.name][place])]
            vectors.append(np.mean(own, axis=0) if own else np.zeros(DIM))
        return vectors

    def numbers(self, side: str, place: int) -> list[float]:
        declared, columns = getattr(self.features, f"{side}_fields"), getattr(self.features, f"{side}s")
        return [
            float(
                (columns[f.name][place] - columns[f.name].mean(dtype=np.float64))
                / columns[f.name].std(dtype=np.float64)
            )
            for f in declared
            if f.kind == "numeric"
        ]

    def item(self, item: int) -> list[A]:
        vectors = self.fields("item", item)
        if self.ids:
            vectors.insert(0, self.row(self.reader.items, 0 if item in UNKNOWN_ITEMS else item + 1))
        return vectors

    def request(self, row: int) -> list[A]:
        user, seen = int(self.observation.user[row]), self.observation
        hour = int(seen.tick[row]) % TICKS_PER_DAY // 60
        vectors = self.fields("user", user, (hour, int(seen.device[row])) if self.context else ())
        if self.ids:
            vectors.insert(0, self.row(self.reader.users, 0 if user in UNKNOWN_USERS else user + 1))
        if self.history != "none":
            clicked = [self.item(item) for item, _ in self.clicks(row)]
            num_fields = len(self.item(0))
            for field in range(num_fields):
                vectors.append(np.mean([item[field] for item in clicked], axis=0) if clicked else np.zeros(DIM))
            if self.ids:
                newest = self.clicks(row)[-1][0] if clicked else UNKNOWN_ITEMS[0]
                vectors.append(self.row(self.reader.newest, 0 if newest in UNKNOWN_ITEMS else newest + 1))
        return vectors

    def pairs(self, row: int, item: int) -> list[float]:
        """Novelty; for each field the share of all clicks before, then of those of the last hour, with the same
        value (k values of an item count 1/k each); and whether the newest has it."""
        features, tick = self.features, int(self.observation.tick[row])
        release = int(features.release[item])
        age = max(tick - release, 0) / TICKS_PER_DAY
        columns = [math.exp(-age / 10) if release > 0 else 0.0] if self.context else []
        if self.history != "paired":
            return columns
        kinds = [[f.name for f in features.item_fields if f.kind == kind] for kind in ("categorical", "multi")]
        for clicks in (self.clicks(row), [c for c in self.clicks(row) if tick - c[1] <= 60]):
            for name in kinds[0]:
                same = [features.items[name][other] == features.items[name][item] for other, _ in clicks]
                columns.append(float(np.mean(same)) if same else 0.0)
            for name in kinds[1]:
                common = [self.share(name, other) @ self.share(name, item) for other, _ in clicks]
                columns.append(float(np.mean(common)) if common else 0.0)
        for name in kinds[0]:
            newest = self.clicks(row)[-1:]
            columns.append(float(any(features.items[name][other] == features.items[name][item] for other, _ in newest)))
        return columns

    def share(self, name: str, item: int) -> A:
        values = self.features.items[name][item].astype(float)
        return values / max(values.sum(), 1)

    @staticmethod
    def row(table: torch.Tensor, place: int) -> A:
        return table[place].detach().double().numpy()


def linear(layer, x: A) -> A:
    return layer.weight.detach().double().numpy() @ x + layer.bias.detach().double().numpy()


def split_linear(layer: SplitLinear, *parts: A) -> A:
    """One matrix on all parts, one after the other."""
    whole = np.concatenate([w.detach().double().numpy() for w in layer.weights], axis=1)
    return whole @ np.concatenate(parts) + layer.bias.detach().double().numpy()


def layers(modules, x: A) -> A:
    """What a sequence of linear layers, ReLU and dropout makes of a vector when serving."""
    for module in modules:
        if isinstance(module, torch.nn.Sequential):
            x = layers(module, x)
        elif isinstance(module, torch.nn.Linear):
            x = linear(module, x)
        elif isinstance(module, torch.nn.ReLU):
            x = np.maximum(x, 0)
        else:
            assert isinstance(module, Dropout)
    return x


def side(vectors: list[A], numbers: list[float]) -> A:
    return np.concatenate([*vectors, numbers])


def two_tower_score(agent: TwoTower, network, twin: Twin, row: int, item: int) -> float:
    user = int(twin.observation.user[row])
    first = layers(network.user_tower, side(twin.request(row), twin.numbers("user", user)))
    second = layers(network.item_tower, side(twin.item(item), twin.numbers("item", item)))
    if agent.normalised:
        return first @ second / np.linalg.norm(first) / np.linalg.norm(second) / agent.temperature
    return first @ second


def mlp_score(agent: Multilayer, network, twin: Twin, row: int, item: int) -> float:
    user = int(twin.observation.user[row])
    request, candidate = (
        side(twin.request(row), twin.numbers("user", user)),
        side(twin.item(item), twin.numbers("item", item)),
    )
    hidden = split_linear(network.first, request, candidate, np.array(twin.pairs(row, item)))
    return layers(network.rest, hidden)[0]


def dlrm_score(agent: DLRM, network, twin: Twin, row: int, item: int) -> float:
    user = int(twin.observation.user[row])
    numbers = [*twin.numbers("user", user), *twin.numbers("item", item), *twin.pairs(row, item)]
    dense = layers(network.bottom, np.array(numbers))
    request, candidate = twin.request(row), twin.item(item)
    # Every pair of all vectors, the dense one among them, exactly once; then the dense vector itself.
    everything = [*request, *candidate, dense]
    num = len(everything)
    of = {(i, j): everything[i] @ everything[j] for i in range(num) for j in range(i + 1, num)}
    requests, items, last = range(len(request)), range(len(request), num - 1), num - 1
    groups = [
        [of[i, j] for i in requests for j in requests if i < j],
        [of[i, j] for i in items for j in items if i < j],
        [of[i, j] for i in requests for j in items] + [of[i, last] for i in requests] + [of[j, last] for j in items],
    ]
    assert sum(map(len, groups)) == num * (num - 1) // 2
    if agent.with_vectors:
        groups[0] += [value for vector in request for value in vector]
        groups[1] += [value for vector in candidate for value in vector]
    hidden = split_linear(network.first, *(np.array(group) for group in groups), dense)
    return layers(network.rest, hidden)[0]


def dcn_score(agent: DCN, network, twin: Twin, row: int, item: int) -> float:
    user = int(twin.observation.user[row])
    request, candidate = (
        side(twin.request(row), twin.numbers("user", user)),
        side(twin.item(item), twin.numbers("item", item)),
    )
    pairs = np.array(twin.pairs(row, item))
    x0 = np.concatenate([request, candidate, pairs])
    x = x0
    for cross in network.crosses:
        x = low_rank(cross, x0, x) if agent.rank else x0 * linear(cross.linear, x) + x
    if agent.structure == "parallel":
        deep = layers(network.rest, split_linear(network.first, request, candidate, pairs))
        x = np.concatenate([x, deep])
    return layers(network.last, x)[0]


def low_rank(cross: LowRankCross, x0: A, x: A) -> A:
    """Equations 3 and 4 of Wang et al. (WWW 2021): each expert by itself, weighed by its gate."""
    down = cross.down.weight.detach().double().numpy()
    gates = np.ones(1)
    if cross.gate is not None:
        gates = np.exp(linear(cross.gate, x))
        gates /= gates.sum()
    total = x.copy()
    for expert in range(cross.num_experts):
        v = down[expert * cross.rank : (expert + 1) * cross.rank]  # [rank, width]
        c = cross.inside[expert].detach().double().numpy().T
        u = cross.up[expert].detach().double().numpy().T  # [width, rank]
        inner = np.tanh(c @ np.tanh(v @ x))
        total += gates[expert] * x0 * (u @ inner + cross.bias.detach().double().numpy())
    return total


MODELS = {
    "two-tower": (TwoTower(dim=DIM, hidden="7-5", width=4), two_tower_score),
    "two-tower cosine": (TwoTower(dim=DIM, normalised=True, temperature=0.3), two_tower_score),
    "two-tower one layer": (TwoTower(dim=DIM, hidden="", history="none"), two_tower_score),
    "mlp": (Multilayer(dim=DIM, hidden="9-6"), mlp_score),
    "mlp pooled": (Multilayer(dim=DIM, hidden="9", history="pooled", context=False), mlp_score),
    "mlp features only": (Multilayer(dim=DIM, hidden="9", ids=False), mlp_score),
    "mlp ids only": (Multilayer(dim=DIM, hidden="9", fields=False), mlp_score),
    "dlrm": (DLRM(dim=DIM, bottom="5", top="8-6"), dlrm_score),
    "dlrm no history": (DLRM(dim=DIM, bottom="", top="8", history="none", ids=False), dlrm_score),
    "dlrm with vectors": (DLRM(dim=DIM, with_vectors=True), dlrm_score),
    "dcn full parallel": (DCN(dim=DIM, rank=0, num_layers=3, deep="8-6-5"), dcn_score),
    "dcn full stacked": (DCN(dim=DIM, rank=0, structure="stacked", deep="8"), dcn_score),
    "dcn low rank": (DCN(dim=DIM, rank=2, deep="8"), dcn_score),
    "dcn mixture stacked": (DCN(dim=DIM, rank=2, num_experts=3, structure="stacked"), dcn_score),
    "dcn mixture parallel": (DCN(dim=DIM, rank=2, num_experts=3, history="pooled"), dcn_score),
}


@pytest.fixture(scope="module")
def observed(featured_log):
    """Requests with no clicks, few and many, some of the last hour, and a new user."""
    observation = featured_log.observations(np.array(ROWS))
    clicked_tick = observation.clicked_tick.copy()
    clicked_tick[3, -2:] = observation.tick[3] - np.array([61, 60])
    device = np.array([0, 1, 2, 1, 0], np.int8)
    tick = observation.tick + np.array([0, 30, 400, 0, 1000])
    return replace(observation, clicked_tick=clicked_tick, device=device, tick=tick)


@pytest.fixture(params=MODELS)
def built(request, featured_log, observed):
    """(the agent, its network with random weights everywhere, its twin, the twin's score, requests as tensors)"""
    agent, score = MODELS[request.param]
    features = featured_log.features
    if not agent.fields:
        features = replace(features, user_fields=(), item_fields=(), users={}, items={})
    schema = Schema.of(featured_log.features, 60, 3, agent.fields)
    torch.manual_seed(0)
    network = agent.build(schema).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    network.known_users[1:], network.known_items[1:] = True, True
    network.known_users[[1 + user for user in UNKNOWN_USERS]] = False
    network.known_items[[1 + item for item in UNKNOWN_ITEMS]] = False
    twin = Twin(network, features, observed, agent.history, agent.ids, agent.context)
    table = schema.table(featured_log.features, "cpu")
    return agent, network, twin, score, Requests.of(observed, table, "cpu", agent.num_recent)


def test_the_requests_have_what_twins_must_read(observed, featured_log):
    lengths = (observed.clicked >= 0).sum(axis=1)
    assert lengths[0] == 0 and 0 < lengths[2] < 20 and observed.user[1] in UNKNOWN_USERS
    assert any(item in UNKNOWN_ITEMS for item in observed.clicked[2:].ravel())
    recent = (observed.tick[:, None] - observed.clicked_tick <= 60) & (observed.clicked >= 0)
    assert recent.any() and recent[3].sum() >= 1 and not recent[4].any()
    num_tags = featured_log.features.items["tags"].sum(axis=1)
    assert {0, 1, 2} <= set(num_tags.tolist()) and (featured_log.features.release > 0).any()


@torch.no_grad()
def test_scores_equal_the_twin(built):
    agent, network, twin, score, requests = built
    items = torch.tensor([0, 3, 5, 11, 39, 8])
    scores = network(requests, items)
    literal = [[score(agent, network, twin, row, item) for item in items.tolist()] for row in range(len(ROWS))]
    assert np.std(literal) > 0.01
    np.testing.assert_allclose(scores.numpy(), literal, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_shared_candidates_score_as_own_ones(built):
    _, network, _, _, requests = built
    items = torch.tensor([7, 0, 39, 12])
    shared, own = network(requests, items), network(requests, items.expand(len(requests), -1))
    torch.testing.assert_close(shared, own, rtol=1e-5, atol=1e-5)
    mixed = torch.stack([items.roll(row) for row in range(len(requests))])
    torch.testing.assert_close(network(requests, mixed), torch.stack([own[r].roll(r) for r in range(len(requests))]))


@torch.no_grad()
def test_padding_changes_nothing(built):
    """Neither empty places before the clicks nor what a padded candidate would be."""
    agent, network, _, _, requests = built
    if agent.history == "none":
        assert requests.clicked.shape[1] == 0
        return
    wider = replace(
        requests,
        clicked=torch.cat([torch.full((len(ROWS), 3), -1, dtype=torch.int32), requests.clicked], dim=1),
        clicked_tick=torch.cat([torch.full((len(ROWS), 3), -1, dtype=torch.int32), requests.clicked_tick], dim=1),
    )
    items = torch.tensor([[4, -1, 2]] * len(ROWS))
    torch.testing.assert_close(network(wider, items)[:, [0, 2]], network(requests, items[:, [0, 2]]))


def test_training_reaches_every_parameter(built):
    """What a model reads, it can learn: each table gets a gradient, and ids that are hidden do not."""
    agent, network, _, _, requests = built
    # One half of a fresh ReLU layer may be silent, so several rows and items are asked.
    network(requests, torch.arange(40)).square().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.numel():
            assert parameter.grad is not None and parameter.grad.any(), name
    if agent.ids:
        assert not network.reader.users.grad[[1 + user for user in UNKNOWN_USERS]].any()
        assert not network.reader.items.grad[[1 + item for item in UNKNOWN_ITEMS]].any()


# ---- the parts -------------------------------------------------------------------------------------------------------


def test_ids_are_hidden_in_training_only(featured_log, observed):
    agent = TwoTower(dim=DIM, id_dropout=0.3)
    schema = Schema.of(featured_log.features, 60, 3)
    network = agent.build(schema)
    network.known_items[:] = True
    table = schema.table(featured_log.features, "cpu")
    items = torch.arange(40).repeat(500)
    torch.manual_seed(0)
    hidden = (network.reader.read_items(items, table).vectors[:, 0] == network.reader.items[0]).all(dim=1)
    # 20,000 draws: standard deviation .0032.
    assert abs(float(hidden.double().mean()) - 0.3) < 4.5 * 0.0033
    network.eval()
    assert not (network.reader.read_items(items, table).vectors[:, 0] == network.reader.items[0]).all(dim=1).any()


def test_dots_are_of_all_pairs_once():
    vectors = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    literal = [[float(v[i] @ v[j]) for i in range(4) for j in range(i + 1, 4)] for v in vectors]
    np.testing.assert_allclose(dots(vectors).numpy(), literal, rtol=1e-5)
    assert dots(vectors[:, :1]).shape == (2, 0)


def test_split_linear_starts_like_one_layer():
    torch.manual_seed(0)
    split = SplitLinear(2, 3, 1, 5)
    torch.manual_seed(0)
    whole = torch.nn.Linear(6, 5)
    request, item, pairs = torch.randn(4, 2), torch.randn(4, 7, 3), torch.randn(4, 7, 1)
    together = torch.cat([request[:, None].expand(-1, 7, -1), item, pairs], dim=-1)
    torch.testing.assert_close(split(request, item, pairs), whole(together))
    torch.testing.assert_close(split(request, item[0], pairs), split(request, item[:1].expand(4, -1, -1), pairs))


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 3), (1, 1, 3), (1, 3)])
def test_batch_normalisation_takes_all_axes_together(shape):
    layer = BatchNorm(3)
    x = 5 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    rows = x.reshape(-1, 3)
    if len(rows) > 1:
        expected = (rows - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt()
    else:
        expected = rows / np.sqrt(1 + 1e-5)  # as when serving: nothing was seen yet
    torch.testing.assert_close(layer(x), expected.view(shape))


def test_layers_of_an_mlp():
    found = [type(layer).__name__ for layer in mlp([4, 3, 2, 1], 0.5)]
    assert found == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [type(layer).__name__ for layer in mlp([4, 1])] == ["Linear"]
    assert [type(layer).__name__ for layer in mlp([4, 3, 1], 0.0, True)][:2] == ["Linear", "BatchNorm"]
