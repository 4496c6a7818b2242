"""
Grid search and the best network
================================

This example searches over layer sizes with `GridSearchCV` and plots the results: the scores of the
search, the weights of the best network, and its mistakes. The data are handwritten digits of 8x8
pixels.
"""

# %%
# The pipeline scales the pixels. The search compares five layer sizes on three folds.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from skann import ANNClassifier, MisclassifiedDisplay, SearchDisplay, WeightsDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)

pipeline = Pipeline([("scale", MinMaxScaler()), ("network", ANNClassifier(random_state=0))])
layers = [(4,), (8,), (16,), (64,), (256, 128)]
search = GridSearchCV(pipeline, {"network__hidden_layer_sizes": layers}, cv=3)
search.fit(X_train, y_train)
print(f"best layers: {search.best_params_['network__hidden_layer_sizes']}")
print(f"accuracy on the test images: {search.score(X_test, y_test):.1%}")

# %%
# `SearchDisplay` plots the scores of each setting and of its folds against the layer sizes, the
# time of a fit and the number of weights.

display = SearchDisplay.from_estimator(search)
display.figure_.set_size_inches(10, 4)

# %%
# `WeightsDisplay` shows the weights of the first layer: purple pixels excite a unit, orange pixels
# inhibit it. The weights are multiplied by the standard deviation of each pixel, because those of a
# pixel that is always blank keep their random initial values.

scaled = search.best_estimator_["scale"].transform(X_train)
WeightsDisplay.from_estimator(
    search, image_shape=(8, 8), feature_scale=scaled.std(axis=0), max_units=24
)

# %%
# `MisclassifiedDisplay` shows misclassified test images, those with the highest probability first.

# sphinx_gallery_thumbnail_number = 2
mistakes = MisclassifiedDisplay.from_estimator(
    search, X_test, y_test, image_shape=(8, 8), max_samples=16
)
print(f"{mistakes.n_wrong_} mistakes in {len(y_test)} images")
plt.show()
