"""
A search, its winner and its mistakes
=====================================

Handwritten digits of 8x8 pixels: a grid search over layer sizes, and three pictures of what came
out of it.
"""

# %%
# The search scales in a pipeline and compares six settings of the layers on three folds.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from skann import ANNClassifier, MisclassifiedDisplay, SearchDisplay, WeightsDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)

pipeline = Pipeline([("scale", MinMaxScaler()), ("network", ANNClassifier(random_state=0))])
layers = [(4,), (8,), (16,), (64,), (128, 64), (256, 128)]
search = GridSearchCV(pipeline, {"network__hidden_layer_sizes": layers}, cv=3)
search.fit(X_train, y_train)
print(f"best layers: {search.best_params_['network__hidden_layer_sizes']}")
print(f"accuracy on the test images: {search.score(X_test, y_test):.1%}")

# %%
# What size buys: the score of each setting, with its folds, against the layers, the time of a fit
# and the number of weights.

SearchDisplay.from_estimator(search)

# %%
# What the units of the first layer look at: purple pixels excite a unit, orange ones inhibit it.
# The weights are multiplied by how much each pixel varies: those of a pixel that is never inked
# keep their random start.

scaled = search.best_estimator_["scale"].transform(X_train)
WeightsDisplay.from_estimator(
    search, image_shape=(8, 8), feature_scale=scaled.std(axis=0), max_units=40
)

# %%
# What it gets wrong on the test images, the surest mistakes first.

mistakes = MisclassifiedDisplay.from_estimator(
    search, X_test, y_test, image_shape=(8, 8), max_samples=16
)
print(f"{mistakes.n_wrong_} mistakes in {len(y_test)} images")
plt.show()
