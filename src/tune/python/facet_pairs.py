"""Preference rows: a prompt with the answer that people chose and the one that they rejected, as tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from facet_chat import encode, to_segments, to_turns
from facet_job import JobError, is_number, shown

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True)
class PairRow:
    """`chosen` and `rejected` are whole conversations: with <bos>, the prompt, and the answer's end."""

    line: int
    # Rows with the same prompt are no independent observations: this tells which they are.
    prompt: str
    chosen: list[int]
    rejected: list[int]
    margin: float | None


@dataclass(frozen=True)
class PromptRow:
    line: int
    text: str
    ids: list[int]


def rows_of(path: Path) -> Iterator[tuple[str, int, dict]]:
    """Where a row stands, its line, and the row. Raises JobError with the line."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{path.name}, line {number}"
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise JobError(f"{where} is not JSON ({error.msg}); write one object a line.") from None
                if not isinstance(row, dict):
                    raise JobError(f"{where} must be an object, but is {shown(row)}.")
                yield where, number, row
    except FileNotFoundError:
        raise JobError(f"There is no {path}; make it with facet tune preferences.") from None


def listed(row: dict, field: str, where: str) -> list:
    value = row.get(field)
    if not isinstance(value, list) or not value:
        raise JobError(f"{where}: {field} must be a list of messages; make the file with facet tune preferences.")
    return value


def read_pairs(path: Path, tokenize: Tokenize, bos: int, context_tokens: int) -> tuple[list[PairRow], int]:
    """The pairs that fit, and how many do not."""
    rows = []
    total = 0
    for where, line, row in rows_of(path):
        total += 1
        prompt = listed(row, "prompt", where)
        margin = row.get("margin")
        if margin is not None and not is_number(margin):
            raise JobError(f"{where}: margin must be a number, but is {shown(margin)}.")
        chosen, rejected = (
            encode(to_segments(to_turns(prompt + listed(row, field, where), where)), tokenize, bos).ids
            for field in ("chosen", "rejected")
        )
        if chosen == rejected:
            raise JobError(f"{where}: chosen and rejected are the same; take the row out.")
        if max(len(chosen), len(rejected)) <= context_tokens:
            name = hashlib.sha256(json.dumps(prompt, sort_keys=True).encode()).hexdigest()[:16]
            rows.append(PairRow(line, name, chosen, rejected, None if margin is None else float(margin)))
    return checked(rows, total, path, context_tokens), total - len(rows)


def read_prompts(path: Path, tokenize: Tokenize, bos: int, most_tokens: int) -> tuple[list[PromptRow], int]:
    """What is asked, of rows with `prompt`, or with `messages` whose last answer is left out."""
    rows = []
    total = 0
    for where, line, row in rows_of(path):
        total += 1
        if "prompt" in row:
            messages = [*listed(row, "prompt", where), {"role": "assistant", "content": ""}]
        else:
            messages = listed(row, "messages", where)
        # The last turn's content, and the newline after it, are what is to be sampled.
        segments = to_segments(to_turns(messages, where))[:-2]
        ids = encode(segments, tokenize, bos).ids
        if len(ids) <= most_tokens:
            rows.append(PromptRow(line, "".join(segment.text for segment in segments), ids))
    return checked(rows, total, path, most_tokens), total - len(rows)


def checked(rows: list, total: int, path: Path, most_tokens: int) -> list:
    if rows:
        return rows
    reason = f"all {total} of its rows are longer than {most_tokens} tokens" if total else "it has none"
    raise JobError(f"{path.name} has no row to use: {reason}; give other data or more context.")
