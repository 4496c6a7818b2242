"""Saving a fit as it goes, and going on from there with the same bits."""

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skann import ANNClassifier, checkpoint
from skann.callbacks import Checkpoint
from skann.engine.optimizers import Adam
from skann.npz_tree import read, write
from tests import killed_fit
from tests.data import KINDS, problem, quick
from tests.results import assert_same, results

pytestmark = pytest.mark.kernels

X, y = problem()
X_sparse = sparse.random_array((60, 300), density=0.02, rng=np.random.default_rng(0), format="csr")
WEIGHTS = np.linspace(0.1, 3, 60)
runs_out = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class InterruptedFitError(Exception):
    pass


class Interrupt:
    """Ends a fit before an epoch, and notes which epochs there were."""

    def __init__(self, before_epoch=None, error=InterruptedFitError):
        self.before_epoch, self.error = before_epoch, error
        self.epochs = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == self.before_epoch:
            raise self.error

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.epochs.append(context.task_id)


class StopAfter(Interrupt):
    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return context.task_id == self.before_epoch - 1


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.npz"


def interrupt(model, path, before_epoch, *data, every=1, **more):
    """Fit with a checkpoint until an error before an epoch."""
    model.set_callbacks(Checkpoint(path, every=every), Interrupt(before_epoch))
    with pytest.raises(InterruptedFitError):
        model.fit(*data, **more)


def n_epochs(path):
    return read(path)["training"]["epochs"]["n_epochs"]


def falling(step):
    return 0.97**step


def mean_margin(estimator, X, y):
    return float(estimator.decision_function(X)[np.arange(len(y)), y].mean())


FITS = {
    "adam": {},
    "adamw": {"solver": "adamw"},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.1},
    "without momentum": {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0.0},
    "float64": {"dtype": "float64"},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "in order": {"shuffle": False},
    "batches of another size at the end": {"batch_size": 7},
    "dropout": {"dropout": 0.3, "input_dropout": 0.2, "input_noise": 0.1},
    "batch normalisation": {"normalization": "batch", "hidden_layer_sizes": (8, 6)},
    "layer normalisation": {"normalization": "layer"},
    "averaging": {"ema_decay": 0.8},
    "averaging of everything": {
        "ema_decay": 0.8,
        "normalization": "batch",
        "early_stopping": True,
        "learning_rate_init": 0.05,
    },
    "limits": {"max_norm": 0.5, "gradient_clip_norm": 0.1, "input_clip": 1.0},
    "embedding": {"numerical_embedding": "periodic", "n_members": 2},
    "members": {"n_members": 3, "ema_decay": 0.8, "normalization": "batch"},
    "early stopping": {
        "early_stopping": True,
        "n_iter_no_change": 1,
        "learning_rate_init": 0.1,
        "max_iter": 12,
    },
    "adaptive": {
        "learning_rate": "adaptive",
        "learning_rate_init": 0.1,
        "n_iter_no_change": 1,
        "tol": 0.05,
        "max_iter": 12,
    },
    "inverse scaling": {"learning_rate": "invscaling", "max_iter": 4},
    "warmup": {"warmup": 0.5, "learning_rate": "cosine"},
    "schedule of one's own": {"learning_rate": falling},
    "input scaling": {"input_scaling": "standard"},
    "class weights": {"class_weight": {0: 1, 1: 5, 2: 0.5}},
    "label smoothing": {"label_smoothing": 0.1},
    "scoring": {"scoring": mean_margin, "early_stopping": True},
    "any seed": {"random_state": None, "early_stopping": True},
    "stream of one's own": {"random_state": np.random.RandomState(3), "early_stopping": True},
    "numbers of NumPy": {"beta_1": np.float64(0.9), "hidden_layer_sizes": np.array([8])},
}
DATA = {
    "sparse": ((X_sparse, y), {}),
    "sparse with decoupled decay": ((X_sparse, y), {}),
    "weights": ((X, y, WEIGHTS), {}),
    "validation data": ((X, y), {"X_val": X[:20] + 0.1, "y_val": y[:20]}),
    "validation data with weights": (
        (X, y),
        {"X_val": X[:20], "y_val": y[:20], "sample_weight_val": WEIGHTS[:20]},
    ),
    "names": ((X, np.array(["a", "b", "c"])[y]), {}),
    "bytes": (((X * 30).astype(np.int8), y), {}),
    **{kind: (problem(kind), {}) for kind in KINDS},
}
CASES = {name: (changes, (X, y), {}) for name, changes in FITS.items()}
CASES |= {
    name: ({"solver": "adamw", "ema_decay": 0.7} if "decay" in name else {}, *data)
    for name, data in DATA.items()
}


class Keep(Interrupt):
    """Keeps a copy of the file as it is in every epoch but the first, where a kill leaves it."""

    def __init__(self, path):
        super().__init__()
        self.path, self.copies = path, []

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and context.task_id > 0:
            self.copies.append(self.path.with_name(f"copy-{context.task_id}.npz"))
            shutil.copyfile(self.path, self.copies[-1])


def assert_resumes_alike(model, path, data, more):
    """Resume a fit from every epoch; compare with the fit itself."""
    keep = Keep(path)
    whole = clone(model).set_callbacks(Checkpoint(path), keep).fit(*data, **more)
    expected = results(whole)
    for epoch, copy in enumerate([*keep.copies, path], start=1):
        assert n_epochs(copy) == epoch
        resumed = clone(model).set_callbacks().resume(copy, *data, **more)
        assert_same(results(resumed) | {"random_state": whole.random_state}, expected)
    return whole


@runs_out
class TestSameBits:
    @pytest.mark.parametrize("name", CASES)
    def test_resumed_from_any_epoch_a_fit_ends_as_without_interruption(self, name, path):
        changes, data, more = CASES[name]
        model = quick(warm_start=True, **changes)
        whole = assert_resumes_alike(model, path, data, more)
        assert whole.n_iter_ > 2
        if isinstance(model.random_state, int):
            # Saving changes nothing either.
            assert_same(results(whole), results(clone(model).set_callbacks().fit(*data, **more)))
        if name == "early stopping":
            assert whole.n_iter_ < whole.max_iter_
        if name == "adaptive":
            assert whole.history_[-1]["learning_rate"] < whole.learning_rate_init_


@runs_out
class TestWarmStart:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"solver": "sgd", "learning_rate": "constant"},
            {"early_stopping": True},
            {"dtype": "float64", "ema_decay": 0.8},
        ],
    )
    def test_a_fit_that_went_on_from_another_is_resumed_without_it(self, changes, path):
        # The scaling is the first fit's, and so are moments, random stream and counts.
        model = quick(warm_start=True, input_scaling="standard", **changes).fit(3 * X + 1, y)
        keep = Keep(path)
        model.set_callbacks(Checkpoint(path), keep).fit(X, y)
        for copy in [*keep.copies, path]:
            resumed = quick(warm_start=True, input_scaling="standard", **changes).resume(copy, X, y)
            assert_same(results(resumed), results(model))
        assert model.t_ > model.n_iter_ * 60 * (1 - model.validation_fraction)

    def test_a_resumed_fit_can_be_gone_on_with(self, path):
        model = quick(warm_start=True)
        interrupt(clone(model), path, 2, X, y)
        resumed = clone(model).set_callbacks().resume(path, X, y).fit(X, y)
        assert_same(results(resumed), results(model.fit(X, y).fit(X, y)))

    def test_what_the_classifier_had_learned_plays_no_part(self, path):
        model = quick(warm_start=True, input_scaling="maxabs")
        interrupt(clone(model), path, 2, X, y)
        other = clone(model).set_callbacks().fit(X * 9, np.arange(60) % 2)
        assert_same(results(other.resume(path, X, y)), results(model.fit(X, y)))


class TestEnds:
    def test_a_finished_fit_is_returned_without_another_epoch(self, path):
        model = quick().set_callbacks(Checkpoint(path)).fit(X, y)
        recorder = Interrupt()
        written = path.read_bytes()
        resumed = quick().set_callbacks(Checkpoint(path), recorder).resume(path, X, y)
        assert recorder.epochs == []
        assert_same(results(resumed), results(model))
        assert path.read_bytes() == written

    def test_a_fit_that_progress_has_ended_stays_ended(self, path):
        settings = {"early_stopping": True, "n_iter_no_change": 1, "max_iter": 30}
        model = quick(**settings).set_callbacks(Checkpoint(path)).fit(X, y)
        assert model.n_iter_ < 30
        recorder = Interrupt()
        resumed = quick(**settings).set_callbacks(recorder).resume(path, X, y)
        assert recorder.epochs == []
        assert_same(results(resumed), results(model))

    def test_running_out_of_epochs_warns_again(self, path):
        settings = {"learning_rate": "constant"}
        with pytest.warns(UserWarning, match="maximum iterations"):
            quick(**settings).set_callbacks(Checkpoint(path)).fit(X, y)
        with pytest.warns(UserWarning, match="maximum iterations") as caught:
            quick(**settings).resume(path, X, y)
        assert caught[0].filename == __file__

    def test_divergence_after_resuming_keeps_the_same_weights(self, path):
        def explodes(step):
            return 1.0 if step < 12 else 1e200

        settings = {"learning_rate": explodes, "dtype": "float64"}
        with pytest.warns(UserWarning, match="diverged"):
            model = quick(**settings).set_callbacks(Checkpoint(path)).fit(X, y)
        assert n_epochs(path) < model.max_iter_
        with pytest.warns(UserWarning, match="diverged"):
            resumed = quick(**settings).resume(path, X, y)
        assert_same(results(resumed), results(model))

    def test_a_fit_stopped_by_a_callback_goes_on_with_its_next_epoch(self, path):
        # Whichever comes first: the file is that of the epoch after which it was stopped.
        for callbacks in ([Checkpoint(path), StopAfter(3)], [StopAfter(3), Checkpoint(path)]):
            stopped = quick().set_callbacks(*callbacks).fit(X, y)
            assert stopped.n_iter_ == n_epochs(path) == 3
            later = StopAfter(4)
            again = quick().set_callbacks(later).resume(path, X, y)
            assert later.epochs == [3]
            assert_same(results(again), results(quick().set_callbacks(StopAfter(4)).fit(X, y)))
            assert_same(results(quick().resume(path, X, y)), results(quick().fit(X, y)))

    def test_ctrl_c_amid_an_epoch_leaves_the_file_of_the_epoch_before(self, path, monkeypatch):
        step = Adam.step
        steps = iter(range(100))

        def interrupted(self, rate, decay):
            if next(steps) == 10:  # Four steps an epoch.
                raise KeyboardInterrupt
            step(self, rate, decay)

        model = quick().set_callbacks(Checkpoint(path))
        with monkeypatch.context() as patch:
            patch.setattr(Adam, "step", interrupted)
            with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
                model.fit(X, y)
        assert n_epochs(path) == 2
        assert_same(results(quick().resume(path, X, y)), results(quick().fit(X, y)))


class TestCheckpoint:
    def test_a_resumed_fit_goes_on_writing(self, path):
        interrupt(quick(), path, 1, X, y)
        model = quick().set_callbacks(Checkpoint(path), Interrupt(3))
        with pytest.raises(InterruptedFitError):
            model.resume(path, X, y)
        assert n_epochs(path) == 3
        assert_same(results(quick().resume(path, X, y)), results(quick().fit(X, y)))

    @pytest.mark.parametrize("every", [1, 2, np.int64(3), 100])
    def test_every_says_after_how_many_epochs(self, path, every):
        class Look(Interrupt):
            def on_fit_task_begin(self, estimator, context):
                if context.task_name == "epoch":
                    self.epochs.append(n_epochs(path) if path.exists() else 0)

            def on_fit_task_end(self, estimator, context):
                pass

        look = Look()
        quick(max_iter=8).set_callbacks(Checkpoint(path, every=every), look).fit(X, y)
        assert look.epochs == [epoch - epoch % every for epoch in range(8)]
        assert n_epochs(path) == 8

    @pytest.mark.parametrize("every", [0, -1, 1.5, True, "1", None])
    def test_every_must_be_a_number_of_epochs(self, path, every):
        with pytest.raises(ValueError, match="every must be a positive integer"):
            Checkpoint(path, every=every)

    def test_the_path_is_as_seen_where_it_was_given(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        checkpoint = Checkpoint("fit.npz")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        quick().set_callbacks(checkpoint).fit(X, y)
        assert (tmp_path / "fit.npz").exists()

    def test_epochs_keep_their_numbers(self, path):
        interrupt(quick(), path, 2, X, y)
        recorder = Interrupt()
        quick().set_callbacks(recorder).resume(path, X, y)
        assert recorder.epochs == [2, 3, 4]

    def test_the_state_is_there_during_the_fit_only(self, path):
        class Look(Interrupt):
            def on_fit_task_end(self, estimator, context, *, fitted_estimator):
                model = fitted_estimator._model
                self.epochs.append(model.state and model.state.epochs["n_epochs"])
                # It has views of buffers, and is not for a copy of the model.
                assert fitted_estimator.__getstate__()["_model"]["state"] is None

        look = Look()
        model = quick(max_iter=2).set_callbacks(look).fit(X, y)
        assert look.epochs == [1, 2, None]
        assert model._model.state is model._model.origin is None
        model.set_params(warm_start=True).set_callbacks().fit(X, y)
        model.set_callbacks(Interrupt(1))
        with pytest.raises(InterruptedFitError):
            model.fit(X, y)
        assert model._model.state.epochs is model._model.origin is None

    def test_lbfgs_is_refused(self, path):
        interrupt(quick(), path, 1, X, y)
        with pytest.raises(ValueError, match="lbfgs.*SciPy"):
            quick(solver="lbfgs").set_callbacks(Checkpoint(path)).fit(X, y)
        with pytest.raises(ValueError, match="solver was 'adam', now it is 'lbfgs'"):
            quick(solver="lbfgs").resume(path, X, y)

    @pytest.mark.parametrize("nowhere", [None, 3, ["fit.npz"]])
    def test_a_path_that_is_none_is_refused(self, nowhere):
        with pytest.raises(TypeError, match="str"):
            Checkpoint(nowhere)

    def test_set_on_something_else_it_says_where_it_belongs(self, path):
        pipeline = make_pipeline(StandardScaler(), quick()).set_callbacks(Checkpoint(path))
        with pytest.raises(TypeError, match="not of Pipeline. Set it on the classifier"):
            pipeline.fit(X, y)


class TestSearch:
    @pytest.mark.parametrize("backend", ["loky", "threading"])
    def test_each_fit_has_a_file_of_its_own(self, path, backend):
        pipeline = make_pipeline(StandardScaler(), quick().set_callbacks(Checkpoint(path)))
        grid = {"annclassifier__alpha": [0.1, 0.2, 0.4]}
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2)
        with parallel_config(backend):
            search.fit(X, y)
        names = ["fit.npz", *(f"fit-0-{number}.npz" for number in range(6))]
        assert sorted(os.listdir(path.parent)) == sorted(names)
        alphas = []
        for name in names:
            tree = read(path.with_name(name))
            assert tree["training"]["epochs"]["n_epochs"] == 5
            alphas.append(tree["parameters"]["alpha"])
        assert alphas == [search.best_params_["annclassifier__alpha"]] + [
            alpha for alpha in (0.1, 0.2, 0.4) for _ in range(2)
        ]
        best = clone(search.best_estimator_[-1]).set_callbacks()
        best.resume(path, StandardScaler().fit_transform(X), y)
        assert_same(results(best), results(search.best_estimator_[-1]))

    def test_rounds_of_a_halving_search_are_told_apart(self, path):
        grid = {"alpha": [0.1, 0.2, 0.3, 0.4]}
        model = quick(max_iter=1).set_callbacks(Checkpoint(path))
        HalvingGridSearchCV(model, grid, cv=2, min_resources=20, factor=2).fit(X, y)
        expected = {"fit.npz"} | {f"fit-0-0-{number}.npz" for number in range(8)}
        expected |= {f"fit-0-1-{number}.npz" for number in range(4)}
        assert set(os.listdir(path.parent)) == expected

    def test_searches_within_a_search_are_told_apart(self, path):
        model = quick(max_iter=1).set_callbacks(Checkpoint(path))
        inner = GridSearchCV(model, {"alpha": [0.1, 0.2]}, cv=2)
        GridSearchCV(inner, {"estimator__max_norm": [1.0, None]}, cv=2).fit(X, y)
        # Four outer fits and the refit, each of four inner fits and a refit.
        assert len(os.listdir(path.parent)) == 5 * 5

    def test_a_pipeline_alone_writes_the_path_as_given(self, path):
        make_pipeline(StandardScaler(), quick().set_callbacks(Checkpoint(path))).fit(X, y)
        assert os.listdir(path.parent) == ["fit.npz"]


class TestCannotBeWritten:
    def test_the_error_comes_before_the_first_epoch(self, tmp_path):
        (tmp_path / "file").write_text("")
        for path, error in {
            tmp_path / "missing" / "fit.npz": FileNotFoundError,
            tmp_path / "file" / "fit.npz": NotADirectoryError,
            tmp_path: IsADirectoryError,
        }.items():
            recorder = Interrupt()
            model = quick().set_callbacks(Checkpoint(path), recorder)
            with pytest.raises(error, match=f"The checkpoint {path} cannot be written"):
                model.fit(X, y)
            assert recorder.epochs == []
        assert os.listdir(tmp_path) == ["file"]
        assert not list(tmp_path.parent.glob(".*.tmp"))

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="as root all may")
    def test_a_folder_that_may_not_be_written_to(self, path):
        path.parent.chmod(0o500)
        with pytest.raises(PermissionError, match=f"The checkpoint {path} cannot be written"):
            quick().set_callbacks(Checkpoint(path)).fit(X, y)

    def test_a_disk_that_is_full_later_leaves_the_earlier_file(self, path, monkeypatch):
        syncs = iter(range(100))

        def fsync(descriptor):
            if next(syncs) == 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            model = quick().set_callbacks(Checkpoint(path))
            with pytest.raises(OSError, match=f"{path} cannot be written: No space left") as caught:
                model.fit(X, y)
        assert caught.value.errno == errno.ENOSPC
        assert os.listdir(path.parent) == ["fit.npz"]
        assert n_epochs(path) == 1
        assert_same(results(quick().resume(path, X, y)), results(quick().fit(X, y)))

    def test_leftovers_of_killed_writes_go_when_they_are_old(self, path):
        old, young, other = (
            path.with_name(name) for name in (".fit.npz.1-2.tmp", ".fit.npz.1-3.tmp", ".a.1-2.tmp")
        )
        for leftover in (old, young, other):
            leftover.write_bytes(b"half")
        an_hour_ago = time.time() - 3600
        os.utime(old, (an_hour_ago, an_hour_ago))
        os.utime(other, (an_hour_ago, an_hour_ago))
        quick().set_callbacks(Checkpoint(path)).fit(X, y)
        assert sorted(os.listdir(path.parent)) == [other.name, young.name, "fit.npz"]


class TestDamage:
    @pytest.fixture
    def saved(self, path):
        interrupt(quick(), path, 2, X, y)
        return path

    def test_a_file_that_is_cut_short_is_named(self, saved):
        whole = saved.read_bytes()
        for length in [0, 1, 3, 4, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1]:
            saved.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=f"{saved} is not a checkpoint.*incomplete"):
                quick().resume(saved, X, y)

    @pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04N.", pickle.dumps({"format": 1})])
    def test_something_else_is_refused(self, path, content):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path} is not a checkpoint"):
            quick().resume(path, X, y)

    @pytest.mark.parametrize(
        "content", ['{"a": 1}', '{"format": 1}', "[1]", '{"format": 1, "versions": 0}']
    )
    def test_other_json_is_refused(self, path, content):
        np.savez(path, json=np.frombuffer(content.encode(), np.uint8))
        with pytest.raises(ValueError, match=f"{path} is not a checkpoint"):
            quick().resume(path, X, y)

    def test_arrays_of_another_kind_are_refused(self, path):
        np.savez(path, a=np.arange(3))
        with pytest.raises(ValueError, match=f"{path} is not a checkpoint"):
            quick().resume(path, X, y)

    def test_reading_runs_no_code(self, path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(path.with_name("executed")),)

        np.savez(path, json=np.array([Evil()], dtype=object))
        with pytest.raises(ValueError, match="is not a checkpoint"):
            quick().resume(path, X, y)
        assert os.listdir(path.parent) == ["fit.npz"]

    def test_a_missing_file_is_named(self, path):
        with pytest.raises(FileNotFoundError, match="fit.npz"):
            quick().resume(path, X, y)

    def test_another_format_is_refused(self, saved):
        write(saved, read(saved) | {"format": 99})
        with pytest.raises(ValueError, match="has format 99; this version of skann reads format 2"):
            quick().resume(saved, X, y)

    def test_another_version_warns(self, saved, monkeypatch):
        monkeypatch.setattr(checkpoint, "VERSION", "9.9")
        with pytest.warns(UserWarning, match="last bits of the result may differ") as caught:
            quick().resume(saved, X, y)
        assert caught[0].filename == __file__


class TestContent:
    @pytest.fixture
    def model(self, path):
        model = quick(ema_decay=0.5, input_scaling="standard", early_stopping=True)
        interrupt(model, path, 2, X, y)
        return clone(model).set_callbacks()

    @pytest.mark.parametrize(
        "change",
        [
            lambda array: array[:-1],
            lambda array: array[np.newaxis],
            lambda array: array.astype(np.float16),
            lambda array: array > 0,
            lambda array: -array,
        ],
    )
    def test_that_is_not_what_was_written_is_refused(self, model, path, change):
        model.fit(X, y)
        before = results(model)
        whole = dict(np.load(path))
        names = [name for name in whole if name != "hash"]
        assert len(names) > 8
        for name in names:
            np.savez(path, **(whole | {name: change(whole[name])}))
            with pytest.raises(ValueError, match=f"{path} is not a checkpoint .*match its hash"):
                model.resume(path, X, y)
        assert_same(results(model), before)

    def test_without_an_array_is_refused(self, model, path):
        whole = dict(np.load(path))
        for name in whole:
            np.savez(path, **{other: whole[other] for other in whole if other != name})
            with pytest.raises(ValueError, match=f"{path} is not a checkpoint"):
                model.resume(path, X, y)

    def test_goes_with_the_number_of_its_format(self, model, path):
        tree = read(path)
        training = tree["training"]
        assert tree["format"] == 2  # To be raised if one of these lists changes.
        assert " ".join(tree) == (
            "format versions parameters fingerprint blas_threads kernels stream scaling encoding"
            " training"
        )
        assert len(tree["encoding"]) == 6
        assert len(tree["scaling"]) == 5
        assert " ".join(training) == (
            "parameters stream n_rows_seen solver optimizer average epochs"
        )
        assert " ".join(training["optimizer"]) == "n_steps first first_scale second second_scale"
        assert " ".join(training["average"]) == "decay n_updates values"
        assert " ".join(training["epochs"]) == "n_epochs learning_rate proven stopping"
        stopping = training["epochs"]["stopping"]
        assert " ".join(stopping) == (
            "history best_loss best_validation_score best_parameters n_without_improvement reason"
        )
        assert " ".join(stopping["history"][0]) == (
            "loss validation_score validation_loss learning_rate gradient_norm seconds"
        )


OTHER_VALUES = {
    "hidden_layer_sizes": (9,),
    "activation": "tanh",
    "solver": "adamw",
    "alpha": 0.123,
    "batch_size": 17,
    "learning_rate": falling,
    "learning_rate_init": 0.123,
    "power_t": 0.4,
    "n_members": 2,
    "max_iter": 6,
    "shuffle": False,
    "random_state": 1,
    "tol": 1e-3,
    "warm_start": True,
    "momentum": 0.8,
    "nesterovs_momentum": False,
    "early_stopping": True,
    "validation_fraction": 0.2,
    "beta_1": 0.8,
    "beta_2": 0.99,
    "epsilon": 1e-7,
    "n_iter_no_change": np.inf,
    "max_fun": 9,
    "categorical_features": [0],
    "numerical_embedding": "periodic",
    "embedding_width": 2,
    "embedding_scale": 0.2,
    "class_weight": {0: 1, 1: 1, 2: 1},
    "dtype": "float64",
    "input_scaling": "maxabs",
    "input_clip": 3.0,
    "dropout": [0.1],
    "input_dropout": 0.1,
    "input_noise": 0.1,
    "augmentation": np.add,
    "normalization": "layer",
    "kernel_initializer": "orthogonal",
    "label_smoothing": 0.1,
    "max_norm": 2.0,
    "gradient_clip_norm": 2.0,
    "warmup": 0.1,
    "ema_decay": 0.9,
    "scoring": "loss",
}


class TestDifferences:
    @pytest.fixture
    def saved(self, path):
        interrupt(quick(), path, 2, X, y)
        return path

    def test_every_parameter_is_tried(self):
        assert {*OTHER_VALUES, "verbose"} == set(ANNClassifier().get_params())

    @pytest.mark.parametrize("name", OTHER_VALUES)
    def test_a_parameter_that_differs_is_named(self, saved, name):
        model = quick(**{name: OTHER_VALUES[name]})
        with pytest.raises(ValueError, match=f"other parameters: {name} was .*, now it is "):
            model.resume(saved, X, y)

    @pytest.mark.parametrize(
        ("one", "same"),
        [
            ({"hidden_layer_sizes": (8,)}, {"hidden_layer_sizes": [8]}),
            (
                {"max_iter": 5, "beta_1": 0.8, "ema_decay": 0.7, "max_norm": 0.5},
                {
                    "max_iter": np.int64(5),
                    "beta_1": np.float64(0.8),
                    "ema_decay": np.float64(0.7),
                    "max_norm": np.float64(0.5),
                },
            ),
            (
                {"class_weight": {0: 1, 1: 2, 2: 3}},
                {"class_weight": {2: 3.0, 1: 2, np.int64(0): 1}},
            ),
            ({"learning_rate": falling}, {"learning_rate": falling}),
            ({"verbose": False}, {"verbose": True}),
            ({"random_state": None}, {"random_state": np.random.RandomState(0)}),
        ],
    )
    def test_the_same_in_other_words_is_the_same(self, path, one, same):
        whole = quick(warm_start=True, **one).set_callbacks(Checkpoint(path), keep := Keep(path))
        expected = results(whole.fit(X, y))
        for name in same:
            del expected[name]
        for copy in keep.copies:
            got = results(quick(warm_start=True, **same).resume(copy, X, y))
            assert_same({name: got[name] for name in expected}, expected)

    def test_a_seed_is_not_the_same_as_none(self, path, saved):
        with pytest.raises(ValueError, match="random_state was 0, now it is None"):
            quick(random_state=None).resume(saved, X, y)

    def test_another_function_is_named(self, path):
        interrupt(quick(scoring=mean_margin, learning_rate=falling), path, 1, X, y)

        def rising(step):
            return 1.0

        with pytest.raises(ValueError, match=r"learning_rate was '.*\.falling', now it is '.*ris"):
            quick(scoring=mean_margin, learning_rate=rising).resume(path, X, y)

    @pytest.mark.parametrize(
        ("changed", "data", "more"),
        [
            ("X", (np.vstack([X[:-1], X[-1:] + 1e-9]), y), {}),
            ("X", (X.astype(np.float32), y), {}),
            ("X", (sparse.csr_array(X), y), {}),
            ("X, y", (X[:50], y[:50]), {}),
            ("y", (X, np.roll(y, 1)), {}),
            ("y", (X, y + 1), {}),
            ("sample_weight", (X, y, np.ones(60)), {}),
            ("X_val, y_val", (X, y), {"X_val": X, "y_val": y}),
        ],
    )
    def test_data_that_differs_is_named(self, saved, changed, data, more):
        with pytest.raises(
            ValueError, match=f"of a fit on other data: {changed} differs? in shape"
        ):
            quick().resume(saved, *data, **more)

    def test_all_that_can_be_given_is_compared(self, path):
        more = {"X_val": X, "y_val": y, "sample_weight_val": WEIGHTS}
        interrupt(quick(), path, 1, X, y, WEIGHTS, **more)
        for name, value in more.items():
            with pytest.raises(ValueError, match=f"of a fit on other data: {name} differs"):
                quick().resume(path, X, y, WEIGHTS, **(more | {name: value[::-1]}))
        with pytest.raises(ValueError, match="of a fit on other data: sample_weight differs"):
            quick().resume(path, X, y, WEIGHTS[::-1], **more)

    def test_an_argument_that_fit_does_not_have(self, saved):
        with pytest.raises(TypeError, match="unexpected keyword argument 'X_valid'"):
            quick().resume(saved, X, y, X_valid=X)

    @pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
    def test_of_many_rows_some_all_over_are_compared(self, path, make):
        X, y = problem(n_rows=3000)
        interrupt(quick(), path, 1, make(X), y)
        found = []
        for row in (0, 1, 2999):
            changed = X.copy()
            changed[row] += 1
            try:
                quick(max_iter=5).resume(path, make(changed), y)
            except ValueError:
                found.append(row)
        assert found == [0, 2999]

    def test_an_error_leaves_a_fitted_classifier_as_it_is(self, saved):
        model = quick(random_state=1).fit(X, y)
        before = results(model)
        with pytest.raises(ValueError, match="random_state"):
            model.resume(saved, X, y)
        model.set_params(random_state=0)
        with pytest.raises(ValueError, match="other data"):
            model.resume(saved, X[::-1], y[::-1])
        assert_same(results(model.set_params(random_state=1)), before)


class TestThreads:
    # Large enough for more than one thread.
    WIDE = {"hidden_layer_sizes": (128, 256), "batch_size": 256, "max_iter": 2}
    X, y = problem(n_rows=300)

    def test_another_number_of_blas_threads_is_refused_before_the_first_epoch(self, path):
        with threadpool_limits(2, "blas"):
            interrupt(quick(**self.WIDE), path, 1, self.X, self.y)
        assert read(path)["blas_threads"] == 2
        recorder = Interrupt()
        model = quick(**self.WIDE).set_callbacks(recorder)
        message = r"2 BLAS thread\(s\), but there are 1.*OPENBLAS_NUM_THREADS=2.*threadpool_limits"
        with threadpool_limits(1, "blas"), pytest.raises(ValueError, match=message):
            model.resume(path, self.X, self.y)
        assert recorder.epochs == []

    def test_the_same_number_gives_the_same_bits(self, path):
        with threadpool_limits(2, "blas"):
            assert_resumes_alike(quick(**self.WIDE), path, (self.X, self.y), {})

    def test_a_fit_that_uses_one_thread_goes_on_with_any_number(self, path):
        with threadpool_limits(2, "blas"):
            interrupt(quick(), path, 1, X, y)
        assert read(path)["blas_threads"] == 1
        fitted = quick().fit(X, y)
        with threadpool_limits(1, "blas"):
            resumed = quick().resume(path, X, y)
        np.testing.assert_array_equal(resumed.predict_proba(X), fitted.predict_proba(X))


@runs_out
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("augmentation", killed_fit.AUGMENTATIONS)
def test_no_kill_loses_anything(augmentation, tmp_path):
    """Kill a fit at random moments and resume it until it ends, more than once."""
    script = Path(killed_fit.__file__)
    finished = subprocess.run(
        [sys.executable, script, tmp_path, "0", "25", augmentation],
        cwd=script.parents[1],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[1])},
        stdout=subprocess.PIPE,
        check=True,
    )
    report = json.loads(finished.stdout)
    assert len(report["kills"]) >= 25
    assert len(set(report["kills"])) > 5  # At all stages of the fit.
    assert report["n_lost"] == 0
    X, y = problem()
    expected = results(killed_fit.classifier(augmentation).fit(X, y))
    for number in range(report["n_finished"]):
        assert_same(pickle.loads((tmp_path / f"{number}.pickle").read_bytes()), expected)
