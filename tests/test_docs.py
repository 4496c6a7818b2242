"""What the documentation says is what the code has: blocks run, commands and names are known."""

import ast
import importlib
import inspect
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

import skann
from skann.parameters import NOT_WITH_LBFGS
from tests import site_links
from tests.benchmarks import suite

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# What the build writes is not ours to test.
GENERATED = {"_build", "auto_examples", "generated"}
PAGES = [
    ROOT / "README.md",
    *(
        page
        for page in sorted(DOCS.rglob("*.md"))
        if not GENERATED & set(page.relative_to(DOCS).parts)
    ),
]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

SHELLS = {"", "bash", "console", "sh", "shell"}
LANGUAGES = {"python", "text", "toml", *SHELLS}


class RunBy(NamedTuple):
    """The test that runs what a command starts, and the words by which its code says so."""

    test: str
    words: tuple[str, ...]


_CLUSTER = RunBy(
    "test_many_machines.py::test_the_commands_of_the_page_make_a_cluster",
    # It runs every line of the page's block.
    ("many_machines.md", "(dask scheduler", "Popen("),
)
# Commands of the documentation that .ci/run does not have. Their tests run them small and without
# a network.
TESTED_COMMANDS = {
    "python examples/mnist_grid.py": RunBy(
        "test_mnist_grid.py::test_digits_from_start_to_pictures",
        ("'examples' / 'mnist_grid.py'", "Popen(", "sys.executable"),
    ),
    "python examples/mnist_record.py": RunBy(
        "test_mnist_record.py::test_prints_every_accuracy_and_their_median",
        ("'examples' / 'mnist_record.py'", "run_path(", "main("),
    ),
    "python examples/draw_digits.py": RunBy(
        "test_draw_digits.py::test_a_page_that_the_script_has_just_made_reads_as_its_network_does",
        ("'examples' / 'draw_digits.py'", "run_path(", "main("),
    ),
    "python examples/read_digits.py": RunBy(
        "test_read_digits.py::test_without_pictures_it_makes_one_and_keeps_the_model",
        ("'examples' / 'read_digits.py'", "run_path(", "main("),
    ),
    "dask scheduler": _CLUSTER,
    "dask worker tcp://SCHEDULER:8786 --nworkers -1 --nthreads 1": _CLUSTER,
    "python -m tests.benchmarks scaling": RunBy(
        "test_benchmarks.py::TestQuickRun::test_draws_a_chart",
        ("sys.executable, '-m', 'tests.benchmarks'", "suite.NAMES"),
    ),
}
# Their packages are too large for continuous integration.
UNTESTED_EXTRAS = {"benchmark"}

PUBLIC_MODULES = (
    "skann",
    "skann.callbacks",
    "skann.export",
    "skann.images",
    "skann.summary",
)


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    language: str
    text: str


def blocks(page):
    """Return the fenced blocks of a page, but for the directives of MyST."""
    found, start = [], None
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = re.fullmatch(r"( *)(```+|:::+) *(\S*) *.*", line)
        if start is None and fence:
            indent, start, lines = len(fence[1]), (number, fence[2], fence[3]), []
        elif start is not None and line.strip() == start[1]:
            if not start[2].startswith("{"):
                found.append(Block(start[0], start[2], "\n".join(lines) + "\n"))
            start = None
        elif start is not None:
            lines.append(line[indent:] if line[:indent].isspace() else line)
    assert start is None, f"{page}: a block opened at line {start[0]} is not closed"
    return found


def python_blocks(page):
    return [block for block in blocks(page) if block.language == "python"]


@EVERY_PAGE
def test_every_block_is_in_a_language_that_is_tested(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES


@EVERY_PAGE
def test_links_lead_somewhere_in_the_repository(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if python_blocks(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_python_blocks_run_as_they_stand(page, tmp_path, monkeypatch):
    if "matplotlib" in page.read_text() or "Display" in page.read_text():
        pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in python_blocks(page):
        # Lines before it, so that a traceback names the line of the page.
        code = "\n" * block.line + block.text
        exec(compile(code, str(page), "exec"), namespace)


def commands(text):
    """Split shell lines into commands, in the words that the shell sees."""
    lines = text.replace("\\\n", " ").splitlines()
    for line in lines:
        for command in re.split(r"&&|\|\||[;{}()]", line):
            if command.strip() and not command.strip().startswith("#"):
                yield " ".join(command.removeprefix("$ ").split())


def extras_of(command):
    """Return the extras that a command installs skann with; None for another kind of command."""
    match = re.fullmatch(
        r"""python -m pip install (?:--quiet |-e )?["']?\.(?:\[([\w,]+)\])?["']?""", command
    )
    return None if match is None else set((match[1] or "").split(",")) - {""}


def with_included(extras):
    """Return extras with those that they include."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = " ".join(
        requirement for extra in extras for requirement in project["optional-dependencies"][extra]
    )
    inner = set(",".join(re.findall(r"skann\[([\w,]+)\]", requirements)).split(",")) - {""}
    return extras | (with_included(inner) if inner else set())


@EVERY_PAGE
def test_every_command_of_a_shell_block_is_tested(page):
    in_ci = set(commands((ROOT / ".ci" / "run").read_text()))
    extras_in_ci = with_included(set().union(*(extras_of(command) or () for command in in_ci)))
    untested = []
    for block in blocks(page):
        for command in commands(block.text) if block.language in SHELLS else ():
            extras = extras_of(command)
            is_known = command in in_ci or command in TESTED_COMMANDS
            if not is_known and (extras is None or extras - extras_in_ci - UNTESTED_EXTRAS):
                untested.append(command)
    assert untested == []


def test_messages_name_libraries_to_install_as_the_project_requires_them():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = set().union(*extras["optional-dependencies"].values())
    named = set()
    for path in sorted(Path(skann.__file__).parent.rglob("*.py")):
        found = re.findall(r"""pip install (?:"([^"]+)"|'([^']+)'|([\w-]+))""", path.read_text())
        named |= {"".join(alternatives) for alternatives in found}
    assert {"matplotlib"} < named <= required


def code_behind(test):
    """Return the code of a test, of its class's decorators and of all that it uses in its file."""
    file, *path = test.split("::")
    tree = ast.parse((Path(__file__).parent / file).read_text())
    defined = {}
    for node in tree.body:
        for target in getattr(node, "targets", [node]):
            defined[getattr(target, "name", getattr(target, "id", None))] = node
    waiting, seen, text = [defined[path[0]]], set(), []
    if len(path) == 2:
        methods = {node.name: node for node in waiting[0].body if hasattr(node, "name")}
        waiting = [methods[path[1]], *waiting[0].decorator_list]
    while waiting:
        node = waiting.pop()
        text.append(ast.unparse(node))
        names = {getattr(each, "id", getattr(each, "arg", None)) for each in ast.walk(node)}
        waiting += [defined[name] for name in names & defined.keys() - seen]
        seen |= names
    return "\n".join(text)


@pytest.mark.parametrize("command", TESTED_COMMANDS)
def test_the_tests_of_commands_run_them(command):
    test, words = TESTED_COMMANDS[command]
    code = code_behind(test)
    assert [word for word in words if word not in code] == []


@EVERY_PAGE
def test_there_are_the_benchmarks_that_a_page_names(page):
    named = re.findall(r"python\s+-m\s+tests\.benchmarks\s+([a-z_]+)", page.read_text())
    assert set(named) <= set(suite.NAMES)


def public_names(module):
    """Return the names that a module offers: its `__all__`, or what it defines."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, member in vars(module).items()
            if not name.startswith("_")
            and getattr(member, "__module__", None) == module.__name__
            and (inspect.isclass(member) or inspect.isfunction(member))
        ]
    return {f"{module.__name__}.{name}" for name in names if name != "__version__"}


def names_of_the_api_page():
    """Return the entries of its autosummary tables."""
    names, module, in_table = set(), "", False
    for line in (DOCS / "api.rst").read_text().splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split("::")[1].strip()
        elif line.startswith(".. autosummary::"):
            in_table = True
        elif line.strip() and not line.startswith(" "):
            in_table = False
        elif in_table and line.strip() and not line.strip().startswith(":"):
            names.add(f"{module}.{line.strip()}")
    return names


def test_the_api_page_lists_every_public_name():
    modules = map(importlib.import_module, PUBLIC_MODULES)
    assert names_of_the_api_page() == set().union(*map(public_names, modules))


def test_figures_quoted_from_the_scaling_benchmark_are_its_figures():
    table = (DOCS / "scaling.md").read_text().splitlines()
    quoted = [
        line
        for line in (DOCS / "how_it_works.md").read_text().splitlines()
        if re.match(r"\| (rows|features|width) =", line)
    ]
    assert quoted
    assert set(quoted) <= set(table)


def test_the_table_of_what_lbfgs_excludes_is_complete():
    page = (DOCS / "user_guide" / "settings.md").read_text()
    table = page.split("| parameter | because |")[1].split("\n\n")[0]
    rows = [row for row in table.splitlines()[2:] if row]
    assert rows == [f"| `{name}` | {because} |" for name, because in NOT_WITH_LBFGS.items()]


class TestSiteLinks:
    @pytest.fixture
    def site(self, tmp_path):
        (tmp_path / "index.html").write_text(
            '<p id="here"><a href="#here">a</a><a href="api/page.html#there">b</a>'
            '<a href="https://example.org/x#y">c</a><a href="api/">d</a><img src="a%20b.png">'
        )
        (tmp_path / "api").mkdir()
        (tmp_path / "api" / "page.html").write_text('<h1 id="there"></h1>')
        (tmp_path / "api" / "index.html").write_text('<a href="../index.html">up</a>')
        (tmp_path / "a b.png").touch()
        return tmp_path

    def test_a_whole_site_has_none_that_is_broken(self, site, capsys):
        assert site_links.main([str(site)]) == 0
        assert "leads somewhere" in capsys.readouterr().out

    def test_pages_anchors_and_pictures_that_are_not_there_are_told(self, site, capsys):
        (site / "api" / "page.html").write_text(
            '<a href="#away">a</a><a href="../gone.html">b</a><img src="gone.png">'
        )
        assert site_links.main([str(site)]) == 1
        assert capsys.readouterr().out.splitlines() == [
            "api/page.html: #away",
            "api/page.html: ../gone.html",
            "api/page.html: gone.png",
            "index.html: api/page.html#there",
        ]

    def test_a_folder_without_a_site_is_an_error(self, tmp_path, capsys):
        assert site_links.main([str(tmp_path)]) == 1
        assert "no site" in capsys.readouterr().err
