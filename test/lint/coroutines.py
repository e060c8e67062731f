"""What GCC 12 miscompiles around co_await, and what this tree forbids in coroutines.

Tried on GCC 12.2, each with a type that counts its copies:
- In a full expression that awaits (and in one that only stands beside an await), a temporary made
  by aggregate initialisation is destroyed twice: `f(T{1})`, `f({})`, `f({.x = 1})`, also
  `T t{co_await g()}`. So is the result of `?:` when both arms are temporaries, and so is a closure
  with a member that owns something. A list for an initializer_list does not compile.
- `if (co_await f())`, `while`, `switch` and `do` with an await in their condition: the function's
  whole body is left out, without a warning. `if (auto v = co_await f())` is right.
There are no types here, so the rule is one of form: no braces, no `?:`, and no closure that holds
anything but pointers, references and numbers, in an expression that awaits.
"""

import re

import cxx

NAME = "coroutines"
AWAITS = {"co_await", "co_yield", "TRY_CO", "TRY_ASSIGN_CO"}
OF_A_COROUTINE = AWAITS | {"co_return"}
CONDITIONS = {"if", "while", "switch"}
NOT_A_CALL = CONDITIONS | {"for", "catch", "return", "co_return", "co_await", "co_yield", "constexpr"}
NOT_A_TYPE = NOT_A_CALL | {"delete", "else", "do", "case", "goto", "throw", "new", "sizeof"}
# Types whose copies own nothing: a closure may hold them.
PLAIN = {"bool", "char", "int", "long", "short", "unsigned", "float", "double", "size_t", "ssize_t",
         "int8_t", "int16_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t",
         "uid_t", "gid_t", "mode_t", "pid_t", "Duration", "Time", "TimePoint"}


def check(tree, report):
    types = Types(tree)
    for path in tree.files("*.cc", "*.h"):
        text = tree.read(path)
        if "co_" in text or "_CO(" in text or "Task<" in text:
            check_text(text, lambda line, message, remedy, p=path: report(p, line, message, remedy), types)


class Types:
    """The structs and classes that the tree defines, looked up by name when asked for."""

    def __init__(self, tree):
        self._tree, self._known = tree, {}

    def aggregate(self, name):
        """Whether some struct of this name has no constructor."""
        if name not in self._known:
            self._known[name] = False
            defined = re.compile(rf"\b(?:struct|class)\s+{name}\b[^;{{]*{{")
            for path in self._tree.files("*.h", "*.cc"):
                m = defined.search(self._tree.read(path))
                if m:
                    body = cxx.tree(self._tree.read(path)[m.end():]).items
                    made = any(i.kind == "word" and i.text == name and j + 1 < len(body) and
                               body[j + 1].kind == "group" for j, i in enumerate(body))
                    self._known[name] = self._known[name] or not made
        return self._known[name]


def check_text(text, report, types=None):
    root = cxx.tree(text)
    if types:
        _default_arguments(root, types, report)
    for block in cxx.blocks(root):
        for statement in cxx.statements(block):
            for expression in expressions(statement):
                _expression(expression, root, report)
            _conditions(statement, report)
    _functions(root, report)


def _default_arguments(root, types, report):
    """`Task<R> f(T options = {})`: the argument is made in the caller's expression, which awaits."""
    flat = list(cxx.flat(root.items))
    for i, item in enumerate(flat):
        if item.kind != "word" or item.text != "Task" or i + 1 >= len(flat) or flat[i + 1].text != "<":
            continue
        for head in flat[i + 2:i + 40]:
            if head.text in (";", "{"):
                break
            if head.kind == "mark" and head.text == "(" and head.group:
                for parameter in cxx.split(head.group.items, ","):
                    at = next((j for j, p in enumerate(parameter) if p.text == "=" and p.kind == "mark"), None)
                    if not at or not any(p.kind == "group" and p.role == "init" for p in parameter[at:]):
                        continue
                    words = [p.text for p in parameter[:at] if p.kind == "word"]
                    named = words[-2] if len(words) > 1 else words[-1]
                    if types.aggregate(named):
                        report(item.line, f"a task's default argument of {named}, an aggregate: GCC 12 destroys it "
                               "twice where the call is awaited", f"give {named} a constructor (`{named}() = default;`)")
                break


def expressions(statement):
    """The parts of a statement that are full expressions of their own: a condition, each clause of
    `for (;;)`, and what follows them."""
    i, start = 0, 0
    while i + 1 < len(statement):
        item, following = statement[i], statement[i + 1]
        if item.kind == "word" and item.text in CONDITIONS | {"for"}:
            if following.kind == "word" and following.text == "constexpr":
                i += 1
                following = statement[i + 1] if i + 1 < len(statement) else following
            if following.kind == "group" and following.text == "(":
                yield from cxx.split(following.items, ";")
                i += 2
                start = i
                continue
        if i > start or not (item.kind == "word" and item.text in ("else", "do")):
            break
        i += 1
        start = i
    yield statement[start:]


def _awaits(items):
    return any(i.kind == "word" and i.text in AWAITS for i in cxx.walk(items))


def _expression(items, root, report):
    if not _awaits(items):
        return
    if len(items) > 2 and items[0].text == "auto":
        for item in items[1:3]:
            if item.kind == "group" and item.text == "[":
                report(item.line, "a structured binding of what is awaited",
                       "name the result first, then take it apart")
    for item in cxx.walk(items):
        if item.kind == "mark" and item.text == "?":
            report(item.line, "`?:` in an expression that awaits: GCC 12 destroys its result twice",
                   "assign the choice to a local first")
        elif item.kind == "group" and item.role == "init":
            report(item.line, "a braced list in an expression that awaits: GCC 12 destroys what it makes twice",
                   "name the value in a local first and move it in, or write `T()` for an empty one")
        elif item.kind == "group" and item.role == "lambda":
            for name in owning_captures(item, root):
                report(item.line, f"a closure that holds `{name}` in an expression that awaits: "
                       "GCC 12 destroys it twice",
                       "name the closure in a local first, or let it hold a pointer")


def owning_captures(introducer, root):
    """The captures by value that are not visibly a pointer or a number."""
    for capture in cxx.split(introducer.items, ","):
        words = [i.text for i in capture]
        if not words or words[0] == "&" or words == ["this"]:
            continue
        if words == ["="]:
            yield "="
        elif len(words) > 1 and words[1] == "=":
            if words[2:] == ["this"] or words[2:3] == ["&"]:
                continue
            yield words[0]
        elif not _plain(words[0], introducer, root):
            yield words[-1]


def _plain(name, introducer, root):
    """Whether the last declaration of `name` before the closure is of a pointer or a number."""
    found = False
    before = [None, None]
    for item in cxx.flat(root.items):
        if item.kind == "mark" and getattr(item, "group", None) is introducer:
            break
        if item.kind == "word" and item.text == name and before[1]:
            word = before[0] and before[0].kind == "word" and before[0].text not in NOT_A_TYPE
            if before[1].text == "*" and word:
                found = True
            elif before[1].text in ("&", ">") and word:
                found = False
            elif before[1].kind == "word" and before[1].text not in NOT_A_TYPE:
                found = before[1].text in PLAIN
        before = [before[1], item]
    return found


def _conditions(statement, report):
    for i, item in enumerate(statement[:-1]):
        if item.kind != "word" or item.text not in CONDITIONS:
            continue
        group = next((g for g in statement[i + 1:i + 3] if g.kind == "group"), None)
        if group is None or group.text != "(":
            continue
        condition = cxx.split(group.items, ";")[-1]  # what follows an init-statement
        declares = any(p.kind == "mark" and p.text == "=" for p in condition)
        if _awaits(condition) and not declares:
            report(item.line, f"an await in the condition of `{item.text}`: GCC 12 leaves the function's body out",
                   "assign the result to a local first")


def own_words(body):
    """The words of a function's body without those of closures within."""
    closure = False
    for item in body.items:
        if item.kind == "group" and item.role == "lambda":
            closure = True
        elif item.kind == "group" and item.role == "block" and closure:
            closure = False
            continue
        if item.kind == "word":
            yield item.text
        elif item.kind == "group":
            yield from own_words(item)


def _functions(group, report):
    items = group.items
    for i, item in enumerate(items):
        if item.kind != "group":
            continue
        _functions(item, report)
        body = next((b for b in items[i + 1:i + 12] if b.kind == "group" and b.text == "{"), None)
        if item.role == "lambda" and item.items and body and set(own_words(body)) & OF_A_COROUTINE:
            report(item.line, "a closure that is a coroutine: what it holds is gone when the closure is",
                   "make it a function that takes what it needs by value")
        if item.text != "(" or not item.items or i == 0:
            continue
        body = next((b for b in items[i + 1:i + 4] if b.kind == "group" and b.role == "block"), None)
        between = items[i + 1:items.index(body)] if body else []
        if not body or any(b.kind == "group" or b.text not in cxx.SPECIFIERS for b in between):
            continue
        name = items[i - 1]
        if not (name.kind == "word" and name.text not in NOT_A_CALL or name.kind == "group" and name.role == "lambda"):
            continue
        if not set(own_words(body)) & OF_A_COROUTINE:
            continue
        for j, part in enumerate(item.items):
            if part.kind == "mark" and part.text in ("&", "&&") and j:
                report(part.line, "a coroutine takes a parameter by reference: its caller's temporary may be gone",
                       "take it by value, or as a pointer to what outlives the task")


