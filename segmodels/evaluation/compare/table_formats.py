"""The table of a comparison for spreadsheets, for web pages and for papers; names can be anything and stay names."""

from __future__ import annotations

import csv
import io
import re

from segmodels.evaluation.compare.table import Row, Table
from segmodels.report.text import NOTHING, clean

#: What a spreadsheet may take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: What Markdown or HTML may take for markup.
_MARKUP = re.compile(r"[\\`*_{}\[\]#|~<>&$]")
#: Letters that LaTeX takes for commands; brackets and stars too, which after the end of a row would be its arguments.
_COMMANDS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}  # fmt: skip


def to_csv(table: Table) -> str:
    """Comma-separated values as RFC 4180 has them: full numbers, each with a column of its spread.

    A text that a spreadsheet would take for a formula has a `'` before it.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    titles = [name for column in table.columns for name in (column.title, f"{column.title} spread")]
    writer.writerow([_harmless(name) for name in ("model", "seeds", "state", "said", *titles)])
    for row in table.rows:
        numbers = [each for column in table.columns for each in (row.values[column.key], row.spread[column.key])]
        texts = [_harmless(row.name), str(row.seeds), _harmless(row.state), _harmless(row.said)]
        writer.writerow([*texts, *("" if each is None else repr(each).removesuffix(".0") for each in numbers)])
    return file.getvalue()


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown: means with their spread, the best of each column bold."""
    lines = [["model", "seeds", *(column.title for column in table.columns), *_remarks(table)]]
    lines = [[_in_markdown(name) for name in lines[0]]]
    lines.append([":--", *["--:"] * (1 + len(table.columns)), *[":--"] * len(_remarks(table))])
    for row in table.rows:
        cells = [_in_markdown(row.name), str(row.seeds)]
        for value, spread, best in _cells(table, row):
            shown = f"**{value}**" if best else value
            cells.append(f"{shown} ± {spread}" if spread else shown)
        lines.append([*cells, *([_in_markdown(_remark(row))] if _remarks(table) else [])])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def to_latex(table: Table) -> str:
    """A `tabular` with the rules of the package booktabs: means with their spread, the best of each column bold."""
    remarks = _remarks(table)
    titles = ["model", "seeds", *(column.title for column in table.columns), *remarks]
    lines = [rf"\begin{{tabular}}{{lr{'r' * len(table.columns)}{'l' * len(remarks)}}}", r"\toprule"]
    lines += [" & ".join(_in_latex(title) for title in titles) + r" \\", r"\midrule"]
    for row in table.rows:
        cells = [_in_latex(row.name), str(row.seeds)]
        for value, spread, best in _cells(table, row):
            shown = rf"\textbf{{{value}}}" if best else "--" if value == NOTHING else value
            cells.append(rf"{shown} $\pm$ {spread}" if spread else shown)
        lines.append(" & ".join([*cells, *([_in_latex(_remark(row))] if remarks else [])]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _cells(table: Table, row: Row) -> list[tuple[str, str, bool]]:
    """Of each column the value, its spread, and whether it is the best."""
    found = []
    for column in table.columns:
        value, spread = table.shown(row, column) or (NOTHING, "")
        found.append((value, spread, value == table.best(column)))
    return found


def _remarks(table: Table) -> list[str]:
    """The title of a last column, where there is something to say of a row."""
    return ["remarks"] if any(map(_remark, table.rows)) else []


def _remark(row: Row) -> str:
    if row.seeds:
        return row.said
    return f"{row.state}: {row.said}" if row.said else row.state


def _line(text: str) -> str:
    return " ".join(clean(text).split())


def _harmless(text: str) -> str:
    text = clean(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _in_markdown(text: str) -> str:
    entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    return _MARKUP.sub(lambda found: entities.get(found[0], f"\\{found[0]}"), _line(text))


def _in_latex(text: str) -> str:
    return "".join(_COMMANDS.get(letter, letter) for letter in _line(text))
