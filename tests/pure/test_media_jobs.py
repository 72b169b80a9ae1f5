"""What the server believes of what an imaging process says, which a picture may have taken over."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediarepo.imaging.jobs import (
    ImageFacts,
    InspectJob,
    Limits,
    Made,
    Problem,
    ThumbnailJob,
    decode_answer,
    decode_job,
    encode_answer,
    encode_job,
)

LIMITS = Limits(max_pixels=1, max_frames=2, max_output_bytes=3, cpu_s=4)
FACTS = ImageFacts(
    width=5, height=6, content_type="image/png", animated=False, blurhash="LEHV6nWB2yk8"
)
MADE = Made(is_original=False, width=5, height=6, content_type="image/webp", animated=True)


class TestLines:
    @pytest.mark.parametrize(
        "job",
        [
            InspectJob(file="/a b", limits=LIMITS),
            ThumbnailJob(
                file="/ä", output="/b", width=1, height=2, crop=True, animated=False, limits=LIMITS
            ),
        ],
    )
    def test_jobs_arrive_as_they_were_sent(self, job):
        assert decode_job(encode_job(job)) == job

    @pytest.mark.parametrize("answer", [FACTS, MADE, Problem(wrong="failed")])
    def test_answers_arrive_as_they_were_sent(self, answer):
        assert decode_answer(encode_answer(answer)) == answer


class TestDistrust:
    @pytest.mark.parametrize(
        "change",
        [
            {"width": 0},
            {"width": 2**40},
            {"height": -1},
            {"width": True},
            {"height": "5"},
            {"content_type": "text/html"},
            {"content_type": ["image/png"]},
            {"animated": 1},
            {"blurhash": "a\0bcdefg"},
            {"blurhash": "short"},
            {"blurhash": "x" * 65},
            {"blurhash": None},
        ],
    )
    def test_facts_that_cannot_be(self, change):
        with pytest.raises(ValueError, match="should be"):
            decode_answer(encode_answer(replace(FACTS, **change)))

    @pytest.mark.parametrize(
        "said",
        [
            {},
            [],
            None,
            {"kind": "Nonsense"},
            {"kind": ["Made"]},
            {"kind": "Problem", "wrong": "nothing"},
            {"kind": "Problem", "wrong": {}},
            {"kind": "Problem", "wrong": "failed", "more": 1},
            {"kind": "Made", "width": 1},
        ],
    )
    def test_what_is_no_answer(self, said):
        with pytest.raises(ValueError, match=r".+"):
            decode_answer(orjson.dumps(said))

    @given(st.binary())
    def test_anything_else_is_a_value_error(self, line):
        with pytest.raises(ValueError, match=r".+"):
            decode_answer(line)
