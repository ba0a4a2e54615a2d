"""Rows of messages as Gemma's turns: which tokens a model reads, and which of them it is trained to write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facet_job import JobError, shown

START_OF_TURN = "<start_of_turn>"
END_OF_TURN = "<end_of_turn>"
CONTROL_TOKENS = (START_OF_TURN, END_OF_TURN, "<bos>", "<eos>")


@dataclass(frozen=True)
class Turn:
    role: str
    content: str


@dataclass(frozen=True)
class Segment:
    text: str
    trained: bool


@dataclass(frozen=True)
class Encoded:
    """ids and trained have one entry a token; trained tells what counts in the loss."""

    ids: list[int]
    trained: list[bool]


def to_turns(messages: object, where: str) -> list[Turn]:
    """A system message stands before the first user's content; contents are stripped. Raises JobError."""

    def wrong(field: str, problem: str) -> JobError:
        return JobError(f"{where}: {field} {problem}.")

    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "must be a list with at least one turn of user and one of assistant")
    turns: list[Turn] = []
    system = ""
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            raise wrong(f"messages[{index}].content", f"must be a text, but is {shown(content)}")
        control = next((token for token in CONTROL_TOKENS if token in content), None)
        if control:
            raise wrong(f"messages[{index}].content", f"holds {control}, which would forge a turn; take it out")
        content = content.strip()
        if role == "system" and index == 0:
            system = content
            continue
        expected = "user" if len(turns) % 2 == 0 else "assistant"
        if role != expected:
            advice = "user and assistant take turns, the user first"
            raise wrong(f"messages[{index}].role", f"must be {expected}, but is {shown(role)}: {advice}")
        before = f"{system}\n\n" if system and not turns else ""
        turns.append(Turn(role, before + content))
    if not turns or turns[-1].role == "user":
        raise wrong("messages", "must end with what the assistant answers")
    return turns


def to_segments(turns: Sequence[Turn]) -> list[Segment]:
    """Without <bos>. Of the model's turns the content and <end_of_turn> are trained, so that it learns to stop."""
    segments: list[Segment] = []
    for turn in turns:
        if turn.role == "user":
            asked = f"{START_OF_TURN}user\n{turn.content}{END_OF_TURN}\n"
            segments.append(Segment(f"{asked}{START_OF_TURN}model\n", False))
        else:
            segments += [Segment(f"{turn.content}{END_OF_TURN}", True), Segment("\n", False)]
    return segments


def read_rows(path: Path) -> Iterator[list[Turn]]:
    """The rows of a JSONL file, each checked. Raises JobError with the line."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"{path.name}, line {number}"
                    yield to_turns(messages_of(line, where), where)
    except FileNotFoundError:
        raise JobError(f"There is no {path}; prepare the data with facet tune data.") from None


def messages_of(line: str, where: str) -> object:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise JobError(f"{where} is not JSON ({error.msg}); write one object a line.") from None
    if not isinstance(row, dict) or "messages" not in row:
        raise JobError(f"{where} has no messages; write {{\"messages\": [{{\"role\": …, \"content\": …}}]}}.")
    return row["messages"]


def encode(segments: Sequence[Segment], tokenize: Callable[[str], list[int]], bos: int) -> Encoded:
    """`tokenize` adds no special tokens of its own, and takes control tokens in a text for what they are.

    Segments meet at control tokens and newlines, across which no piece of Gemma's vocabulary reaches.
    """
    ids, trained = [bos], [False]
    for segment in segments:
        new = tokenize(segment.text)
        ids += new
        trained += [segment.trained] * len(new)
    return Encoded(ids, trained)


def encode_file(
    path: Path, tokenize: Callable[[str], list[int]], bos: int, context_tokens: int
) -> tuple[list[Encoded], int]:
    """The rows that fit, and how many do not: a row cut short would teach the model to stop anywhere."""
    encoded = [encode(to_segments(turns), tokenize, bos) for turns in read_rows(path)]
    fitting = [row for row in encoded if len(row.ids) <= context_tokens]
    if not fitting:
        shortest = min((len(row.ids) for row in encoded), default=0)
        reason = (
            f"its shortest row has {shortest} tokens and context_tokens is {context_tokens}"
            if encoded
            else "it has none"
        )
        raise JobError(f"{path.name} has no row to use: {reason}; give other data or more context.")
    return fitting, len(encoded) - len(fitting)
