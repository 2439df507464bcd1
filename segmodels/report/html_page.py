"""One HTML file that opens anywhere: no script, no outside address, light and dark, made to be printed.

Every text is escaped on its way in; only the drawings of `charts`, which are made of elements, come in as markup.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence

from segmodels.errors import UserError
from segmodels.report.svg import Svg
from segmodels.report.text import clean, figure, number

#: What stands in a cell of a table; numbers are set to the right, and their full value is kept beside the shown one.
Cell = str | int | float | None
#: The first bytes of the pictures that a page takes.
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
#: Characters of a block of code or a paragraph that are shown.
_LONGEST = 60_000
#: A page that holds this may load nothing, run nothing and send nothing, whatever became a part of it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
_SHEET = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--quiet:#59636e;--line:#d5dae0;--soft:#f4f6f8;--warn:#b35900}
@media(prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e6e8eb;--quiet:#9aa4af;--line:#343b43;--soft:#1d2227;
--warn:#f0a04b}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 3rem;max-width:62rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.65rem;line-height:1.2;margin:0 0 .4rem}
h2{font-size:1.2rem;margin:2.2rem 0 .7rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
p{margin:.5rem 0;white-space:pre-line}
.quiet,figcaption,caption,dt{color:var(--quiet)}
.tag{display:inline-block;padding:.05rem .6rem;margin:0 .35rem .35rem 0;border:1px solid var(--line);border-radius:1rem;
background:var(--soft);font-size:.85rem}
.note{border-left:4px solid var(--warn);background:var(--soft);padding:.5rem .8rem;margin:.6rem 0}
.tiles{display:flex;flex-wrap:wrap;gap:.7rem;margin:1rem 0;padding:0}
.tiles div{flex:1 1 8rem;border:1px solid var(--line);border-radius:.5rem;padding:.5rem .8rem}
.tiles dt{font-size:.85rem}.tiles dd{margin:0;font-size:1.35rem;font-weight:600;white-space:nowrap}
.facts{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.2rem 1.2rem;margin:.5rem 0}
.facts dt,.facts dd{margin:0}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
caption{text-align:left;font-size:.85rem;padding-bottom:.3rem}
th,td{padding:.28rem .9rem .28rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
td{overflow-wrap:break-word;max-width:26rem}
th.number,td.number{text-align:right;white-space:nowrap;padding-left:.9rem}
pre{background:var(--soft);border:1px solid var(--line);border-radius:.4rem;padding:.7rem .9rem;overflow-x:auto;
font:.82rem/1.45 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap}
figure{margin:0;min-width:0}
figure svg,figure img{display:block;width:100%;height:auto}
figure img{border:1px solid var(--line);border-radius:.25rem}
figcaption{font-size:.85rem;padding:.25rem 0}
.gone{border:1px dashed var(--line);border-radius:.25rem;padding:1rem;color:var(--quiet)}
.grid{display:grid;gap:1.3rem 1.6rem;margin:1rem 0}
.swatch{display:inline-block;width:.85em;height:.85em;border:1px solid var(--line);border-radius:.2em;margin-right:.4em;
vertical-align:-.05em}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.9rem;margin:.5rem 0}
@media(max-width:42rem){.grid{grid-template-columns:1fr!important}.grid.pictures{gap:.4rem;
grid-template-columns:repeat(3,1fr)!important}.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:.5rem}}
@media print{:root{--paper:#fff;--ink:#000;--quiet:#444;--line:#bbb;--soft:#fff;--warn:#b35900}
@page{margin:1.5cm}body{max-width:none;padding:0;font-size:10.5pt}h2,h3{break-after:avoid}
figure,tr,.tiles,.note{break-inside:avoid}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


class Page:
    """A page that grows from top to bottom; `str(page)` is the whole file.

    Args:
        title: of the window and of the page.
    """

    def __init__(self, title: str) -> None:
        self._title = escape(title, 300)
        self._parts = [f"<h1>{self._title}</h1>"]

    def heading(self, text: str, level: int = 2) -> None:
        """A heading of level 2 or 3."""
        name = "h3" if level > 2 else "h2"
        self._parts.append(f"<{name}>{escape(text, 300)}</{name}>")

    def paragraph(self, text: str, *, quiet: bool = False) -> None:
        """Text, whose own line breaks stay."""
        self._parts.append(f'<p class="quiet">{escape(text)}</p>' if quiet else f"<p>{escape(text)}</p>")

    def note(self, text: str) -> None:
        """A paragraph that is not to be overlooked."""
        self._parts.append(f'<p class="note">{escape(text)}</p>')

    def tags(self, names: Sequence[str]) -> None:
        """Words in a row, each in a frame."""
        framed = [f'<span class="tag">{escape(name, 100)}</span>' for name in names]
        self._parts.append(f"<p>{''.join(framed)}</p>")

    def tiles(self, figures: Sequence[tuple[str, Cell]]) -> None:
        """The few figures that matter most, large."""
        self._parts.append(f'<dl class="tiles">{"".join(f"<div>{_pair(*pair)}</div>" for pair in figures)}</dl>')

    def facts(self, pairs: Sequence[tuple[str, Cell]]) -> None:
        """Names and what they are, one below the other."""
        self._parts.append(f'<dl class="facts">{"".join(_pair(*pair) for pair in pairs)}</dl>')

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, caption: str = "") -> None:
        """A table; a column without text is set to the right."""
        right = [bool(rows) and not any(isinstance(row[i], str) for row in rows) for i in range(len(columns))]
        kinds = [' class="number"' if numeric else "" for numeric in right]
        head = "".join(f"<th{kind}>{escape(name, 300)}</th>" for name, kind in zip(columns, kinds, strict=True))
        body = "".join(
            f"<tr>{''.join(f'<td{kind}>{_cell(cell)}</td>' for cell, kind in zip(row, kinds, strict=True))}</tr>\n"
            for row in rows
        )
        said = f"<caption>{escape(caption)}</caption>" if caption else ""
        self._parts.append(
            f'<div class="wide"><table>{said}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
        )

    def code(self, text: str) -> None:
        """Text as a program takes or writes it."""
        self._parts.append(f"<pre><code>{escape(text, _LONGEST)}</code></pre>")

    def legend(self, entries: Sequence[tuple[str, str]]) -> None:
        """Names with their colours, `#RRGGBB`; another colour is not shown."""
        items = [
            f'<span><span class="swatch" style="background:{colour}"></span>{escape(name, 100)}</span>'
            for name, colour in entries
            if re.fullmatch(r"#[0-9a-fA-F]{6}", colour)
        ]
        self._parts.append(f'<div class="legend">{"".join(items)}</div>')

    def figures(self, drawings: Sequence[Svg], *, across: int = 2, caption: str = "") -> None:
        """Charts, `across` of them beside each other where there is room."""
        said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        self._grid([f"<figure>{drawing}{said}</figure>" for drawing in drawings], across)

    def pictures(self, pictures: Sequence[tuple[bytes | None, str, str]], *, across: int = 3) -> None:
        """Pictures, `across` of them beside each other: bytes of PNG or JPEG, the alternative text, and the caption.

        Where there are no bytes the alternative text stands in the picture's place.

        Raises:
            UserError: bytes of another kind.
        """
        self._grid([_picture(*picture) for picture in pictures], across, " pictures")

    def _grid(self, items: Sequence[str], across: int, kind: str = "") -> None:
        columns = f"grid-template-columns:repeat({int(across)},minmax(0,1fr))"
        self._parts.append(f'<div class="grid{kind}" style="{columns}">{"".join(items)}</div>')

    def __str__(self) -> str:
        head = (
            '<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n'
            f"<title>{self._title}</title>\n<style>{_SHEET}</style>"
        )
        body = "\n".join(self._parts)
        return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def escape(text: object, most: int = 5000) -> str:
    """Text of any origin as HTML that shows it, in an element or in an attribute."""
    return html.escape(clean(text, most), quote=True)


def _pair(name: str, value: Cell) -> str:
    return f"<dt>{escape(name, 300)}</dt><dd>{_cell(value)}</dd>"


def _cell(value: Cell) -> str:
    if value is None or isinstance(value, str):
        return escape(value or "–")
    shown, whole = figure(value), number(value)
    return escape(shown) if whole is None else f'<data value="{escape(repr(value), 40)}">{escape(shown)}</data>'


def _picture(data: bytes | None, words: str, caption: str) -> str:
    if data is None:
        return f'<figure class="gone">{escape(words, 300)}</figure>'
    kind = next((name for start, name in _KINDS.items() if data.startswith(start)), None)
    if kind is None:
        raise UserError(f"{clean(words, 80)}: a page takes pictures that are PNG or JPEG")
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    said = f"<figcaption>{escape(caption, 300)}</figcaption>" if caption else ""
    return f'<figure><img src="{source}" alt="{escape(words, 300)}">{said}</figure>'
