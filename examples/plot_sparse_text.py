"""
Text as sparse TF-IDF
=====================

Which part of SciPy does a docstring belong to? The docstrings of SciPy's functions and classes are
real text that comes with every installation. `TfidfVectorizer` makes sparse rows of them, which
the network takes as they are.
"""

# %%
# A text is a docstring up to its first section; the subject is the package that it is in. The names
# of the packages are left out of the vocabulary, or they would give the answer away.

import inspect
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skann import ANNClassifier

SUBJECTS = ("interpolate", "linalg", "ndimage", "optimize", "signal", "sparse", "special", "stats")


def docstrings(subject: str) -> list[str]:
    """Return what the public functions and classes of a package say of themselves."""
    package = import_module(f"scipy.{subject}")
    found = [inspect.getdoc(getattr(package, name)) or "" for name in package.__all__]
    texts = (text.split("\nParameters\n")[0].split("\nNotes\n")[0] for text in found)
    return sorted({text for text in texts if len(text.split()) >= 5})


texts: list[str] = []
labels: list[str] = []
for subject in SUBJECTS:
    found = docstrings(subject)
    texts += found
    labels += [subject] * len(found)
texts_train, texts_test, y_train, y_test = train_test_split(
    texts, labels, stratify=labels, random_state=0
)

stop_words = [*ENGLISH_STOP_WORDS, *SUBJECTS, "scipy", "versionadded"]
model = make_pipeline(
    TfidfVectorizer(stop_words=stop_words, token_pattern="[a-z]{3,}", min_df=5, sublinear_tf=True),
    ANNClassifier(64, class_weight="balanced", random_state=0),
)
model.fit(texts_train, y_train)
accuracy = model.score(texts_test, y_test)
vectorizer, network = model
n_words = len(vectorizer.vocabulary_)
filled = vectorizer.transform(texts_train).nnz / (len(texts_train) * n_words)
print(f"{len(texts_train):,} texts, {n_words:,} words, {filled:.2%} of the matrix filled")
print(f"accuracy on {len(texts_test)} other texts: {accuracy:.1%}")

# %%
# Where it errs:

figure, ax = plt.subplots(figsize=(6.5, 5.6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y_test, model.predict(texts_test), cmap="Blues", ax=ax, colorbar=False, xticks_rotation=40
)
ax.set_title(f"{accuracy:.0%} of the test docstrings in the right package")

# %%
# What has it learned? A text of a single word is a row of the identity matrix, so that one sparse
# matrix asks the network about every word at once. The words for which it is surest:

words = vectorizer.get_feature_names_out()
probabilities = network.predict_proba(sparse.eye_array(n_words, format="csr", dtype=np.float32))
surest = {
    subject: [words[i] for i in np.argsort(-probabilities[:, column])[:5]]
    for column, subject in enumerate(network.classes_)
}

figure, axes = plt.subplots(2, 4, figsize=(11, 4.6), layout="constrained", sharex=True)
for ax, (column, subject) in zip(axes.flat, enumerate(network.classes_), strict=True):
    sure = np.sort(probabilities[:, column])[::-1][:5]
    ax.barh(surest[subject], 100 * sure, color="#56B4E9")
    ax.invert_yaxis()
    ax.set_title(f"scipy.{subject}")
    ax.spines[["top", "right"]].set_visible(False)
for ax in axes[-1]:
    ax.set_xlabel("probability (%)")
plt.show()
