#!/usr/bin/env python3
"""Trains the tokenizer of the tiny model and records what the sentencepiece library makes of some strings.

    pip install sentencepiece==0.2.1 protobuf
    python3 scripts/make-tiny-tokenizer.py [fixtures]

Writes tiny-model/tokenizer.model, tokenizer_config.json and tokenizer-golden.json: a model of LLaMA's kind, BPE with byte
fallback, identity normaliser, a dummy prefix, no removal of white space. Also writes tokenizer-variants/, models for tests
that have what LLaMA's lacks: user-defined and unused pieces, no byte fallback, white space removed, no dummy prefix.
The text is generated here, so the same version of the library gives the same bytes.
"""

import io
import itertools
import json
import random
import sys
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

VOCABULARY = 512

SYSTEM = [
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions.",
]
COLOURS = ["red", "green", "blue", "yellow", "white", "black", "orange", "purple", "grey", "brown"]
SHAPES = ["circle", "square", "triangle", "star", "cross", "ring", "bar", "diamond"]
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PLACES = ["left of", "right of", "above", "below", "next to", "inside", "behind"]
SIZES = ["small", "large", "tiny", "big"]
QUESTIONS = [
    "What is in the picture?",
    "What is in the image?",
    "What colour is the {shape}?",
    "What shape is {colour}?",
    "How many {shape}s are there?",
    "How many shapes are in the picture?",
    "Where is the {colour} {shape}?",
    "Is there a {colour} {shape} in the image?",
    "Which shape is {place} the {colour} {shape}?",
    "Describe the image briefly.",
    "What is the colour of the background?",
    "Answer the question using a single word or phrase.",
]
ANSWERS = [
    "There is a {size} {colour} {shape} on a {colour2} background.",
    "The picture shows a {colour} {shape} {place} a {colour2} {shape2}.",
    "The {shape} is {colour}.",
    "The {colour} shape is a {shape}.",
    "There are {number} {shape}s in the image.",
    "I can see {number} {colour} {shape}s and a {colour2} {shape2}.",
    "The {colour} {shape} is in the top left corner.",
    "The {colour} {shape} is in the bottom right corner, {place} the {shape2}.",
    "It is in the middle of the picture.",
    "Yes, there is.",
    "No, there is not.",
    "{number}",
    "{colour}",
    "a {colour} {shape}",
]


def corpus() -> list[str]:
    """Simple English about pictures, in the order in which a fixed seed draws it."""
    draw = random.Random(20240529)
    lines = []

    def fill(template: str) -> str:
        return template.format(
            colour=draw.choice(COLOURS), colour2=draw.choice(COLOURS), shape=draw.choice(SHAPES), shape2=draw.choice(SHAPES),
            number=draw.choice(NUMBERS), place=draw.choice(PLACES), size=draw.choice(SIZES))

    for _ in range(1500):
        lines.append(fill(draw.choice(QUESTIONS)))
        lines.append("ASSISTANT: " + fill(draw.choice(ANSWERS)))
    # LLaVA's label masks assume that "USER" after "</s>" is one piece fewer than " USER" at the start of a text (as in
    # LLaMA's vocabulary), else they drop all samples of several turns. So it is to become a piece without its space.
    lines += [mark + "USER: " + fill(question) for mark in "()[]\"-/.,;>*" for question in QUESTIONS * 3]
    lines += SYSTEM * 60
    lines += [f"{a} and {b} make {a + b}." for a, b in itertools.product(range(10), repeat=2)]
    lines += ["the quick brown fox jumps over the lazy dog", "PACK MY BOX WITH FIVE DOZEN LIQUOR JUGS"] * 5
    return lines


def train(**options) -> bytes:
    model = io.BytesIO()
    settings = dict(
        model_type="bpe", vocab_size=VOCABULARY, byte_fallback=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        normalization_rule_name="identity", add_dummy_prefix=True, remove_extra_whitespaces=False, split_digits=True,
        character_coverage=1.0, num_threads=1, minloglevel=2)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, **(settings | options))
    return model.getvalue()


def with_unused_pieces(data: bytes) -> bytes:
    """Marks every third merged piece as unused, so that the library splits it again after merging."""
    model = sentencepiece_model_pb2.ModelProto.FromString(data)
    merged = [piece for piece in model.pieces if piece.type == piece.NORMAL and len(piece.piece) > 1]
    for piece in merged[::3]:
        piece.type = piece.UNUSED
    return model.SerializeToString(deterministic=True)


def variants() -> dict[str, bytes]:
    symbols = ["<image>", "<im", "star", "日本", "circle square"]
    return {
        "user-defined": train(user_defined_symbols=symbols),
        "unused": with_unused_pieces(train()),
        "no-byte-fallback": train(byte_fallback=False, vocab_size=256),
        "no-extra-space": train(remove_extra_whitespaces=True),
        "no-dummy-prefix": train(add_dummy_prefix=False),
        "unknown-surface": train(byte_fallback=False, vocab_size=256, remove_extra_whitespaces=True, pad_id=3, unk_surface="<?>"),
    }


def strings() -> list[str]:
    """About a hundred strings: prompts, white space, other scripts, text that looks like control tokens, noise."""
    draw = random.Random(7)
    fixed = [
        "", " ", "  ", "   ", "\n", "\t", "\r\n", "a", "A", "é", "▁", "▁▁a", " a", "a ", " a ", "a  b", "a   b    c", "\na", "a\n",
        "<s>", "</s>", "<unk>", "<s>a</s>", "<0x41>", "<image>", "\0", "\x7f", "0", "42", "1234567890", "3.14", "-1e9", "100%",
        "Hello, world!", "hello", "HELLO", "don't", "it's", "e.g. this", "...", "!!!???", "(a) [b] {c}", "a_b__c", "x=y+z",
        "日本語", "a日b", "中文 字符", "한국어", "Привет", "Γειά", "مرحبا", "שלום", "é", "é", "Å", "ﬁ", "½", "²", "€50", "–—…", "“quoted”",
        "😀", "a😀b", "👩‍👧", "🏳️‍🌈", "❤️", "\u200b", "\ufeff", "\u00a0", "\u3000", "\u2028", "\U0010ffff", "\U000e0001",
        "a" * 40, "ab" * 30, "aab" * 20, " " * 33, "\n" * 9, "the " * 25, "red circle" * 8, "tttthhhheeee", "circlecirclestar",
        "USER: <image>\nWhat is in the picture? ASSISTANT:", "The red circle is left of the blue square.",
        "How many stars are there?", "three", "The picture shows a green triangle.</s>USER: Why? ASSISTANT:",
        SYSTEM[0], SYSTEM[1] + " USER: What colour is the star? ASSISTANT: The star is red.</s>",
    ]
    alphabet = "abcdefgh rstu  .,!?\n\té日😀ACST019'-"
    noise = ["".join(draw.choice(alphabet) for _ in range(draw.randint(1, 60))) for _ in range(20)]
    return fixed + noise


def id_lists(processor: sentencepiece.SentencePieceProcessor) -> list[list[int]]:
    """Ids that no text encodes to: random ones, broken UTF-8, spaces and control pieces at the start."""
    draw = random.Random(11)
    size = processor.vocab_size()
    lists = [[draw.randrange(size) for _ in range(draw.randint(1, 12))] for _ in range(40)]
    if processor.is_byte(3):
        lists += [[draw.randrange(3, 259) for _ in range(draw.randint(1, 12))] for _ in range(40)]  # mostly invalid
        # Truncated, overlong, surrogate and too large characters, alone and before a letter.
        for data in (
            b"\xe6\x97", b"\xf0\x9f\x98", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
            b"\xff\xe6\x97\xa5",
        ):
            ids = [byte + 3 for byte in data]
            lists += [ids, ids + [ord("a") + 3], ids + [size - 1]]
    space = processor.piece_to_id("▁")
    lists += [[space], [space] * 2, [1, space, 30], [space, 1, space], [13, space], [0], [0, 30], [space, 0, space], [1, 2], []]
    return lists


def golden(model: bytes) -> dict:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    encoded = [(text, processor.encode(text)) for text in strings()]
    return dict(
        sentencepiece=sentencepiece.__version__,
        cases=[dict(text=text, ids=ids, decoded=processor.decode(ids)) for text, ids in encoded],
        decode_ids=[dict(ids=ids, decoded=processor.decode(ids)) for ids in id_lists(processor)])


def write_json(path: Path, value: dict, **style) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, **style) + "\n", encoding="utf-8")


def main() -> None:
    fixtures = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "fixtures"
    tiny = fixtures / "tiny-model"
    tiny.mkdir(parents=True, exist_ok=True)
    model = train()
    (tiny / "tokenizer.model").write_bytes(model)
    config = dict(
        tokenizer_class="LlamaTokenizer", legacy=False, add_bos_token=True, add_eos_token=False, bos_token="<s>",
        eos_token="</s>", unk_token="<unk>", pad_token="<unk>", model_max_length=2048)
    write_json(tiny / "tokenizer_config.json", config, indent=2)
    write_json(tiny / "tokenizer-golden.json", golden(model), separators=(",", ":"))

    directory = fixtures / "tokenizer-variants"
    directory.mkdir(parents=True, exist_ok=True)
    for name, model in variants().items():
        (directory / f"{name}.model").write_bytes(model)
        write_json(directory / f"{name}.json", golden(model), separators=(",", ":"))


if __name__ == "__main__":
    main()
