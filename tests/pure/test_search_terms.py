"""From text to lexemes, and from queries to what they look for."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from homeserver.search_terms import (
    MAX_LEXEMES,
    MAX_QUERY_TERMS,
    MAX_WORD_CHARS,
    folded,
    lexemes,
    query,
    room_lexeme,
    sender_lexeme,
)

TEXTS = st.text() | st.text(st.sampled_from("aB é'\\:*&|!()日本ไทの한 कि9🎉\u00ad\u0301-_#@"))
TERM = re.compile(r"'((?:[^'\\]|''|\\\\)+)'(:\*)?")


def finds(q: str, text: str) -> bool:
    """What Postgres does: all terms are there, those with `:*` as beginnings."""
    terms = query(q)
    assert terms is not None
    there = lexemes(text)
    return all(_is_found(*TERM.fullmatch(term).groups(), there) for term in terms.split(" & "))


def _is_found(term: str, star: str | None, there: list[str]) -> bool:
    if star is None:
        return term in there
    return any(lexeme.startswith(term) for lexeme in there)


class TestFolding:
    @pytest.mark.parametrize(
        ("text", "plain"),
        [
            ("Café", "cafe"),
            ("CAFE\u0301", "cafe"),
            ("Straße", "strasse"),
            ("İstanbul", "istanbul"),
            ("Ψυχή", "ψυχη"),
            ("ёлка", "елка"),
            ("ＡＢＣ１２", "abc12"),
            ("ﬁn", "fin"),
            ("שָׁלוֹם", "שלום"),
            ("مُحَمَّد", "محمد"),
            ("co\u00adop", "coop"),
            ("ｶﾞ", "ガ"),
            ("\ufeffhi", "hi"),
        ],
    )
    def test_what_a_search_shall_not_see_is_dropped(self, text: str, plain: str) -> None:
        assert folded(text) == plain

    def test_marks_that_make_another_letter_stay(self) -> None:
        assert folded("が") != folded("か")
        assert folded("कि") != folded("का")
        assert folded("한국") == "한국"

    @given(TEXTS)
    def test_folding_again_changes_nothing(self, text: str) -> None:
        assert folded(folded(text)) == folded(text)


class TestLexemes:
    def test_words_end_where_letters_and_digits_do(self) -> None:
        assert lexemes("Don't panic: 3.14, a_b; x@y.org #tag") == [
            *("don", "t", "panic", "3", "14", "a", "b", "x", "y", "org", "tag")
        ]

    def test_each_stands_once(self) -> None:
        assert lexemes("so so SO Só") == ["so"]

    def test_scripts_without_spaces_become_pairs(self) -> None:
        assert lexemes("東京タワー") == ["東京", "京タ", "タワ", "ワー", "ー"]
        assert lexemes("iPhoneを買う") == ["iphone", "を買", "買う", "う"]
        assert lexemes("ไทย") == ["ไท", "ทย", "ย"]

    def test_other_scripts_keep_their_words(self) -> None:
        assert lexemes("हिन्दी में 서울에서") == ["हिन्दी", "में", "서울에서"]

    def test_pictures_are_words(self) -> None:
        assert lexemes("done🎉🎉❤️") == ["done", "🎉", "❤"]

    @pytest.mark.parametrize("text", ["", " ", "!?.,", "\u0301", "\u200d\ufe0f", "\0"])
    def test_some_texts_have_none(self, text: str) -> None:
        assert lexemes(text) == []

    def test_number_and_length_are_bounded(self) -> None:
        assert len(lexemes(" ".join(map(str, range(5_000))))) == MAX_LEXEMES
        assert lexemes("a" * 10_000) == ["a" * MAX_WORD_CHARS]
        assert len(lexemes("".join(map(chr, range(0x4E00, 0x4E00 + 5_000))))) == MAX_LEXEMES

    @given(TEXTS)
    def test_none_can_be_taken_for_another_thing(self, text: str) -> None:
        for lexeme in lexemes(text):
            assert lexeme
            assert not set(lexeme) & set("#@'\\ \0")
            assert len(lexeme) <= MAX_WORD_CHARS
            lexeme.encode()

    def test_rooms_and_senders_have_their_own(self) -> None:
        assert room_lexeme(1) != sender_lexeme(1)
        assert room_lexeme(1) not in lexemes("#1 @1 1")


class TestQueries:
    def test_words_are_looked_for_by_their_beginnings(self) -> None:
        assert query("Bud report") == "'bud':* & 'report':*"

    def test_a_single_letter_is_a_word(self) -> None:
        assert query("plan B") == "'plan':* & 'b'"

    def test_a_single_ideogram_begins_a_pair(self) -> None:
        assert query("東") == "'東':*"
        assert query("東京") == "'東京'"

    def test_their_number_is_bounded(self) -> None:
        assert (query(" ".join(map(str, range(500)))) or "").count("&") == MAX_QUERY_TERMS - 1

    @pytest.mark.parametrize("q", ["", "  ", "'", "\\", ":*", "& | ! ( ) <->"])
    def test_without_a_word_there_is_none(self, q: str) -> None:
        assert query(q) is None

    @given(TEXTS)
    def test_nothing_in_them_is_an_operator(self, q: str) -> None:
        terms = query(q)
        if terms is not None:
            assert all(TERM.fullmatch(term) for term in terms.split(" & "))

    @given(TEXTS)
    def test_a_text_finds_itself(self, text: str) -> None:
        if query(text) is not None:
            assert finds(text, text)

    @given(st.text(), TEXTS, st.text())
    def test_a_text_is_found_among_others(self, before: str, text: str, after: str) -> None:
        if query(text) is not None:
            assert finds(text, f"{before} {text} {after}")

    @given(st.text(st.sampled_from("日本語東京ไทยのカ"), min_size=1, max_size=12), st.data())
    def test_any_part_of_a_dense_text_finds_it(self, text: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start + 1, len(text)))
        assert finds(text[start:end], text)

    @given(st.text(st.characters(categories=["Ll"], max_codepoint=0x17F), min_size=2))
    def test_the_beginning_of_a_word_finds_it(self, word: str) -> None:
        assume(folded(word).isalpha())  # U+0140 becomes l and a dot, which ends a word
        assert finds(word[:2], f"one {word} two")

    def test_words_that_are_not_there_find_nothing(self) -> None:
        assert not finds("budget plan", "the budget")
        assert not finds("get", "the budget")
