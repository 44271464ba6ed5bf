"""Hard negatives are none of what a user is known to have clicked, however highly a model thinks of it."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from agents.examples import clicks_of
from agents.fields import Schema
from agents.known import Known
from agents.losses import make_loss
from agents.negatives import Draw, Hard, Negatives, uniform
from agents.network import DotNetwork
from agents.neural import NetworkAgent
from agents.objective import Batch, Catalogue
from agents.registry import make_agent
from agents.sasrec import NextClicks
from agents.sequences import ClickSequences
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.testing import planted_log

T = torch.Tensor

NUM_USERS, SIZE = 12, 5
NUM_ITEMS = NUM_USERS * SIZE
SPECS = ("mf:dim=4", "mlp:dim=4", "sasrec:dim=8", "sasrec:dim=8,max_length=3", "bert4rec:dim=8,mask_probability=0.7")


@pytest.fixture(scope="module")
def groups() -> InteractionLog:
    """User u clicks whatever he is shown of items 5u to 5u + 4, and nothing else, so that a click tells whose it is."""
    log = planted_log(NUM_USERS, NUM_ITEMS)
    return replace(log, clicks=log.slate // SIZE == log.user[:, None])


def clicked_by(log: InteractionLog) -> dict[int, set[int]]:
    return {user: set(log.slate[log.user == user][log.clicks[log.user == user]].tolist()) for user in range(NUM_USERS)}


class Fond(DotNetwork):
    """Scores items of the group that a row's click is of highest, and among them the first."""

    def __init__(self) -> None:
        super().__init__(Schema(NUM_USERS, NUM_ITEMS, 1))
        self.group = torch.zeros(0, dtype=torch.long)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def encode(self, inputs):
        return one_hot(self.group, NUM_USERS) * self.weight

    def embed(self, items, table):
        return one_hot(items // SIZE, NUM_USERS) * (2.0 - (items % SIZE)[..., None] / SIZE)


@dataclass(frozen=True)
class Watched(Negatives):
    """Keeps what is drawn."""

    inner: Negatives
    drawn: list[Draw] = field(default_factory=list)

    def draw(self, clicked, num, shared, judge=None):
        self.drawn.append(self.inner.draw(clicked, num, shared, judge))
        return self.drawn[-1]


def agent_of(spec: str) -> NetworkAgent:
    agent = make_agent(f"{spec},loss=bpr,negatives=hard,hard_warmup=0,epochs=2,batch_size=16", seed=1)
    assert isinstance(agent, NetworkAgent)
    return agent


def batches_of(spec: str, log: InteractionLog) -> list[Batch]:
    table = Schema.of(log.features, NUM_USERS, 1).table(log.features, "cpu")
    torch.manual_seed(0)
    return list(agent_of(spec)._examples(log, table, None).batches(5, shuffled=True))


def drawn_for(batch: Batch, hard: Hard, num: int = 8, loss: str = "bpr") -> tuple[Draw, T]:
    """(the draw, the loss) of a batch, judged by who likes best what its users click."""
    network, watched = Fond(), Watched(hard)
    network.group = batch.items[:, 0] // SIZE
    value = Catalogue(make_loss(loss), watched, num, False).loss(network, batch, network)
    value.backward()
    assert network.weight.grad is not None and network.weight.grad.isfinite().all()
    return watched.drawn[0], value.detach()


@pytest.mark.parametrize("spec", SPECS)
def test_known_clicks_are_no_hard_negatives(spec, groups):
    # Some of their own items were never shown to users by chance: these are the hardest that are left.
    log = groups.take(groups.day < 3)
    clicked = clicked_by(log)
    hard, num_own = Hard(uniform(torch.ones(NUM_ITEMS).bool()), share=1.0, least_pool=4_000), 0
    for batch in batches_of(spec, log):
        draw, loss = drawn_for(batch, hard)
        assert draw.items.shape == (len(batch.items), 8) and loss.isfinite()
        assert draw.valid(batch.items[:, 0]).all()
        for click, items in zip(batch.items[:, 0].tolist(), draw.items.tolist(), strict=True):
            user = click // SIZE
            own = {item for item in items if item // SIZE == user}
            assert own == set(range(SIZE * user, SIZE * (user + 1))) - clicked[user]
            assert len(set(items)) == 8
            num_own += len(own)
    assert num_own > 0 and sum(map(len, clicked.values())) > 2 * NUM_USERS


@pytest.mark.parametrize("loss", ["bpr", "bce", "softmax"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_pool_of_known_clicks_alone_is_masked(spec, loss, groups):
    mine = torch.tensor(sorted(clicked_by(groups)[3]))
    pool = torch.zeros(NUM_ITEMS).bool().index_fill_(0, mine, True)
    assert len(mine) > 2
    for batch in batches_of(spec, groups.take(groups.user == 3)):
        draw, value = drawn_for(batch, Hard(uniform(pool), share=1.0), num=len(mine), loss=loss)
        assert draw.items.shape == (len(batch.items), len(mine)) and not draw.valid(batch.items[:, 0]).any()
        assert value.isfinite() and (value > 0) == (loss == "bce")


def test_where_too_few_are_left_the_other_places_are_masked(groups):
    (batch,) = batches_of("sasrec:dim=8", groups.take(groups.user == 3))
    mine = sorted(clicked_by(groups)[3])
    pool = torch.zeros(NUM_ITEMS).bool().index_fill_(0, torch.tensor([*mine, 0, 1]), True)
    draw, _ = drawn_for(batch, Hard(uniform(pool), share=1.0), num=4)
    assert (draw.items[:, :2].sort(dim=1).values == torch.tensor([0, 1])).all()
    assert draw.valid(batch.items[:, 0]).tolist() == [[True, True, False, False]] * len(batch.items)


@pytest.mark.parametrize("spec", SPECS)
def test_only_where_negatives_are_hard_are_clicks_told(spec, groups):
    table = Schema.of(groups.features, NUM_USERS, 1).table(groups.features, "cpu")
    for negatives in ("uniform", "popularity", "in-batch", "mixed", "hard"):
        agent = make_agent(f"{spec},loss=bpr,negatives={negatives}")
        batch = next(agent._examples(groups, table, None).batches(5, shuffled=False))
        assert (batch.known is not None) == (negatives == "hard")


@pytest.mark.parametrize("spec", SPECS)
def test_learning_from_hard_negatives_follows_from_the_seed(spec, groups):
    first, second = agent_of(spec), agent_of(spec)
    for agent in (first, second):
        agent.learn(groups)
        agent.learn(groups.take(groups.day == 5))
    one, two = first.state(), second.state()
    assert one.keys() == two.keys() and all(one[name].tobytes() == two[name].tobytes() for name in one)


# ---- what is known ---------------------------------------------------------------------------------------------------


def told(batch: Batch) -> list[set[int]]:
    """What each row's user is known to have clicked."""
    assert batch.known is not None
    among = batch.known.among(torch.arange(NUM_ITEMS))
    return [set(row.nonzero()[:, 0].tolist()) for row in among]


def test_known_clicks_are_those_of_each_rows_user():
    item, first, end = torch.tensor([7, 3, 3, 9, 1]), torch.tensor([3, 1, 0, 0]), torch.tensor([5, 1, 3, 2])
    known = Known.of(item, first, end, torch.tensor([2, 0, 1, 2, 3]))
    items = torch.tensor([0, 3, 7, 8, 9])
    wanted = [[3, 7], [9], [], [3, 7], [3, 7]]
    assert [items[row].tolist() for row in known.among(items)] == wanted
    assert known.among(torch.tensor([2])).tolist() == [[False]] * 5
    nobody = Known.of(item, first[:0], end[:0], first[:0])
    assert nobody.among(items).shape == (0, 5)


@pytest.mark.parametrize("spec", SPECS)
def test_all_clicks_of_a_user_are_known_and_no_one_elses(spec, groups):
    log = groups.take(np.random.default_rng(0).permutation(len(groups))[: len(groups) // 2])
    clicked = clicked_by(log)
    for batch in batches_of(spec, log):
        assert told(batch) == [clicked[item // SIZE] for item in batch.items[:, 0].tolist()]


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_what_is_held_out_is_not_known(share, groups):
    """Not even by what it is spared: who held it back would learn what it is."""
    table = Schema.of(groups.features, NUM_USERS, 1).table(groups.features, "cpu")
    for examples in (
        clicks_of(groups, table, "cpu", 5, tells_known=True),
        NextClicks(ClickSequences.of(groups, "cpu"), table, 200, tells_known=True),
    ):
        older, _ = examples.split(share)
        clicked: dict[int, set[int]] = {}
        batches = list(older.batches(7, shuffled=True))
        for item in torch.cat([batch.items[:, 0] for batch in batches]).tolist():
            clicked.setdefault(item // SIZE, set()).add(item)
        for batch in batches:
            assert told(batch) == [clicked[item // SIZE] for item in batch.items[:, 0].tolist()]


def test_clicks_in_hidden_slots_are_known_to_sequences_alone(groups):
    """A request's model is told nothing of them, while a sequence is made of them, and reads them anyway."""
    source = np.zeros(groups.slate.shape, np.int16)
    source[:, 2:] = 1
    mine = replace(groups, source=source, sources=("mine", "other")).only(["mine"])
    own, served = clicked_by(mine), clicked_by(groups)
    assert own != served
    for batch in batches_of("mf:dim=4", mine):
        assert told(batch) == [own[item // SIZE] for item in batch.items[:, 0].tolist()]
    others: set[int] = set()
    for batch in batches_of("sasrec:dim=8", mine):
        for known, item in zip(told(batch), batch.items[:, 0].tolist(), strict=True):
            assert own[item // SIZE] <= known <= served[item // SIZE]
            others |= known - own[item // SIZE]
    assert others
