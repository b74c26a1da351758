"""Frames, lines and records, byte by byte."""

from __future__ import annotations

import struct

import pytest

from harness.localcloud.runtime.output import MAX_RECORD_BYTES, Frame, FrameDecoder, LineAssembler, split_record


def frame(kind: int, microseconds: int, data: bytes) -> bytes:
    return struct.pack(">IIQ", kind, len(data), microseconds) + data


def test_frames_come_out_however_they_are_cut() -> None:
    stream = frame(0xA55A0003, 5, b"one\ntwo") + frame(0xA55A0017, 6, b"") + frame(0xA55A000F, 7, b"three")
    expected = [Frame(0xA55A0003, 5, b"one\ntwo"), Frame(0xA55A0017, 6, b""), Frame(0xA55A000F, 7, b"three")]
    for size in range(1, len(stream) + 1):
        decoder = FrameDecoder()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [got for piece in pieces for got in decoder.feed(piece)] == expected


def test_bytes_between_frames_are_shown_and_the_next_frame_is_found() -> None:
    decoder = FrameDecoder()
    found = list(decoder.feed(b"torn" + frame(0xA55A0003, 1, b"whole")))
    assert [(got.kind, got.data) for got in found] == [(0, b"torn"), (0xA55A0003, b"whole")]


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        (0xA55A0003, None),
        (0xA55A0002, None),
        (0xA55A000B, "DEBUG"),
        (0xA55A000E, "INFO"),
        (0xA55A0012, "WARN"),
        (0xA55A0017, "ERROR"),
        (0xA55A001A, "FATAL"),
    ],
)
def test_a_frames_kind_tells_the_level(kind: int, level: str | None) -> None:
    assert Frame(kind, 0, b"").level == level


def test_a_line_has_the_time_of_its_first_piece_and_keeps_carriage_returns() -> None:
    lines = LineAssembler()
    assert list(lines.feed(b"a\rb", 1)) == []
    (first, second) = lines.feed(b"c\nnext\n", 2)
    assert (first.microseconds, first.message) == (1, "a\rbc\n")
    assert (second.microseconds, second.message) == (2, "next\n")
    assert list(lines.flush()) == []


def test_a_long_record_is_cut_between_characters() -> None:
    text = "a" + "é" * MAX_RECORD_BYTES
    parts = list(split_record(text.encode()))
    assert "".join(parts) == text
    assert all(len(part.encode()) <= MAX_RECORD_BYTES for part in parts)


def test_bytes_that_are_no_text_are_shown_as_replacements() -> None:
    assert list(split_record(b"\xff\xfeok")) == ["\N{REPLACEMENT CHARACTER}" * 2 + "ok"]
