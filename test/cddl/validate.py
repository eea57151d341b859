#!/usr/bin/env python3
"""test/cddl/validate.py CDDL DOC - judges messages of our codec by the rules of proto/umbp.cddl.

Reads what make_messages prints. pycddl, which shares no code with us, has to accept each message,
and to refuse it once it is damaged; cbor2 has to find in it just what umbp_msg_print says. The
examples in hex of DOC have to be right too. Exits with 77 if one of the two is not installed.
"""

import re
import sys
from pathlib import Path

try:
    import cbor2
    from cbor2 import CBORTag
    from pycddl import Schema, ValidationError
except ImportError as error:
    print(f"skipped: {error}: pip install pycddl cbor2")
    sys.exit(77)

DAMAGED = 3     # Messages of each type that are damaged in every way
CHOSEN = 10     # ... that are tried against the choice of all messages too
SHOWN = 8       # Elements that umbp_msg_print shows
SHOWN_BYTES = 64
TAGS = {"u8s": (64, 1), "s8s": (72, 1), "u16s": (69, 2), "u32s": (70, 4), "u64s": (71, 8)}

cddl = Path(sys.argv[1]).read_text()
errors = {
    int(number): name
    for name, number in re.findall(
        r"UMBP_(\w+) = (-?\d+),", (Path(sys.argv[1]).parent / "error.h").read_text())
}


#  Each rule by its name. A rule ends where the next one begins
rules_by_name = {
    rule[1]: rule[0] for rule in re.finditer(r"^(\w+) /?= .*?(?=^\w+ /?= |\Z)", cddl, re.M | re.S)}


def needed(name):
    """The rules that this one is made of: to judge by all is ten times slower."""
    names, todo = set(), [name]
    while todo:
        name = todo.pop()
        if name not in names:
            names.add(name)
            todo += [word for word in re.findall(r"\w+", re.sub(r";.*", "", rules_by_name[name]))
                     if word in rules_by_name]
    return "".join(rule for name, rule in rules_by_name.items() if name in names)


class Field:
    def __init__(self, optional, key, rule, name):
        self.must, self.key, self.name = not optional, int(key), name
        self.kind = "uint" if re.match(r"\d|uint", rule) else rule.split("_")[0]
        self.limits = [int(part) for part in re.findall(r"\d+", rule.partition("_")[2])]
        self.range = [int(part) for part in re.fullmatch(r"(\d+)\.\.(\d+)", rule).groups()] \
            if ".." in rule else None


class Message:
    """A rule of the CDDL, and the schema that has it as its root."""

    def __init__(self, name, body):
        self.name, self.type = name, int(re.search(r"^  0: (\d+),", body, re.M)[1])
        self.fields = [Field(*line) for line in re.findall(
            r"^  (\? )?(\d+): ([^,]+), +; (\w+)", body, re.M)]
        self.schema = Schema(f"root = {name}\n{needed(name)}")


def parse():
    rules = re.findall(r"^(\w+) = \{\n(.*?)^\}", cddl, re.M | re.S)
    return {name: Message(name, body) for name, body in rules}


def accepts(schema, item):
    try:
        schema.validate_cbor(item if isinstance(item, bytes) else cbor2.dumps(item))
        return True
    except ValidationError:
        return False


def quoted(data):
    text = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}"
                   for byte in data[:SHOWN_BYTES])
    return f'"{text}..."' if len(data) > SHOWN_BYTES else f'"{text}"'


def numbers(kind, tagged):
    tag, width = TAGS[kind]
    assert tagged.tag == tag and len(tagged.value) % width == 0
    return [int.from_bytes(tagged.value[at:at + width], "little", signed=kind == "s8s")
            for at in range(0, len(tagged.value), width)]


def shown(items):
    dots = " ..." if len(items) > SHOWN else ""
    return f"[{len(items)}:{''.join(' ' + str(item) for item in items[:SHOWN])}{dots}]"


def show(kind, value):
    if kind == "uint":
        return str(value)
    if kind == "bool":
        return str(value).lower()
    if kind == "text":
        return quoted(value.encode())
    if kind == "bytes":
        return quoted(value)
    if kind != "column":
        return shown(numbers(kind, value))
    at, items = 0, []
    for size in numbers("u16s", value[1]):
        items.append(quoted(value[0][at:at + size]))
        at += size
    assert at == len(value[0])
    return shown(items)


def printed(message, item):
    """What umbp_msg_print should say, from what cbor2 found."""
    words = [message.name, f"id={item[1]}"]
    if 31 in item:
        words.append(f"call={item[31]:016x}")
    if 2 in item:
        words.append(f"deadline_ms={item[2]}")
    if 3 in item:
        words.append(f"status={errors[item[3]]}")
    words += [f"{field.name}={show(field.kind, item[field.key])}"
              for field in message.fields if field.key in item]
    return " ".join(words)


def wrong_values(field):
    """Values that the field must not have: of other kinds, and just beyond its limits."""
    if field.kind == "uint":
        yield from ("7", -1, 1.5, True)
        if field.range:
            yield field.range[1] + 1
            if field.range[0] > 0:
                yield field.range[0] - 1
    elif field.kind == "bool":
        yield from (1, "true", None)
    elif field.kind == "text":
        yield from (b"text", 5, None, "x" * (field.limits[1] + 1))
    elif field.kind == "bytes":
        yield from ("bytes", 5, bytes(field.limits[1] + 1))
    elif field.kind == "column":
        sizes = CBORTag(69, b"\2\0")
        yield from (b"ab", [b"ab"], [b"ab", sizes, sizes], ["ab", sizes], [b"ab", b"\2\0"])
        yield [b"ab", CBORTag(65, b"\0\2")]
    else:
        tag, width = TAGS[field.kind]
        #  A plain array is wrong too, but pycddl lets it pass for anything with a tag
        yield from (bytes(width), 5, CBORTag(tag + 1, bytes(width)), CBORTag(tag, "text"))
        yield CBORTag(tag, bytes(width * (field.limits[0] + 1)))


def damages(message, item):
    yield "type", {**item, 0: 127}
    yield "type", {**item, 0: str(message.type)}
    yield "no type", {key: value for key, value in item.items() if key != 0}
    yield "no id", {key: value for key, value in item.items() if key != 1}
    yield "id", {**item, 1: -1}
    yield "deadline_ms", {**item, 2: "soon"}
    yield "status", {**item, 3: b""}
    yield "call", {**item, 31: "7"}
    for field in message.fields:
        if field.must:
            yield f"no {field.name}", {k: v for k, v in item.items() if k != field.key}
        for value in wrong_values(field):
            yield f"{field.name}={value!r:.60}", {**item, field.key: value}


def judge_examples(messages, doc):
    """What is wrong with the examples of the document: messages in hex, lines with comments."""
    examples = re.findall(r"^ *```hex (\w+)\n(.*?)^ *```", doc, re.M | re.S)
    failures = [] if examples else ["no examples in the document"]
    for name, text in examples:
        try:
            wire = bytes.fromhex(re.sub(r"#.*", "", text))
        except ValueError as error:
            failures.append(f"example of {name}: {error}")
            continue
        if not accepts(messages[name].schema, wire):
            failures.append(f"example of {name} is not accepted:\n{text}")
        said = printed(messages[name], cbor2.loads(wire))
        for field, shown_as in re.findall(r"# (\w+): (.*)$", text, re.M):
            if not re.search(rf" {field}=(\[\d+: )?{re.escape(shown_as)}\]?( |$)", said):
                failures.append(f"example of {name} does not say {field}: {shown_as}\n{said}")
    return failures


def main():
    messages, everything = parse(), Schema(cddl)
    counts, damaged = dict.fromkeys(messages, 0), 0
    failures = judge_examples(messages, Path(sys.argv[2]).read_text())
    for line in sys.stdin:
        name, wire, text = line.rstrip("\n").split(" ", 2)
        message, wire = messages[name], bytes.fromhex(wire)
        item = cbor2.loads(wire)
        if not accepts(message.schema, wire):
            failures.append(f"{name} is not accepted: {text}")
        if printed(message, item) != text:
            failures.append(f"{name} reads otherwise:\n  {text}\n  {printed(message, item)}")
        if counts[name] < CHOSEN and not accepts(everything, wire):
            failures.append(f"{name} is not among the messages: {text}")
        if counts[name] < DAMAGED:
            for what, bad in damages(message, item):
                damaged += 1
                if accepts(message.schema, bad) \
                        or (counts[name] == 0 and accepts(everything, bad)):
                    failures.append(f"{name} is accepted though wrong: {what}")
        counts[name] += 1
    failures += [f"{name} never came" for name, count in counts.items() if count == 0]
    for failure in failures[:20]:
        print(failure)
    print(f"{len(messages)} types, {sum(counts.values())} messages, {damaged} damaged ones, "
          f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
