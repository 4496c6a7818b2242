"""Measuring a network on rows that it does not learn from."""

import numpy as np
import pytest
from scipy import sparse

from skann.engine.batches import Examples
from skann.engine.losses import LOSSES
from skann.engine.network import Architecture, Network
from skann.engine.rows import Scaling, chunk_rows
from skann.engine.validation import Validation
from tests.data import KINDS, problem

CONTAINERS = pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
WEIGHTED = pytest.mark.parametrize("weighted", [False, True])


def make_network(kind):
    n_outputs = {"binary": 1}.get(kind, 3)
    architecture = Architecture((4, 6, n_outputs), ("tanh",), loss=kind)
    network = Network.random(architecture, np.float64, np.random.default_rng(0))
    # Another network than what a fit starts from: some rows right, and some wrong.
    network.weights[...] *= 2
    return network


def make_examples(kind, weighted, container=np.asarray):
    X, y = problem(kind)
    return Examples(container(X), y, np.linspace(0.1, 2, 60) if weighted else None)


@EVERY_KIND
@WEIGHTED
@CONTAINERS
def test_score_and_loss_are_those_of_all_rows(kind, weighted, container):
    X, y = problem(kind)
    network, examples = make_network(kind), make_examples(kind, weighted, container)
    score, loss = Validation(examples, network, None).measure(network)
    logits = np.tanh(X @ network.coefs[0] + network.intercepts[0]) @ network.coefs[1]
    logits = (logits + network.intercepts[1]).T
    if kind == "multiclass":
        right = logits.argmax(axis=0) == y
    elif kind == "binary":
        right = (logits[0] > 0) == y
    else:
        right = (y == (logits > 0).T).all(axis=1)
    assert 0 < right.sum() < 60
    assert score == pytest.approx(np.average(right, weights=examples.weights), rel=1e-12)
    weights = np.ones(60) if examples.weights is None else examples.weights
    whole = LOSSES[kind].make(len(logits), 60, np.float64)
    expected = whole(logits, y, weights, weights.sum())
    assert loss == pytest.approx(expected, rel=1e-12)


@EVERY_KIND
@WEIGHTED
@CONTAINERS
def test_rows_are_measured_the_same_in_chunks(monkeypatch, kind, weighted, container):
    network, examples = make_network(kind), make_examples(kind, weighted, container)
    measured = []
    for rows in (60, 7, 1):
        monkeypatch.setattr("skann.engine.validation.chunk_rows", lambda _, rows=rows: rows)
        validation = Validation(examples, network, None)
        assert validation.chunk_rows == rows
        measured.append(validation.measure(network))
    np.testing.assert_allclose(measured[1], measured[0], rtol=1e-12)
    np.testing.assert_allclose(measured[2], measured[0], rtol=1e-12)


@EVERY_KIND
@WEIGHTED
def test_some_of_the_rows_are_measured_as_if_there_were_no_others(kind, weighted):
    network, examples = make_network(kind), make_examples(kind, weighted)
    places = np.arange(59, 40, -2)
    weights = None if examples.weights is None else examples.weights[places]
    alone = Examples(examples.X[places], examples.targets[places], weights)
    measured = [
        Validation(rows, network, None).measure(network) for rows in (examples.at(places), alone)
    ]
    assert measured[0] == measured[1]


def test_rows_are_scaled():
    network, examples = make_network("multiclass"), make_examples("multiclass", False)
    scaling = Scaling(np.full(4, 3.0), np.full(4, 2.0))
    unscaled = Examples(examples.X / 2 + 3, examples.targets, None)
    expected = Validation(examples, network, None).measure(network)
    measured = Validation(unscaled, network, scaling).measure(network)
    assert measured == pytest.approx(expected, rel=1e-9)


def test_a_scoring_of_ones_own_is_given_the_loss():
    network, examples = make_network("multiclass"), make_examples("multiclass", False)
    _, expected = Validation(examples, network, None).measure(network)
    seen = []

    def scoring(*given):
        seen.append(given)
        return 0.25

    validation = Validation(examples, network, None, scoring)
    assert validation.measure(network) == (0.25, expected)
    assert seen == [(network, expected)]


@pytest.mark.parametrize("n_features", [1, 784, 10**7])
def test_chunks_have_rows_however_wide(n_features):
    assert 32 <= chunk_rows(n_features) <= 10**6
