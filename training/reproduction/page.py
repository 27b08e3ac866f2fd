"""Sections as one HTML file that needs no other, and as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

from training.reproduction.charts import COLOURS
from training.reproduction.sections import Cell, Section, Table

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5d6670; --line: #d9dee3; --page: #fff; --card: #f5f7f9;
  --mark: #ffe9a8; --accent: #2f7fd6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #98a2ad; --line: #343b43; --page: #14171a;
  --card: #1e2328; --mark: #5c4a10; --accent: #6aa9f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin-top: 2.5rem; font-size: 1.25rem; }
h3 { margin: 1.6rem 0 .2rem; font-size: 1rem; }
p { max-width: 52rem; margin: .5rem 0; } p.who { margin-top: 1rem; color: var(--soft); }
a { color: var(--accent); } nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .9rem; }
pre { overflow-x: auto; padding: .7rem; background: var(--card); border-radius: 6px; font-size: .85rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  white-space: nowrap; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--page); text-align: left;
  white-space: normal; min-width: 9rem; }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
td small { display: block; color: var(--soft); font-size: .8em; } tr.strong td { font-weight: 700; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .85rem; } figure svg { width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; font-size: .88rem; }
.legend span { display: inline-block; width: 1.4em; height: .25em; margin-right: .4em; vertical-align: middle; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.2rem, 1fr)); gap: .6rem; }
.card { padding: .4rem; border: 1px solid var(--line); border-radius: 6px; background: var(--card); font-size: .78rem;
  overflow-wrap: anywhere; }
.card.right { border: 2px solid var(--accent); } .card img, .card svg { display: block; width: 100%; height: auto; }
.card p { margin: .3rem 0; } .card b { color: var(--accent); } .card ul { margin: 0; padding-left: 1rem; }
mark { background: var(--mark); color: inherit; border-radius: 3px; }
.layout { background: var(--page); } .box { fill: var(--accent); fill-opacity: .08; stroke: var(--accent); }
.layout text { fill: var(--ink); }
"""


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The report as one file: no script, and nothing that is fetched. It is well-formed XML too."""
    links = "".join(
        f'<a href="#s{number}">{escape(section.title)}</a>' for number, section in enumerate(sections, start=1)
    )
    parts = [
        f'<section id="s{number}"><h2>{escape(section.title)}</h2>{_paragraphs(section.text)}'
        f"{''.join(map(_html_table, section.tables))}{section.html}</section>"
        for number, section in enumerate(sections, start=1)
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8" />'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1><nav>{links}</nav>\n" + "\n".join(parts) + "</body></html>\n"
    )


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """The report's text and tables."""
    parts = [f"# {title}"]
    for section in sections:
        if not section.text and not section.tables:
            continue
        parts += [f"## {section.title}", *section.text, *map(_markdown_table, section.tables)]
    return "\n\n".join(parts) + "\n"


def figures_html(charts: Mapping[str, str], legend: Sequence[str] = ()) -> str:
    """Charts beside each other, each with its title, and one legend for all.

    Args:
        charts: SVG by title.
        legend: what the curves are, in the order of `charts.COLOURS`.
    """
    entries = "".join(
        f'<li><span style="background: {colour}"></span>{escape(name)}</li>'
        for colour, name in zip(COLOURS, legend, strict=False)
    )
    figures = "".join(
        f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in charts.items()
    )
    return (f'<ul class="legend">{entries}</ul>' if entries else "") + f'<div class="charts">{figures}</div>'


def _paragraphs(text: Sequence[str]) -> str:
    return "".join(
        f"<pre>{escape(line.strip())}</pre>" if line.startswith("    ") else f"<p>{escape(line)}</p>" for line in text
    )


def _html_table(table: Table) -> str:
    def cell(content: Cell) -> str:
        small = f"<small>{escape(content.paper)}</small>" if content.paper else ""
        return f"<td>{escape(content.text)}{small}</td>"

    strong = ' class="strong"'
    head = "".join(f"<th>{escape(title)}</th>" for title in table.header)
    body = "".join(
        f"<tr{strong if number in table.strong else ''}>{''.join(map(cell, row))}</tr>"
        for number, row in enumerate(table.rows)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _markdown_table(table: Table) -> str:
    def cell(content: Cell, strong: bool) -> str:
        text = f"{content.text} ({content.paper})" if content.paper else content.text
        return f"**{text}**" if strong and text else text

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in cells)} |"

    lines = [line(table.header), line(["---", *["---:"] * (len(table.header) - 1)])]
    lines += [line(cell(content, number in table.strong) for content in row) for number, row in enumerate(table.rows)]
    return "\n".join(lines)
