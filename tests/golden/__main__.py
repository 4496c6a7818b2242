"""Write the models of this release."""

import pickle
import zipfile

import joblib
import numpy as np
import skops.io

import skann
from tests.golden import FOLDER, models

if __name__ == "__main__":
    folder = FOLDER / skann.__version__
    folder.mkdir()  # Never over the files of a release.
    rows = np.random.default_rng(0).normal(scale=2, size=(20, 4))
    expected = {"X": rows}
    for name, model in models().items():
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(model))
        joblib.dump(model, folder / f"{name}.joblib")
        skops.io.dump(model, folder / f"{name}.skops", compression=zipfile.ZIP_DEFLATED)
        expected[f"{name}_labels"] = model.predict(rows)
        expected[f"{name}_probabilities"] = model.predict_proba(rows)
    np.savez_compressed(folder / "expected.npz", **expected)
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir())} bytes")
