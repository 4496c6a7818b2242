"""What the documentation lists is what the code has."""

from pathlib import Path

from skann.parameters import EXCLUSIONS

DOCS = Path(__file__).parent.parent / "docs"


def test_the_table_of_excluded_pairs_is_complete():
    page = (DOCS / "training.md").read_text()
    table = page.split("| parameter | values | excluded by | because |")[1].split("\n\n")[0]
    rows = [row for row in table.splitlines()[2:] if row]
    expected = []
    for parameter, values, other, value, because in EXCLUSIONS:
        named = "all" if values is None else ", ".join(f'`"{value}"`' for value in values)
        text = f'"{value}"' if isinstance(value, str) else value
        expected.append(f"| `{parameter}` | {named} | `{other}={text}` | {because} |")
    assert rows == expected
