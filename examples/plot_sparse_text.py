"""
Classify text with sparse TF-IDF features
=========================================

You can train on the sparse rows of `TfidfVectorizer` directly. In this example a network learns
which subpackage of SciPy a docstring belongs to. These docstrings are real text that comes with
every installation.
"""

# %%
# A text is a docstring up to its first section, and its label is the subpackage. The vocabulary
# excludes the names of the subpackages, because they would reveal the label.

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
    """Return the docstrings of the public functions and classes of a subpackage."""
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
print(f"{len(texts_train):,} texts, {n_words:,} words, {filled:.2%} of the matrix are nonzero")
print(f"accuracy on {len(texts_test)} test texts: {accuracy:.1%}")

# %%
# The confusion matrix of the test set:

figure, ax = plt.subplots(figsize=(6.5, 5.6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y_test, model.predict(texts_test), cmap="Blues", ax=ax, colorbar=False, xticks_rotation=40
)
ax.set_title(f"{accuracy:.0%} of the test docstrings are classified correctly")

# %%
# To see which words the network associates with each subpackage, predict texts of a single word.
# Such a text is a row of the identity matrix, so one sparse matrix contains all of them. The plot
# shows the words with the highest probability for each subpackage:

words = vectorizer.get_feature_names_out()
probabilities = network.predict_proba(sparse.eye_array(n_words, format="csr", dtype=np.float32))
surest = {
    subject: [words[i] for i in np.argsort(-probabilities[:, column])[:5]]
    for column, subject in enumerate(network.classes_)
}

figure, axes = plt.subplots(4, 2, figsize=(7.5, 7.5), layout="constrained", sharex=True)
for ax, (column, subject) in zip(axes.flat, enumerate(network.classes_), strict=True):
    sure = np.sort(probabilities[:, column])[::-1][:5]
    ax.barh(surest[subject], 100 * sure, color="#56B4E9")
    ax.invert_yaxis()
    ax.set_title(f"scipy.{subject}")
    ax.spines[["top", "right"]].set_visible(False)
for ax in axes[-1]:
    ax.set_xlabel("probability (%)")
plt.show()
