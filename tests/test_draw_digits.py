"""The page that reads drawn digits, in headless Chromium, and the script that writes it."""

import base64
import json
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from scipy.special import softmax

from skann.images import ImageReader
from tests.drawings import LINES, SIZE, enlarged

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "draw_digits.py"
COMMITTED = ROOT / "docs" / "_static" / "draw_digits.html"
REAL_CACHE = ROOT.parent / "shared" / "scikit_learn_data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLE.is_file(), reason="the examples are not beside the tests"),
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Return 100 images and their labels, of MNIST where it is, else of scikit-learn."""
    if REAL_CACHE.is_dir():
        home = tmp_path_factory.mktemp("home")
        # A copy, as scikit-learn deletes a cached file that it cannot parse.
        shutil.copytree(REAL_CACHE, home, copy_function=shutil.copyfile, dirs_exist_ok=True)
        mnist = sklearn.datasets.fetch_openml(
            "mnist_784", version=1, as_frame=False, data_home=home
        )
        X, y = mnist.data[60_000:].reshape(-1, 28, 28), mnist.target[60_000:].astype(int)
    else:
        X, y = sklearn.datasets.load_digits(return_X_y=True)
        X = X.reshape(-1, 8, 8) * (255 / 16)
    chosen = np.random.default_rng(0).choice(len(X), 100, replace=False)
    return X[chosen], y[chosen]


@pytest.fixture(scope="module")
def drawings(digits):
    return enlarged(digits[0])


@pytest.fixture(scope="module")
def rows(drawings):
    """Return the drawings as the network sees them."""
    pytest.importorskip("PIL")
    return ImageReader().transform(list(drawings)) / 255


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    pytest.importorskip("websocket")
    from tests.browser import CHROMIUM, chromium_tab

    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with chromium_tab(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def page(tab):
    """Open the page of the documentation."""
    tab.open(COMMITTED.as_uri())
    return tab


def packed(path):
    """Return the network in a page, as it stands there."""
    return re.search(r'id="network">(.*?)</script>', path.read_text(encoding="utf-8"))[1]


def predict_proba(path, rows):
    """Return what the network in a page makes of rows."""
    network = json.loads(packed(path))
    parameters = np.frombuffer(base64.b64decode(network["parameters"]), "<f2").astype(float)
    sizes = network["sizes"]
    for depth, (n_in, n_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        weights, biases, parameters = np.split(parameters, [n_in * n_out, (n_in + 1) * n_out])
        rows = rows @ weights.reshape(n_in, n_out) + biases
        if depth < len(sizes) - 2:
            rows = np.maximum(rows, 0)
    return softmax(rows, axis=1)


def read(tab, drawings):
    """Put drawings on the page; return the probabilities and the digits that it shows."""
    readings = []
    for drawing in drawings:
        ink = base64.b64encode(drawing.tobytes()).decode()
        readings.append(
            tab.evaluate(f"""(() => {{
                ink.set(Uint8Array.from(atob("{ink}"), (letter) => letter.charCodeAt(0)));
                read();
                const bars = document.querySelectorAll("#bars li");
                const share = (bar) => Number(bar.style.getPropertyValue("--share"));
                return [Array.from(bars, share), document.getElementById("digit").textContent];
            }})()""")
        )
    shares, shown = zip(*readings, strict=True)
    return np.array(shares), np.array(shown).astype(int)


def check_agreement(shares, expected):
    """Compare the probabilities of 100 drawings."""
    assert expected.shape == (100, 10)
    assert (shares.argmax(axis=1) == expected.argmax(axis=1)).sum() >= 99
    np.testing.assert_allclose(shares, expected, atol=0.02)


def make_page(path, *options):
    """Run the script on scikit-learn's digits; return the network."""
    main = runpy.run_path(str(ROOT / "examples" / "draw_digits.py"))["main"]
    return main(["--data", "digits", "--copies", "1", "--output", str(path), *options])


def test_a_page_that_the_script_has_just_made_reads_as_its_network_does(
    tmp_path, tab, drawings, rows, capsys
):
    network = make_page(tmp_path / "page.html")
    accuracy = float(re.search(r"([\d.]+)% of 360 test images", capsys.readouterr().out)[1])
    assert accuracy > 94
    tab.open((tmp_path / "page.html").as_uri())
    shares, shown = read(tab, drawings)
    check_agreement(shares, network.predict_proba(rows.astype(np.float32)))
    np.testing.assert_array_equal(shown, shares.argmax(axis=1))


def test_the_committed_page_reads_as_python_does(page, drawings, rows):
    shares, _ = read(page, drawings)
    # The weights are the same numbers; Python reads pictures in single precision.
    np.testing.assert_allclose(shares, predict_proba(COMMITTED, rows), atol=1e-4)


@pytest.mark.skipif(not REAL_CACHE.is_dir(), reason="the real MNIST is not beside the checkout")
def test_the_committed_page_reads_test_images_right(digits, rows):
    assert (predict_proba(COMMITTED, rows).argmax(axis=1) == digits[1]).sum() >= 97


def test_the_committed_page_is_what_the_script_writes():
    page = runpy.run_path(str(EXAMPLE))["page"]
    assert COMMITTED.read_text(encoding="utf-8") == page(packed(COMMITTED))
    assert COMMITTED.stat().st_size < 350_000


def lines_on_screen(tab, digit):
    """Return the lines of a digit where the drawing area is."""
    left, top, side = tab.evaluate(
        "(({left, top, width}) => [left, top, width])(board.getBoundingClientRect())"
    )
    return [[(left + side * x, top + side * y) for x, y in line] for line in LINES[digit]]


def draw_by_mouse(tab, digit):
    for line in lines_on_screen(tab, digit):
        kinds = ["mousePressed"] + ["mouseMoved"] * (len(line) - 1)
        for kind, (x, y) in [*zip(kinds, line, strict=True), ("mouseReleased", line[-1])]:
            tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1)


def draw_by_finger(tab, digit):
    for line in lines_on_screen(tab, digit):
        kinds = ["touchStart"] + ["touchMove"] * (len(line) - 1)
        for kind, (x, y) in zip(kinds, line, strict=True):
            tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


def press(tab, key):
    text = {"text": "\r"} if key == "Enter" else {}
    tab.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text)
    tab.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)


def text_of(tab, name):
    return tab.evaluate(f'document.getElementById("{name}").textContent')


@pytest.mark.parametrize("draw", [draw_by_mouse, draw_by_finger])
def test_reads_every_digit_that_is_drawn(page, draw):
    for digit in range(10):
        draw(page, digit)
        assert text_of(page, "digit") == str(digit)
        assert re.fullmatch(rf"Read as {digit}, \d+%", text_of(page, "spoken"))
        page.evaluate("clear()")


def test_a_touch_leaves_a_dot_and_does_not_scroll(page):
    (x, y), *_ = lines_on_screen(page, 1)[0]
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    level = page.evaluate(f"ink[{round(0.05 * SIZE) * SIZE + SIZE // 2}]")
    assert level == 255
    assert page.evaluate("getComputedStyle(board).touchAction") == "none"


def test_what_is_shown_is_what_is_read(page):
    draw_by_mouse(page, 8)
    assert page.evaluate("""(() => {
        const pixels = paper.getImageData(0, 0, SIZE, SIZE).data;
        return ink.includes(255) && ink.every((level, i) => level === pixels[4 * i + 3]);
    })()""")


def test_the_other_mouse_button_draws_nothing(page):
    place = {"x": 300, "y": 300, "button": "right", "clickCount": 1}
    page.call("Input.dispatchMouseEvent", type="mousePressed", **place)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", **place)
    assert not page.evaluate("ink.includes(255)")


@pytest.mark.parametrize("key", ["Escape", "Delete", "Backspace", "Enter"])
def test_a_key_clears(page, key):
    draw_by_mouse(page, 3)
    if key == "Enter":  # on the button
        page.evaluate('document.getElementById("clear").focus()')
    press(page, key)
    assert not page.evaluate("ink.some((level) => level > 0)")
    assert text_of(page, "digit") == "?"
    assert text_of(page, "spoken") == "Nothing is drawn"
    assert page.evaluate("getComputedStyle(hint).display") != "none"


def test_the_focus_is_visible(page):
    for name in ("board", "clear"):
        press(page, "Tab")
        assert page.evaluate("document.activeElement.id") == name
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_no_request_leaves_the_page(page):
    draw_by_mouse(page, 5)
    requests = {event["request"]["url"] for event in page.of_kind("Network.requestWillBeSent")}
    assert requests == {COMMITTED.as_uri()}
    for kind in ("Runtime.exceptionThrown", "Log.entryAdded", "Network.webSocketCreated"):
        assert page.of_kind(kind) == []


def test_the_page_may_not_make_a_request(page):
    with pytest.raises(RuntimeError, match="Failed to fetch"):
        page.evaluate('fetch("https://example.org/")')


def test_fits_the_screen_of_a_phone(page):
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=390, height=844, deviceScaleFactor=2, mobile=True,
    )  # fmt: skip
    try:
        draw_by_finger(page, 2)
        assert text_of(page, "digit") == "2"
        size = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert page.evaluate(size) == [390, 844]
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")


def test_follows_the_theme_also_with_a_drawing(page):
    draw_by_mouse(page, 1)
    colours = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.call("Emulation.setEmulatedMedia", features=[feature])
        # The page hears of it with one of the next frames.
        page.evaluate("new Promise((done) => setTimeout(done, 500))")
        middle = page.evaluate("Array.from(paper.getImageData(SIZE / 2, SIZE / 2, 1, 1).data)")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        colours.append((middle[0], int(re.search(r"\d+", background)[0])))
    page.call("Emulation.setEmulatedMedia", features=[])
    (ink_by_day, page_by_day), (ink_by_night, page_by_night) = colours
    assert ink_by_day < 64 < 192 < page_by_day
    assert page_by_night < 64 < 192 < ink_by_night


def test_leaves_its_title_to_the_page_that_it_is_embedded_in(tab, page):
    assert tab.evaluate("getComputedStyle(document.querySelector('header')).display") == "block"
    tab.evaluate(f"""new Promise((resolve) => {{
        const frame = document.createElement("iframe");
        frame.onload = resolve;
        frame.srcdoc = {json.dumps(COMMITTED.read_text(encoding="utf-8"))};
        document.body.append(frame);
    }})""")
    assert (
        tab.evaluate(
            "frames[0].getComputedStyle(frames[0].document.querySelector('header')).display"
        )
        == "none"
    )


@pytest.fixture
def no_mnist(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)


def test_says_so_when_the_images_are_not_those_of_mnist(no_mnist, tmp_path, capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    main(["--copies", "0", "--epochs", "1", "--output", str(tmp_path / "page.html")])
    assert "Using scikit-learn's 8x8 digits instead." in capsys.readouterr().out


def test_ends_with_one_line_where_mnist_was_asked_for_and_cannot_be_had(no_mnist):
    with pytest.raises(SystemExit, match=r"error: MNIST cannot be loaded from OpenML \(no route"):
        runpy.run_path(str(EXAMPLE))["main"](["--data", "mnist"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--copies", "-1"], "argument --copies: must be 0 or more"),
        (["--epochs", "0"], "argument --epochs: must be 1 or more"),
        (["--seed", "-1"], "argument --seed: must be 0 or more"),
        (["--output", "no/where/page.html"], "argument --output: there is no folder 'no/where'"),
    ],
    ids=str,
)
def test_refuses_bad_values_before_it_loads_anything(option, message, no_mnist, capsys):
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(EXAMPLE))["main"](["--data", "mnist", *option])
    assert message in capsys.readouterr().err
