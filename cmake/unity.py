#!/usr/bin/python3
"""Says which sources of a target are compiled together (cmake/unity.cmake).

unity.py TARGETS OUTPUT SIZE LINES   reads the lines of TARGETS (cmake/targets.cmake: name, type, folder, sources,
                                     links), writes into OUTPUT a line for each source that goes with others:
                                     target, group, source. Groups hold at most SIZE sources and LINES lines.

What a source keeps to itself in its unnamed namespaces gets a namespace of its own (source_3), so that others
may keep the same names; what the rest of the source mentions of it is brought out by a using declaration.
These names, and what a source keeps otherwise (`static`, an alias), would meet the same name in another one,
or change what a name means there: two sources go together only if neither mentions a name that the
other one shows. So nobody has to think of the other sources when naming a helper.
What OUTPUT said before stays as far as it can, so that little is compiled anew when CMake runs again.

unity.py --join UNITS FOLDER   writes the sources of each group that UNITS names (lines: group, source) as one, which is
                               called like UNITS, with the group's number, into FOLDER.
"""
import os
import re
import sys

WORD = r'[A-Za-z_][A-Za-z0-9_]*'
IGNORED = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]*)\((?:.|\n)*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
LITERALS = ['std::chrono_literals']  # a namespace that holds nothing that has a name
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NO_NAMES = {'operator', 'template', 'requires', 'static_assert', 'friend', 'extern'}
OPENED, CLOSED = 'namespace {', '}  // namespace'  # as clang-format writes them
TABLE = re.compile(r'^extern const \w+ \w+{(?:.|\n)*?};$', re.M)
MENTION = re.compile(r'(?<![\w.])(?<!->)(?<!::)' + WORD)
QUOTED_OR_MENTION = re.compile(r'"(?:\\.|[^"\\])*"|' + MENTION.pattern)


def plain(text):
    """Without comments and texts; the lines stay. A digit separator is no quote."""
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", '', text)
    return IGNORED.sub(lambda m: '\n' * m.group().count('\n') + ' ', text)


def without_templates(line):
    while True:
        shorter = re.sub(r'<[^<>()]*>', ' ', line)
        if shorter == line:
            return line
        line = shorter


def declared(line):
    """The names that a declaration beginning with this line brings in, each with what it stands for:
    an alias may be said twice, if it is the same one."""
    m = re.match(rf'(?:using|namespace) ({WORD}) *= *([^;]*)', line)
    if m:
        return {m.group(1): line.split()[0] + ' ' + ' '.join(m.group(2).split())}
    m = re.match(rf'using ([\w:]*::)({WORD});', line)
    if m:
        return {m.group(2): m.group(1)}
    line = without_templates(line)
    m = re.match(rf'(?:class|struct|union|enum(?: class)?) ({WORD})', line)
    if m:
        return {m.group(1): None}
    line = re.sub(r'\[\[[^]]*\]\]|\balignas\([^)]*\)', ' ', line)
    m = re.match(rf'[^(={{;\[]*?({WORD}) *(?:[(={{;\[]|$)', line)
    if not m or line[:m.start(1)].endswith('::') or m.group(1) in NO_NAMES:
        return {}
    more = re.findall(rf', ({WORD}) *[={{(\[]', line) if '(' not in line.split('=')[0] else []
    return dict.fromkeys([m.group(1), *more])


def without_brackets(text):
    while True:
        shorter = re.sub(r'\([^(){}\[\]]*\)|{[^(){}\[\]]*}|\[[^(){}\[\]]*\]', ' = ', text)
        if shorter == text:
            return text
        text = shorter


def constants(statement):
    """The names of a statement that declares constants: `const Path kSpec("spec"), kStatus("status");`."""
    out = []
    for part in without_brackets(without_templates(statement)).split(','):
        m = re.search(rf'({WORD}) *(?:=|$)', part)
        if m:
            out.append(m.group(1))
    return out


def kept(text):
    """The names that a source keeps to itself, as declared() has them. The form is clang-format's:
    what stands in a namespace begins at the line's."""
    names, depth, spaces = {}, 0, []
    for line in text.split('\n'):
        if depth == len(spaces) and line[:1].strip() and line[0] not in '}#)':
            if re.match(r'(inline )?namespace(?: [\w:]+)? *{\s*$', line):
                spaces.append(line.split('{')[0].strip() == 'namespace')
                depth += 1
                continue
            if re.match(r'template *<.*> *$', line):
                continue
            if any(spaces) or line.startswith(('static ', 'using ', 'namespace ')):
                line_ = re.sub(r'^template *', '', without_templates(line)) if line.startswith('template') else line
                line_ = re.sub(r'^(?:static |constexpr |constinit |const |inline |extern )+', '', line_.strip())
                if line_:
                    names.update(declared(line_))
        depth += line.count('{') - line.count('}')
        while len(spaces) > depth:
            spaces.pop()
    for m in re.finditer(r'^(?:static |inline )?(?:constexpr|const|constinit) ([^;]*);', text, re.M):
        names.update(dict.fromkeys(n for n in constants(m.group(1)) if re.match('k[A-Z]', n)))
    # The enumerators of an enum without a scope.
    for m in re.finditer(r'^enum (?!class)[^{;]*{([^}]*)}', text, re.M):
        names.update(dict.fromkeys(re.findall(rf'({WORD})\s*(?:=|,|$)', m.group(1))))
    return names


class Names:
    """What a namespace of the API's views (api::core_v1) holds: the types that api/core/v1 describes."""

    def __init__(self, root):
        self.root, self.seen = root, {}

    def of(self, space):
        if space not in self.seen:
            folder = f'{self.root}/api/{space.removeprefix("api::").replace("_", "/", 1)}'
            self.seen[space] = set()
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                with open(f'{folder}/{name}', encoding='utf-8') as f:
                    self.seen[space] |= set(re.findall(rf'^  ({WORD}):', f.read(), re.M))
        return self.seen[space]


class Headers:
    """Our headers, as sources see them: below src/ by their path, or beside them."""

    def __init__(self, root):
        self.root, self.seen, self.names = root, {}, Names(root)

    def find(self, name, beside):
        for folder in (f'{self.root}/src', beside, self.root):
            path = os.path.normpath(f'{folder}/{name}')
            if os.path.isfile(path):
                return path
        return None

    def included(self, raw, folder):
        """The headers that a text includes, at any depth."""
        out, todo = set(), [(raw, folder)]
        while todo:
            text, beside = todo.pop()
            for name in re.findall(r'^#include "([^"]+)"', text, re.M):
                path = self.find(name, beside)
                if path and path not in out:
                    out.add(path)
                    todo.append((self.text(path), os.path.dirname(path)))
        return out

    def text(self, path):
        return self.read(path)[0]

    def means(self, path, name, what):
        """Whether a header says where the name is from, and that it is from there."""
        return what is not None and f'{what.removesuffix("::")}::{name}' in self.text(path)

    def mentioned(self, path):
        return self.read(path)[1]

    def read(self, path):
        if path not in self.seen:
            with open(path, encoding='utf-8') as f:
                raw = f.read()
            self.seen[path] = (raw, set(MENTION.findall(plain(raw))))
        return self.seen[path]


def parts(raw):
    """The unnamed namespaces of a source, and what is outside of them; None where they cannot be told. Lines stay."""
    inside, outside, current = [], [], None
    for line in raw.split('\n'):
        if line in (OPENED, CLOSED):
            if (line == OPENED) == (current is not None):
                return None
            if line == OPENED:
                current = []
            else:
                inside.append('\n'.join(current))
                current = None
            outside.append('')
        elif current is None:
            outside.append(line)
        else:
            current.append(line)
            outside.append('')
    return None if current is not None else (inside, '\n'.join(outside))


def without_tables(outside):
    """What joined() need not bring out: in a table (`extern const Strategy kPod{...};`) it names the source."""
    return TABLE.sub(lambda m: '\n' * m.group().count('\n'), outside)


def outer_mentions(outside):
    """The names that the rest of a source mentions, also as those of a namespace that it opens."""
    text = plain(without_tables(outside))
    spaces = {part for names in re.findall(r'^(?:inline )?namespace ([\w:]+)', text, re.M) for part in names.split('::')}
    return set(MENTION.findall(text)) | {n for space, n in re.findall(rf'\b({WORD})::({WORD})', text) if space in spaces}


def shown(inside, outside):
    """Of each unnamed namespace the names that the rest of the source mentions, each with what it stands for."""
    mentioned = outer_mentions(outside)
    out = []
    for text in inside:
        names = kept('namespace {\n' + plain(text) + '\n}')
        out.append({name: what for name, what in names.items() if name in mentioned})
    return out


def opened(text):
    return re.findall(r'^using namespace ([\w:]+);', text, re.M)


def needed(inside, rest, names):
    """Of the namespaces that an unnamed one makes its own those whose names the rest of the source mentions."""
    return [space for space in opened(inside)
            if space not in LITERALS and (not space.startswith('api::') or not names.of(space).isdisjoint(rest))]


class Source:
    def __init__(self, path, headers):
        self.path = path
        with open(path, encoding='utf-8') as f:
            raw = f.read()
        self.known = headers
        self.headers = headers.included(raw, os.path.dirname(path))
        text = plain(raw)
        self.lines = raw.count('\n')
        inside, outside = parts(raw) or ([], raw)
        outside_text = plain(without_tables(outside))
        rest = outer_mentions(outside)
        self.mentioned = set(MENTION.findall(text))
        # What stands for something inside alone, whatever the others show: no functions, which a call finds
        # where its arguments' types are.
        self.own = set(kept('namespace {\n' + plain('\n'.join(inside)) + '\n}')) - rest
        self.own = {name for name in self.own if re.match('k?[A-Z]', name)}
        self.kept = kept(outside_text)
        for names in shown(inside, outside):
            self.kept.update(names)
        # Whole namespaces that it makes its own names, and those of them that others would see.
        self.opens = set(opened(text))
        self.shows = set(opened(outside_text)) | {space for t in inside for space in needed(t, rest, headers.names)}
        self.alone = (bool(re.search(r'^#\s*(?:define|undef|pragma|if)', text, re.M)) or 'int main(' in text or
                      any(not space.startswith('api::') for space in self.shows) or parts(raw) is None)

    def means(self, name, what):
        """Whether a name stands for `what` here as well."""
        return what is not None and (self.kept.get(name) == what or what.removesuffix('::') in self.opens)

    def keeps_from(self, other):
        """Whether the other one, or a header that it brings in, mentions what this one shows."""
        if any(name in other.mentioned and name not in other.own and not other.means(name, what)
               for name, what in self.kept.items()):
            return True
        brought = other.headers - self.headers
        if any(name in self.known.mentioned(h) and not self.known.means(h, name, what)
               for h in brought for name, what in self.kept.items()):
            return True
        for space in self.shows:
            own = self.known.names.of(space)
            if any(not self.known.means(h, name, space) for h in brought for name in own & self.known.mentioned(h)):
                return True
            if space not in other.opens and any(name not in other.own and not other.means(name, space + '::')
                                                for name in own & other.mentioned):
                return True
        return False

    def fits(self, other):
        return not self.keeps_from(other) and not other.keeps_from(self)


def still_together(sources, before):
    """The groups of before, without those that do not fit the ones before them any more."""
    out = []
    for paths in before:
        group = []
        for s in (sources[p] for p in paths if p in sources):
            if not s.alone and all(s.fits(o) for o in group):
                group.append(s)
        if group:
            out.append(group)
    return out


def groups(sources, before, size, lines):
    """Those that few others can stand beside first, each to the smallest group that takes it."""
    out = still_together({s.path: s for s in sources}, before)
    placed = {s.path for group in out for s in group}
    sources = [s for s in sources if not s.alone]
    foes = {s.path: sum(not s.fits(o) for o in sources) for s in sources}
    wanted = -(-len(sources) // size)
    for s in sorted(sources, key=lambda s: (-foes[s.path], s.path)):
        if s.path in placed:
            continue
        able = [g for g in out if len(g) < size and sum(o.lines for o in g) + s.lines <= lines
                and all(s.fits(o) for o in g)]
        if able and len(out) >= wanted:
            min(able, key=lambda g: sum(o.lines for o in g)).append(s)
        else:
            out.append([s])
    return [g for g in out if len(g) > 1]


def read_groups(path):
    """target -> its groups, lists of paths."""
    out = {}
    if os.path.exists(path):
        for line in open(path, encoding='utf-8'):
            target, group, source = line.rstrip('\n').split('\t')
            out.setdefault(target, {}).setdefault(group, []).append(source)
    return {target: list(known.values()) for target, known in out.items()}


def closing(number, names, opens):
    """The end of an unnamed namespace, with what the rest of the source needs of it."""
    out = ['} }'] + [f'using namespace {space};' for space in opens]
    for name, what in sorted(names.items()):
        alias = what and what.startswith('namespace ')
        out.append(f'namespace {name} = source_{number}::{name};' if alias else f'using source_{number}::{name};')
    return ' '.join(out)


def joined(sources, names):
    """Sources as one, each of their unnamed namespaces in one of its own. sources: (path, text); names: Names."""
    out = []
    for number, (path, raw) in enumerate(sources):
        out.append(f'#line 1 "{path}"')
        inside, outside = parts(raw)
        own = set(kept('namespace {\n' + plain('\n'.join(inside)) + '\n}'))
        rest = outer_mentions(outside)
        closings = iter([closing(number, kept_, needed(text, rest, names) + LITERALS * (LITERALS[0] in text))
                         for kept_, text in zip(shown(inside, outside), inside)])
        raw = TABLE.sub(lambda table: QUOTED_OR_MENTION.sub(
            lambda m: f'source_{number}::{m.group()}' if m.group() in own else m.group(), table.group()), raw)
        for line in raw.split('\n'):
            if line == OPENED:
                line = f'namespace source_{number} {{ namespace {{'
            elif line == CLOSED:
                line = next(closings)
            out.append(line)
    return '\n'.join(out) + '\n'


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def write(path, text):
    """Unless it says so already: what was made of it stays good."""
    if not os.path.exists(path) or read(path) != text:
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)


def join(units, folder):
    groups = {}
    for line in read(units).splitlines():
        group, path = line.split('\t')
        groups.setdefault(group, []).append(path)
    name = os.path.splitext(os.path.basename(units))[0]
    names = Names(ROOT)
    for group, paths in groups.items():
        write(f'{folder}/{name}_{group}.cc', joined([(p, read(p)) for p in paths], names))


def main():
    if sys.argv[1] == '--join':
        return join(sys.argv[2], sys.argv[3])
    targets, output, size, lines = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    headers = Headers(ROOT)
    before, rows = read_groups(output), []
    for line in open(targets, encoding='utf-8'):
        name, _, folder, sources, _ = line.rstrip('\n').split('\t')
        paths = [os.path.join(folder, s) for s in sources.split(';') if s.endswith('.cc')]
        known = [Source(p, headers) for p in paths if os.path.exists(p) and '/generated/' not in p]
        for i, group in enumerate(groups(known, before.get(name, []), size, lines)):
            rows += [f'{name}\t{i}\t{s.path}\n' for s in group]
    with open(output, 'w', encoding='utf-8') as f:
        f.writelines(rows)


if __name__ == '__main__':
    main()
