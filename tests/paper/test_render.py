"""Paper: what a reader of the file finds in it, whatever the words were."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from app.paper.document import Block, Column, Document, Facts, Note, QrCode, Table
from app.paper.font import MISSING, font, printable, width_pt, wrapped
from app.paper.qr import squares
from app.paper.render import render

COLUMNS = (
    Column(title="日時"),
    Column(title="内容", share=2),
    Column(title="件数", kind="number"),
    Column(title="金額", kind="yen"),
)


def document(*blocks: Block, title: str = "精算書") -> Document:
    return Document(
        title=title,
        issuer="東都大学生活協同組合",
        period="2026年11月24日",
        number="No. 12",
        to="中央食堂 御中",
        footer="発行 Kumiai",
        blocks=blocks,
    )


def read(pdf: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(pdf), strict=True)


def text(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in read(pdf).pages)


def rows(count: int) -> list[tuple[str, str, int, int]]:
    return [(f"2026年11月{n % 30 + 1}日", f"支払い{n}番", n, 1000 * n) for n in range(count)]


def test_everything_that_was_given_can_be_read_back() -> None:
    pdf = render(
        document(
            Facts(title="概要", pairs=[("支払い", 1_234_567), ("返金", -450), ("備考", "差し引き")]),
            Table(title="明細", columns=COLUMNS, rows=rows(2), totals=[("合計", "", 12_345, 1000)]),
            Note(text="一行目\n二行目"),
            QrCode(content="https://example.test/r/1", caption="確認用"),
        )
    )
    said = text(pdf)
    for words in (
        *("精算書", "東都大学生活協同組合", "2026年11月24日", "No. 12", "中央食堂 御中", "発行 Kumiai", "1 / 1"),
        *("概要", "支払い", "¥1,234,567", "-¥450", "備考", "差し引き"),
        *("日時", "件数", "金額", "支払い1番", "¥1,000", "合計", "12,345", "一行目", "二行目", "確認用"),
    ):
        assert words in said
    assert read(pdf).metadata.title == "精算書"  # type: ignore[union-attr]
    assert read(pdf).trailer["/Root"]["/Lang"] == "ja"  # type: ignore[index]


def test_the_font_is_embedded_with_only_the_letters_used() -> None:
    pdf = render(document())
    fonts = [found.get_object() for found in read(pdf).pages[0]["/Resources"]["/Font"].values()]  # type: ignore[index]
    embedded = [one["/FontDescriptor"] for one in fonts if "/FontDescriptor" in one]
    assert embedded
    for descriptor in embedded:
        assert "BIZUDPGothic" in descriptor["/FontName"]
        assert 0 < len(descriptor["/FontFile2"].get_data()) < 100_000
    assert len(pdf) < 100_000


def test_a_long_table_repeats_its_header_and_numbers_its_pages() -> None:
    pages = read(render(document(Table(columns=COLUMNS, rows=rows(200), totals=[("合計", "", 1, 2)])))).pages
    assert len(pages) > 3
    for n, page in enumerate(pages, start=1):
        said = page.extract_text()
        assert "件数" in said
        assert f"{n} / {len(pages)}" in said
        assert "東都大学生活協同組合" in said
    assert "合計" in pages[-1].extract_text()
    said = "\n".join(page.extract_text() for page in pages)
    assert all(said.count(f"支払い{n}番") == 1 for n in range(200))


def test_a_title_never_ends_a_page() -> None:
    for above in range(25, 45):
        filled = Facts(pairs=[("名", "値")] * above)
        pages = read(render(document(filled, Table(title="題名", columns=COLUMNS, rows=rows(2))))).pages
        (with_title,) = [page for page in (each.extract_text() for each in pages) if "題名" in page]
        assert "件数" in with_title
        assert "支払い0番" in with_title


def test_a_thousand_rows_take_well_below_a_second() -> None:
    font()
    began = time.process_time()
    render(document(Table(columns=COLUMNS, rows=rows(1000))))
    assert time.process_time() - began < 1.5  # 0.15 s on an idle machine; CPU time, for others may be using it


def test_amounts_end_at_the_right() -> None:
    """The last digits of all amounts stand under each other."""
    ends: dict[str, float] = {}

    def visit(words: str, _cm: object, tm: list[float], _font: object, _size: float) -> None:
        if words.strip().startswith("¥"):
            ends[words.strip()] = tm[4] + width_pt(words.strip(), size_pt=9)

    columns = (Column(title="a"), Column(title="b", kind="yen"))
    pdf = render(document(Table(columns=columns, rows=[("x", 1), ("y", 22_222), ("z", 7_777_777)])))
    read(pdf).pages[0].extract_text(visitor_text=visit)
    assert set(ends) == {"¥1", "¥22,222", "¥7,777,777"}
    assert max(ends.values()) - min(ends.values()) < 0.1


def test_the_same_document_is_the_same_file_and_another_is_another() -> None:
    made = document(Table(columns=COLUMNS, rows=rows(3)))
    assert render(made) == render(made)
    assert render(made) != render(replace(made, title="領収書"))


def test_threads_do_not_disturb_each_other() -> None:
    """reportlab's fonts must not be used by two documents at once."""
    documents = [document(Note(text=chr(0x4E00 + n * 40) * 50), title=f"第{n}号") for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(render, documents))
    assert together == [render(one) for one in documents]


@pytest.mark.parametrize(
    ("given_text", "seen"),
    [
        ("かに", "かに"),
        ("か\u3099くせい", "がくせい"),
        ("a\u0301", "á"),
        ("神\ufa19﨑髙", "神\ufa19﨑髙"),
        ("ok👍🏽!", f"ok{MISSING}{MISSING}!"),
        ("❤\ufe0f\u200d", MISSING),
        ("𠮷野", f"{MISSING}野"),
        ("𠮟る", "𠮟る"),
        ("שלום", MISSING * 4),
        ("\u202eabc\u202c", "abc"),
        ("a\x00\x07\x1bb", "ab"),
        ("a\nb\tc\rd\xa0e", "a b c d e"),
        ("\ud800x", f"{MISSING}x"),
        ("㌶", "㌶"),
        ("Ⓐﬁ", "Aﬁ"),
        ("", ""),
    ],
    ids=ascii,
)
def test_what_the_font_cannot_write_is_seen_to_be_missing(given_text: str, seen: str) -> None:
    assert printable(given_text) == seen


HOSTILE = st.text(st.characters(), max_size=400) | st.text(
    st.sampled_from("\x00\ud800‮👨‍👩é" + "ก็" + "字 a"), max_size=400
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(words=HOSTILE, amount=st.integers(-(10**30), 10**30))
def test_no_text_ever_fails(words: str, amount: int) -> None:
    pdf = render(
        Document(
            title=words,
            issuer=words,
            period=words,
            number=words,
            to=words,
            footer=words,
            blocks=[
                Facts(title=words, pairs=[(words, words), (words, amount)], strong=frozenset({words})),
                Table(title=words, columns=[Column(title=words, kind="yen")] * 3, rows=[(words, amount, words)]),
                Note(text=words),
                QrCode(content=words, caption=words),
            ],
        )
    )
    assert read(pdf).pages


@settings(max_examples=100, deadline=None)
@given(words=HOSTILE, room=st.floats(20, 300))
def test_lines_keep_within_their_width_and_lose_nothing(words: str, room: float) -> None:
    lines = wrapped(words, width_pt=room, size_pt=9)
    assert all(width_pt(line, size_pt=9) <= room + 0.01 for line in lines)
    assert "".join("".join(lines).split()) == "".join(printable(words).split())


def test_giant_texts_are_cut() -> None:
    pdf = render(
        document(
            Facts(pairs=[("長" * 100_000, "値" * 100_000)]),
            Table(columns=[Column(title="x" * 100_000)], rows=[("y" * 1_000_000,)]),
            Note(text="文" * 1_000_000),
            Note(text="\n" * 1_000_000),
        )
    )
    assert len(read(pdf).pages) < 500
    assert "…" in text(pdf)


def test_no_line_begins_with_a_closing_mark() -> None:
    lines = wrapped("東都大学生協、です。" * 30, width_pt=100, size_pt=9)
    assert len(lines) > 5
    assert not any(line[0] in "、。" for line in lines)


def test_latin_words_stay_whole() -> None:
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
    lines = wrapped(" ".join(words), width_pt=80, size_pt=9)
    assert len(lines) > 2
    assert " ".join(lines).split() == words


def test_a_qr_code_has_its_quiet_zone_and_its_finder_patterns() -> None:
    """A 21-module code in a square of 29: dark runs at module 4, none outside 4..25."""
    runs = list(squares("KUMIAI", side=29))
    assert min(x for x, _, _, _ in runs) == 4 == min(y for _, y, _, _ in runs)
    assert max(x + length for x, _, length, _ in runs) == 25
    top = [(x, length) for x, y, length, _ in runs if y == 4]
    assert top[0] == (4, 7)
    assert top[-1] == (18, 7)


@pytest.mark.parametrize("content", ["x" * 3000, "\ud800"], ids=["too long", "half a surrogate"])
def test_a_qr_code_that_cannot_be_leaves_its_place_empty(content: str) -> None:
    assert list(squares(content, side=29)) == []
    assert "1 / 1" in text(render(document(QrCode(content=content))))


def test_the_licence_lies_beside_the_font() -> None:
    assert "SIL OPEN FONT LICENSE" in (files("app.paper") / "fonts" / "OFL.txt").read_text()
