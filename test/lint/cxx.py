"""C++ as far as the checks need it: tokens, matched brackets, statements. No types."""
import bisect
import re

TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\f\v\n]+|\\\n)
  | (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<raw>(?:u8|[uUL])?R"(?P<delim>[^()\\\s]{0,16})\(.*?\)(?P=delim)")
  | (?P<string>(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*")
  | (?P<char>(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+')
  | (?P<number>\.?[0-9](?:[eEpP][+-]|'[0-9a-zA-Z]|[0-9a-zA-Z_.])*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<mark>::|->\*?|<<=|<=>|&&|\|\||[-+*/%&|^=!<>]=|\+\+|--|\.\.\.|\[\[|\]\]|.)
    """,
    re.X | re.S,
)
CLOSING = {"(": ")", "[": "]", "{": "}"}
# Between a function's parameter list and its body.
SPECIFIERS = {"const", "noexcept", "override", "final", "mutable", "constexpr", "try", "&", "&&"}
TYPE_HEADS = {"class", "struct", "union", "enum", "namespace", "extern"}


class Token:
    __slots__ = ("kind", "text", "line")

    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line

    def __repr__(self):
        return self.text


class Group:
    """What stands between two brackets. `role`: "" for round and square ones; "block" (statements)
    or "init" (a braced list) for curly ones; "lambda" for a lambda's introducer."""

    __slots__ = ("text", "line", "items", "role")

    def __init__(self, opening, line):
        self.text, self.line, self.items, self.role = opening, line, [], ""

    kind = "group"

    def __repr__(self):
        return self.text + " ".join(map(repr, self.items)) + CLOSING[self.text]


def without_directives(text):
    """Blanks preprocessor lines (a macro's body is seen where it is used, if anywhere)."""
    return re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", lambda m: "\n" * m[0].count("\n"), text)


def tokens(text):
    starts = [m.end() for m in re.finditer("\n", text)]
    for m in TOKEN.finditer(text):
        kind = m.lastgroup if m.lastgroup != "delim" else "raw"
        if kind in ("space", "comment"):
            continue
        line = bisect.bisect_right(starts, m.start()) + 1
        found = m.group()
        if found in ("[[", "]]"):  # two brackets: an attribute, or an index of an index
            yield Token("mark", found[0], line)
            yield Token("mark", found[0], line)
        else:
            yield Token(kind, found, line)


def tree(text):
    """The file as a Group of tokens and groups; the curly ones know their role."""
    root = Group("{", 1)
    root.role = "block"
    stack = [root]
    for token in tokens(without_directives(text)):
        if token.kind == "mark" and token.text in CLOSING:
            group = Group(token.text, token.line)
            if token.text == "{":
                group.role = _role(stack[-1])
            elif token.text == "[" and _opens_lambda(stack[-1].items):
                group.role = "lambda"
            stack[-1].items.append(group)
            stack.append(group)
        elif token.kind == "mark" and token.text in CLOSING.values():
            if len(stack) > 1 and CLOSING[stack[-1].text] == token.text:
                stack.pop()
        else:
            stack[-1].items.append(token)
    return root


def _opens_lambda(before):
    if not before:
        return True
    last = before[-1]
    if last.kind == "group":
        return last.text == "{" and last.role == "block"
    if last.kind == "word":
        return last.text in ("return", "co_return", "co_await", "co_yield", "else", "case")
    return last.kind == "mark" and last.text != ">"


def _statement_start(items):
    i = len(items)
    while i > 0:
        item = items[i - 1]
        if item.kind == "mark" and item.text == ";":
            break
        if item.kind == "group" and item.role == "block":
            break
        i -= 1
    return i


def _role(parent):
    """The role of a curly group that opens after what `parent` holds so far."""
    before = parent.items
    if not before:
        return "block" if parent.role == "block" else "init"
    last = before[-1]
    # A lambda's body: introducer, maybe parameters, specifiers, a return type.
    i = len(before) - 1
    while i >= 0 and len(before) - i < 24:
        item = before[i]
        if item.kind == "group" and item.role == "lambda":
            return "block"
        if item.kind == "mark" and item.text in (";", ",", "=", "?"):
            break
        if item.kind == "group" and item.text == "{":
            break
        i -= 1
    if last.kind == "group":
        if last.text == "(":
            return "block"
        if last.text == "{" and parent.role == "block":
            return "block"
        return "init"
    if parent.role != "block":
        return "init"
    if last.kind == "mark" and last.text in (";", ":"):
        return "block"
    if last.text in ("else", "do", "try") or last.text in SPECIFIERS:
        return "block"
    start = _statement_start(before)
    head = before[start:]
    equal = max((j for j, t in enumerate(head) if t.kind == "mark" and t.text == "="), default=-1)
    type_head = max((j for j, t in enumerate(head) if t.kind == "word" and t.text in TYPE_HEADS), default=-1)
    if type_head > equal and not any(t.kind == "group" and t.text == "(" for t in head):
        return "block"  # class T ... {
    if equal < 0:
        for j, t in enumerate(head):  # auto f(...) -> T {
            if t.kind == "mark" and t.text == "->" and j and head[j - 1].kind == "group":
                return "block" if head[0].text in ("auto", "inline", "static", "template") else "init"
    return "init"


def blocks(group):
    """Every block within, the group itself first if it is one."""
    if group.role == "block":
        yield group
    for item in group.items:
        if item.kind == "group":
            yield from blocks(item)


def statements(block):
    """The statements of one block, as lists of items; nested blocks end a statement."""
    current = []
    for item in block.items:
        if item.kind == "mark" and item.text == ";":
            if current:
                yield current
            current = []
            continue
        current.append(item)
        if item.kind == "group" and item.role == "block" and not _continues(current):
            yield current
            current = []
    if current:
        yield current


def _continues(items):
    """Whether the block that ends `items` is a lambda's, so that its statement goes on."""
    return any(i.kind == "group" and i.role == "lambda" for i in items)


def split(items, mark):
    """`items` in parts, at each `mark` on their own level."""
    parts = [[]]
    for item in items:
        if item.kind == "mark" and item.text == mark:
            parts.append([])
        else:
            parts[-1].append(item)
    return parts


class Flat:
    """A token of a file laid out flat again: brackets are tokens, too. `group`: the bracket's."""

    __slots__ = ("kind", "text", "line", "group")

    def __init__(self, kind, text, line, group=None):
        self.kind, self.text, self.line, self.group = kind, text, line, group


def flat(items):
    for item in items:
        if item.kind == "group":
            yield Flat("mark", item.text, item.line, item)
            yield from flat(item.items)
            yield Flat("mark", CLOSING[item.text], item.line)
        else:
            yield item


def walk(items, into_blocks=False):
    """All tokens and groups below, depth first; blocks (other statements) are passed over."""
    for item in items:
        yield item
        if item.kind == "group" and (into_blocks or item.role != "block"):
            yield from walk(item.items, into_blocks)
