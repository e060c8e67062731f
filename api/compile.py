#!/usr/bin/python3
"""Compiles the API description (api/GROUP/VERSION/*.yaml) into C++: constant descriptor tables and
the typed accessor headers api/GROUP_VERSION.h. Form of the description: api/README.md.

compile.py SOURCE_DIR OUTPUT_DIR          writes OUTPUT_DIR/api/*.h and OUTPUT_DIR/*.cc
compile.py --list SOURCE_DIR OUTPUT_DIR   prints the files it would write, one a line
"""
import json
import os
import re
import sys

import yaml

Loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)

SCALARS = {
    'string': 'kString', 'bool': 'kBool', 'int32': 'kInt32', 'int64': 'kInt64',
    'uint32': 'kUint32', 'uint64': 'kUint64', 'double': 'kDouble', 'float': 'kFloat',
    'bytes': 'kBytes', 'quantity': 'kQuantity', 'time': 'kTime', 'microtime': 'kMicroTime',
    'duration': 'kDuration', 'int-or-string': 'kIntOrString', 'any': 'kRaw',
}
FORMS = {'schema-or-array': 'kSchemaOrArray', 'schema-or-bool': 'kSchemaOrBool',
         'schema-or-strings': 'kSchemaOrStrings'}
ALL_VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
FIELD_KEYS = {'type', 'proto', 'required', 'always', 'omit', 'pointer', 'value', 'inline', 'wrapped',
              'default', 'enum', 'list', 'keys', 'patch', 'merge', 'map', 'oneof', 'doc', 'inert', 'rules'}
INERT_KEYS = {'except', 'unless', 'keys'}
# What `rules` of a field can say (api/README.md); those of Limits with their names there.
LIMITS = {'min': 'minimum', 'max': 'maximum', 'min-length': 'min_length', 'max-length': 'max_length',
          'min-items': 'min_items', 'max-items': 'max_items'}
TEXT_CHECKS = {n: 'check_' + n.replace('-', '_') for n in (
    'dns1123-label', 'dns1123-subdomain', 'dns1035-label', 'wildcard-dns1123-subdomain', 'qualified-name',
    'label-value', 'path-segment-name', 'config-map-key', 'env-var-name', 'port-name', 'ip', 'cidr', 'percent',
    'http-header-name')}
WHOLE_CHECKS = {'labels': 'validate_labels', 'annotations': 'validate_annotations',
                'label-selector': 'validate_label_selector'}
RULE_FLAGS = {'immutable': 'immutable', 'set-once': 'set_once', 'not-empty': 'not_empty'}
RULE_KEYS = {*LIMITS, *RULE_FLAGS, 'range', 'format', 'keys', 'whole', 'pattern', 'quantity', 'unique', 'detail',
             'items', 'words'}
UNION_KEYS = {'exactly-one-of', 'at-most-one-of'}
KIND_KEYS = {'bare', 'categories', 'claims-addresses', 'columns', 'computed', 'create-on-update',
             'delete-warning', 'deletion', 'deprecated', 'generation', 'group', 'inert',
             'keeps-empty', 'key', 'list', 'name', 'orphans', 'patient-updates', 'plural', 'pod-template',
             'returns-deleted', 'scope', 'selectable', 'short', 'singular', 'status-on-create',
             'stored', 'strategy', 'subresources', 'unconditional-update', 'verbs'}
SUBRESOURCE_KEYS = {'kind', 'group', 'version', 'verbs', 'replicas', 'observed', 'selector'}
# Facts of kinds whose value is a word (src/machinery/kind_facts.h).
WORDS = {
    'name': {'subdomain': 'kSubdomain', 'label': 'kLabel', 'label-1035': 'kLabel1035',
             'path-segment': 'kPathSegment', 'strategy': 'kStrategy'},
    'generation': {'none': 'kNone', 'content': 'kContent', 'constant': 'kConstant',
                   'content-or-annotations': 'kContentOrAnnotations',
                   'content-or-labels': 'kContentOrLabels'},
    'deletion': {'at-once': 'kAtOnce', 'graceful': 'kGraceful',
                 'spec-finalizers': 'kSpecFinalizers'},
}
KEYWORDS = set('''alignas and asm auto bool break case catch char class const continue default
delete do double else enum explicit export extern false float for friend goto if inline int long
mutable namespace new not operator or private protected public register return short signed sizeof
static struct switch template this throw true try typedef union unsigned using virtual void
volatile while xor descriptor'''.split())
EXTRA_DEPS = {}


def fail(where, what):
    sys.exit(f'api: {where}: {what}')


def snake(name):
    words = re.findall(
        r'[A-Z]+s(?=[A-Z]|$)|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+[0-9]*|[0-9]+', name)
    out = '_'.join(w.lower() for w in words)
    return out + '_' if out in KEYWORDS else out


def lit(text):
    return json.dumps(text, ensure_ascii=False) if text else '""'


class Field:
    def __init__(self, where, name, spec, package):
        unknown = set(spec) - FIELD_KEYS
        if unknown:
            fail(where, f'unknown key {sorted(unknown)}')
        self.name, self.spec, self.where = name, spec, where
        text = spec['type']
        self.card = 'kList' if text.startswith('[]') else 'kMap' if text.startswith('{}') else 'kSingle'
        base = text[2:] if self.card != 'kSingle' else text
        self.message = self.enum = None
        self.base = base
        if base in SCALARS:
            self.type = SCALARS[base]
        elif '.' in base:
            self.type, self.message = 'kMessage', tuple(base.rsplit('.', 1))
        elif base in package.enums:
            self.type, self.enum = 'kEnum', base
        else:
            self.type, self.message = 'kMessage', (package.dir, base)
        self.number = spec.get('proto', 0)
        required = spec.get('required', False)
        self.required = required
        single = self.card == 'kSingle'
        if single and self.type == 'kMessage':
            self.pointer = not (required or spec.get('value')) or spec.get('pointer', False)
        else:
            self.pointer = spec.get('pointer', False)
        # What JSON writes even when empty: required fields, Go structs that are not pointers, and
        # scalars that Go keeps in structs.
        always = required or spec.get('always', False)
        if single and not self.pointer and self.type in ('kMessage', 'kTime', 'kMicroTime',
                                                         'kQuantity', 'kIntOrString', 'kRaw'):
            always = True
        self.omit_empty = spec.get('omit', False) or not always
        if package.proto3:
            self.omit_empty = True
            self.pointer = single and self.type == 'kMessage' or 'oneof' in spec
        self.default = json.dumps(spec['default'], separators=(',', ':')) if 'default' in spec else ''
        # None, or the conditions under which nothing acts on the field: {} is always.
        self.inert = {} if spec.get('inert') is True else spec.get('inert')
        if self.inert is not None and set(self.inert) - INERT_KEYS:
            fail(where, f'unknown key of inert {sorted(set(self.inert) - INERT_KEYS)}')


class Type:
    def __init__(self, package, name, spec, where):
        self.package, self.name, self.spec, self.where = package, name, spec, where
        self.fields = []   # flattened, JSON order
        self.wire = []     # (number, field index | list of the same)
        self.is_kind = False
        self.resolved = False
        self.full = f'{package.package}.{name}'
        self.form = 'kItems' if 'items' in spec else FORMS.get(spec.get('form'), 'kObject')

    @property
    def symbol(self):
        return f'type_{self.package.ident}_{self.name}'

    def resolve(self, world):
        """Flattens inline structs; fills fields and wire."""
        if self.resolved:
            return
        self.resolved = True
        specs = self.spec.get('fields') or {}
        if self.form == 'kItems':
            specs = {'items': {'type': '[]' + self.spec['items'], 'proto': 1}}
        if self.is_kind and not self.spec.get('bare'):
            for n in ('kind', 'apiVersion'):
                self.fields.append((Field(self.where, n, {'type': 'string'}, self.package), False))
        for name, spec in specs.items():
            f = Field(f'{self.where}: {self.name}.{name}', name, spec, self.package)
            if f.message and f.message not in world.types:
                fail(f.where, f'no type {f.message[0]}.{f.message[1]}')
            if not spec.get('inline'):
                if f.number:
                    self.wire.append((f.number, len(self.fields)))
                self.fields.append((f, False))
                continue
            inner = world.types[f.message]
            inner.resolve(world)
            offset = len(self.fields)

            def shift(wire):
                return [(n, x + offset if isinstance(x, int) else shift(x)) for n, x in wire]
            self.wire.append((f.number, shift(inner.wire)))
            self.fields += [(g, True) for g, _ in inner.fields]
        self.wire.sort(key=lambda e: e[0])
        numbers = [n for n, _ in self.wire]
        if len(set(numbers)) != len(numbers):
            fail(self.where, f'{self.name}: a protobuf number is used twice')
        names = [f.name for f, _ in self.fields]
        if len(set(names)) != len(names):
            fail(self.where, f'{self.name}: a field name is used twice')


class Kind:
    def __init__(self, package, name, spec, is_list=False):
        self.package, self.name, self.spec = package, name, spec or {}
        self.group = self.spec.get('group', package.group)
        self.version = package.version
        self.is_list = is_list
        self.type = name
        self.where = f'{package.dir}: {name}'
        self.symbol = f'kind_{package.ident}_{name}'
        unknown = set(self.spec) - KIND_KEYS
        for sub in (self.spec.get('subresources') or {}).values():
            unknown |= set(sub) - SUBRESOURCE_KEYS
        if unknown:
            fail(self.where, f'unknown key {sorted(unknown)}')

    def word(self, key):
        """The enumerator that a fact's word stands for; the first is the default."""
        words = WORDS[key]
        word = self.spec.get(key, next(iter(words)))
        if word not in words:
            fail(self.where, f'{key}: {word} is none of {list(words)}')
        return words[word]


class Package:
    def __init__(self, source, directory):
        self.dir = directory
        self.ident = directory.replace('/', '_')
        with open(f'{source}/{directory}/group.yaml') as f:
            g = yaml.load(f, Loader)
        self.group, self.version, self.package = g['group'], g['version'], g['package']
        self.proto3 = g.get('syntax') == 'proto3'
        self.priority = g.get('priority')
        self.types, self.kinds, self.enums, self.services = {}, [], {}, {}
        files = sorted(f for f in os.listdir(f'{source}/{directory}')
                       if f.endswith('.yaml') and f != 'group.yaml')
        loaded = []
        for name in files:
            with open(f'{source}/{directory}/{name}') as f:
                d = yaml.load(f, Loader) or {}
            loaded.append((f'{directory}/{name}', d))
            self.enums.update(d.get('enums') or {})
            self.services.update(d.get('services') or {})
        for where, d in loaded:
            for tname, spec in (d.get('types') or {}).items():
                if tname in self.types:
                    fail(where, f'type {tname} is described twice')
                self.types[tname] = Type(self, tname, spec or {}, where)
            for kname, spec in (d.get('kinds') or {}).items():
                kind = Kind(self, kname, spec)
                self.kinds.append(kind)
                if kname not in self.types:
                    fail(where, f'kind {kname} has no type')
                self.types[kname].is_kind = True
                self.types[kname].spec.setdefault('bare', kind.spec.get('bare', False))
                if kind.spec.get('list'):
                    lname = kind.spec['list']
                    self.types[lname] = Type(self, lname, {'fields': {
                        'metadata': {'type': 'meta/v1.ListMeta', 'proto': 1, 'value': True},
                        'items': {'type': '[]' + kname, 'proto': 2, 'required': True}}}, where)
                    self.types[lname].is_kind = True
                    self.kinds.append(Kind(self, lname, {'group': kind.group}, True))


class World:
    def __init__(self, source):
        dirs = sorted(f'{g}/{v}' for g in os.listdir(source) if os.path.isdir(f'{source}/{g}')
                      for v in os.listdir(f'{source}/{g}')
                      if os.path.exists(f'{source}/{g}/{v}/group.yaml'))
        self.packages = [Package(source, d) for d in dirs]
        self.types = {(p.dir, t.name): t for p in self.packages for t in p.types.values()}
        for t in self.types.values():
            t.resolve(self)
        # Which types hold a default, or rules, at any depth.
        self.defaulted = self.holding(lambda t: t.spec.get('hook') or any(f.default for f, _ in t.fields))
        self.ruled = self.holding(lambda t: t.spec.get('rules') or any(
            f.spec.get('rules') or f.spec.get('enum') or f.required for f, _ in t.fields))

    def holding(self, own):
        out = {k for k, t in self.types.items() if own(t)}
        more = True
        while more:
            more = {k for k, t in self.types.items()
                    if k not in out and any(f.message in out for f, _ in t.fields)}
            out |= more
        return out


# --- descriptor tables ---------------------------------------------------------------------------

class Strings:
    """Arrays of string_views, shared within one file."""

    def __init__(self):
        self.seen, self.lines = {}, []

    def span(self, values):
        if not values:
            return '{}'
        key = tuple(values)
        if key not in self.seen:
            self.seen[key] = f'strings_{len(self.seen)}'
            body = ', '.join(lit(v) for v in values)
            self.lines.append(f'constexpr std::string_view {self.seen[key]}[] = {{{body}}};')
        return self.seen[key]


class Rules:
    """The rules of fields and types of one file, each said once (src/machinery/value_rules.h)."""

    def __init__(self, strings):
        self.strings, self.seen, self.lines = strings, {}, []

    def const(self, kind, body, form='constexpr {kind} {name} = {{{body}}};'):
        if (kind, body) not in self.seen:
            name = f'{kind.lower()}_{len(self.seen)}'
            self.seen[kind, body] = name
            self.lines.append(form.format(kind=kind, name=name, body=body))
        return self.seen[kind, body]

    def of(self, where, spec):
        """The expression for a pointer to them."""
        if not spec:
            return 'nullptr'
        unknown = set(spec) - RULE_KEYS
        if unknown:
            fail(where, f'unknown rule {sorted(unknown)}')
        limits = {LIMITS[k]: v for k, v in spec.items() if k in LIMITS}
        said = {RULE_FLAGS[k]: 'true' for k, v in spec.items() if k in RULE_FLAGS and v}
        if 'range' in spec:
            limits['minimum'], limits['maximum'] = spec['range']
            said['sized_as_range'] = 'true'
        for key, member, checks in (('format', 'text', TEXT_CHECKS), ('keys', 'key', TEXT_CHECKS),
                                    ('whole', 'whole', WHOLE_CHECKS)):
            if key not in spec:
                continue
            if spec[key] not in checks:
                fail(where, f'no {key} {spec[key]!r}')
            said[member] = '&' + checks[spec[key]]
        if 'quantity' in spec:
            if spec['quantity'] != 'nonnegative':
                fail(where, 'a quantity is nonnegative or has no rule')
            said['quantity'] = 'true'
        if 'unique' in spec:
            said['unique'] = self.strings.span([''] if spec['unique'] is True else spec['unique'])
        if 'words' in spec:
            said['words'] = self.strings.span(spec['words'])
        if 'detail' in spec:
            said['detail'] = lit(spec['detail'])
        parts = {}
        if limits:
            order = ['minimum', 'maximum', 'min_length', 'max_length', 'min_items', 'max_items']
            parts['limits'] = '&' + self.const('Limits', ', '.join(
                f'.{k} = {limits[k]}' for k in order if k in limits))
        if 'pattern' in spec:
            parts['pattern'] = '&' + self.const('Pattern', lit(spec['pattern']),
                                                'constinit const {kind} {name}{{{body}}};')
        if 'items' in spec:
            parts['items'] = self.of(where, spec['items'])
        return self.emit(parts, said)

    def of_type(self, t):
        spec = t.spec.get('rules')
        if not spec:
            return 'nullptr'
        unknown = set(spec) - UNION_KEYS
        if unknown:
            fail(t.where, f'{t.name}: unknown rule {sorted(unknown)}')
        names = {f.name for f, _ in t.fields}
        rows = []
        for key, exactly in (('exactly-one-of', 'true'), ('at-most-one-of', 'false')):
            for fields in spec.get(key, []):
                if set(fields) - names:
                    fail(t.where, f'{t.name}: no field {sorted(set(fields) - names)}')
                rows.append(f'{{{self.strings.span(fields)}, {exactly}}}')
        unions = self.const('UnionRule', ', '.join(rows), 'constexpr {kind} {name}[] = {{{body}}};')
        return self.emit({}, {'unions': unions})

    def emit(self, parts, said):
        if said:
            order = ['text', 'key', 'whole', 'immutable', 'set_once', 'quantity', 'not_empty',
                     'sized_as_range', 'detail', 'unions', 'words', 'unique']
            parts['described'] = '&' + self.const('DescribedRules', ', '.join(
                f'.{k} = {said[k]}' for k in order if k in said))
        order = ['limits', 'pattern', 'items', 'described']
        return '&' + self.const('ValueRules', ', '.join(f'.{k} = {parts[k]}' for k in order if k in parts),
                                'constinit const {kind} {name} = {{{body}}};')


def field_row(world, f, embedded, strings, rules, package):
    s = f.spec
    message = f'&{world.types[f.message].symbol}' if f.message else 'nullptr'
    enum = f'&enum_{package.ident}_{f.enum}' if f.enum else 'nullptr'
    list_type = {'set': 'kSet', 'map': 'kMap'}.get(s.get('list'), 'kAtomic')
    flags = [s.get('list') == 'atomic', s.get('map') == 'atomic', embedded, f.required,
             f.omit_empty, f.pointer, s.get('wrapped', False), False, False]
    return ('    {' + ', '.join([
        lit(f.name), f'FieldType::{f.type}', f'Cardinality::{f.card}', f'ListType::{list_type}',
        *('true' if x else 'false' for x in flags), str(f.number), message, enum,
        'nullptr', rules.of(f.where, s.get('rules')), 'nullptr', lit(f.default), strings.span(s.get('enum')),
        strings.span(s.get('keys')), lit(s.get('patch', '')), lit(s.get('merge', '')),
        lit(s.get('oneof', '')), lit(s.get('doc', ''))]) + '},')


def wire_rows(name, wire, out):
    rows = []
    for i, (number, target) in enumerate(wire):
        if isinstance(target, int):
            rows.append(f'    {{{number}, {target}, 0, nullptr}},')
        else:
            inner = f'{name}_{i}'
            wire_rows(inner, target, out)
            rows.append(f'    {{{number}, -1, {len(target)}, {inner if target else "nullptr"}}},')
    if rows:
        out.append(f'constexpr WireEntry {name}[] = {{')
        out += rows
        out.append('};')


def emit_types(world, package, types, first, path):
    strings, body, hooks = Strings(), [], set()
    rules = Rules(strings)
    for t in types:
        base = t.symbol[5:]
        rows = [field_row(world, f, e, strings, rules, t.package) for f, e in t.fields]
        if rows:
            body.append(f'constexpr FieldDesc fields_{base}[] = {{')
            body += rows
            body.append('};')
            order = sorted(range(len(t.fields)), key=lambda i: t.fields[i][0].name.encode())
            body.append(f'constexpr uint16_t names_{base}[] = {{{", ".join(map(str, order))}}};')
        wire_rows(f'wire_{base}', t.wire, body)
        hook = t.spec.get('hook')
        if hook:
            hooks.add(hook)
        body.append(f'constinit const TypeDesc {t.symbol} = {{{lit(t.full)}, ' + ', '.join([
            f'fields_{base}' if rows else '{}', f'names_{base}' if rows else '{}',
            f'wire_{base}' if t.wire else '{}', f'Form::{t.form}',
            'true' if package.proto3 else 'false',
            'true' if t.spec.get('map') == 'atomic' else 'false',
            'true' if (package.dir, t.name) in world.defaulted else 'false',
            'true' if (package.dir, t.name) in world.ruled else 'false',
            'false', 'false', 'false', 'nullptr', rules.of_type(t),
            f'&default_{hook}' if hook else 'nullptr', lit(t.spec.get('doc', ''))]) + '};')
    if first:
        body = enum_rows(package) + body
    named = {package.ident} | {world.types[f.message].package.ident
                               for t in types for f, _ in t.fields if f.message}
    with open(path, 'w') as out:
        out.write('// Made by api/compile.py.\n' + ''.join(
            f'#include "{ident}_tables.h"\n' for ident in sorted(named)) + '\n')
        if hooks:
            out.write('#include "machinery/default_hooks.h"\n\n')
        if rules.lines:
            out.write('#include "machinery/value_rules.h"\n\n')
        out.write('namespace keles::tables {\nnamespace {\n' + '\n'.join(strings.lines + rules.lines) +
                  '\n}  // namespace\n')
        out.write('\n'.join(body) + '\n}  // namespace keles::tables\n')


def group_resource(kind):
    plural = kind.spec.get('plural', '')
    return f'{plural}.{kind.group}' if kind.group and plural else plural


def strategy_names(world):
    """Every strategy that a kind names, each once; a kind's number is its place here, from 1."""
    return sorted({k.spec['strategy'] for p in world.packages for k in p.kinds
                   if 'strategy' in k.spec})


def facts_row(world, package, kind, strategies):
    """The kind's KindFacts (src/machinery/kind_facts.h)."""
    s = kind.spec
    key = s.get('key', s.get('plural', ''))
    stored = 'nullptr'
    if 'stored' in s:
        home = [p for p in world.packages if p.dir == s['stored']]
        if not home or kind.name not in [k.name for k in home[0].kinds]:
            fail(kind.where, f'stored: no {kind.name} in {s["stored"]}')
        stored = f'&kind_{home[0].ident}_{kind.name}'
    number = strategies.index(s['strategy']) + 1 if 'strategy' in s else 0
    flags = [('computed', False), ('create-on-update', False), ('unconditional-update', True),
             ('returns-deleted', False), ('orphans', False), ('keeps-empty', False),
             ('status-on-create', False), ('claims-addresses', False), ('patient-updates', False)]
    for name, usual in flags:
        if s.get(name, not usual) == usual:
            fail(kind.where, f'{name}: {usual} need not be said'.lower())
    template = s.get('pod-template', '')
    find_field(world, package, kind, template)
    scale = (s.get('subresources') or {}).get('scale', {})
    paths = [scale.get(x, '') for x in ('replicas', 'observed', 'selector')]
    for x in paths:
        find_field(world, package, kind, x)
    return ('{' + ', '.join([
        lit(f'/registry/{key}/' if key else ''), stored, str(number),
        f'NameRule::{kind.word("name")}', f'GenerationRule::{kind.word("generation")}',
        f'DeletionRule::{kind.word("deletion")}',
        *('true' if s.get(name, usual) else 'false' for name, usual in flags),
        lit(s.get('delete-warning', '')), lit(s.get('deprecated', '')), lit(template),
        '{' + ', '.join(map(lit, paths)) + '}']) + '}')


def find_field(world, package, kind, path):
    """Refuses a dotted path that leads nowhere in the kind."""
    if not path:
        return
    at = (package.dir, kind.name)
    for name in path.split('.'):
        found = [f for f, _ in world.types[at].fields if f.name == name] if at else []
        if not found:
            fail(kind.where, f'{path}: no such field')
        at = found[0].message


def emit_strategies(world, path):
    """The strategies by number, for src/server/registry/strategy.cc."""
    names = [f'k{"".join(w.capitalize() for w in n.split("_"))}Strategy'
             for n in strategy_names(world)]
    with open(path, 'w') as out:
        out.write('// Made by api/compile.py.\n#include "server/registry/strategy.h"\n\n'
                  'namespace keles::registry {\n')
        out.writelines(f'extern const Strategy {n};\n' for n in names)
        out.write('namespace {\nconstexpr const Strategy* kAll[] = {nullptr' +
                  ''.join(f', &{n}' for n in names) + '};\n}  // namespace\n')
        out.write('std::span<const Strategy* const> described_strategies() { return kAll; }\n'
                  '}  // namespace keles::registry\n')


def emit_kinds(world, path):
    strings, body, kinds = Strings(), [], []
    strategies = strategy_names(world)
    for p in world.packages:
        for k in p.kinds:
            s, sym = k.spec, k.symbol
            subs, cols = s.get('subresources') or {}, s.get('columns') or []
            if subs:
                body.append(f'constexpr SubresourceDesc subs_{sym}[] = {{')
                for name, x in subs.items():
                    body.append('    {' + ', '.join([lit(name), *(lit(x.get(a, '')) for a in (
                        'kind', 'group', 'version')), strings.span(x['verbs'])]) + '},')
                body.append('};')
            if cols:
                body.append(f'constexpr ColumnDesc cols_{sym}[] = {{')
                for c in cols:
                    body.append('    {' + ', '.join([
                        lit(c['name']), lit(c.get('type', 'string')), lit(c.get('format', '')),
                        lit(c.get('doc', '')), str(c.get('priority', 0)), lit(c.get('path', ''))]) + '},')
                body.append('};')
            facts = 'no_facts'
            if s.get('plural'):
                facts = f'facts_{sym}'
                body.append(f'constinit const KindFacts {facts} = '
                            f'{facts_row(world, p, k, strategies)};')
            verbs = s.get('verbs', ALL_VERBS if s.get('plural') else [])
            av = f'{k.group}/{k.version}' if k.group else k.version
            body.append(f'constinit const KindDesc {sym} = {{' + ', '.join([
                lit(k.group), lit(k.version), lit(k.name), lit(s.get('list', '')),
                lit(s.get('plural', '')), lit(s.get('singular', '')),
                'true' if s.get('scope') == 'namespaced' else 'false', strings.span(s.get('short')),
                strings.span(s.get('categories')), strings.span(verbs),
                f'subs_{sym}' if subs else '{}', f'cols_{sym}' if cols else '{}',
                strings.span(s.get('selectable')), f'&{p.types[k.name].symbol}', lit(av),
                lit(group_resource(k)), 'true' if s.get('bare') else 'false',
                'true' if k.is_list else 'false', f'&{facts}']) + '};')
            kinds.append((k, sym))
    by_kind = sorted(kinds, key=lambda x: (x[0].group, x[0].version, x[0].name))
    served = sorted((x for x in kinds if x[0].spec.get('plural')),
                    key=lambda x: (x[0].group, x[0].version, x[0].spec['plural']))
    types = sorted(world.types.values(), key=lambda t: t.full)
    with open(path, 'w') as out:
        out.write('// Made by api/compile.py.\n#include "kinds.h"\n\n'
                  '#include "machinery/kind_facts.h"\n' + include_all_tables(world) + '\n')
        out.write('namespace keles::tables {\nnamespace {\nconstexpr KindFacts no_facts;\n' +
                  '\n'.join(strings.lines) + '\n}  // namespace\n' + '\n'.join(body) + '\n')
        rows = sorted((p.group, p.version, *(p.priority[x] for x in ('group', 'version')))
                      for p in world.packages if p.priority)
        out.write('constexpr GroupVersionFacts group_versions_[] = {' + ', '.join(
            f'{{{lit(g)}, {lit(v)}, {a}, {b}}}' for g, v, a, b in rows) + '};\n')
        out.write('constinit const std::span<const GroupVersionFacts> group_versions = '
                  'group_versions_;\n')
        for name, rows in (('kinds_by_name', by_kind), ('kinds_served', served)):
            out.write(f'constinit const KindDesc* const {name}_[] = {{' +
                      ', '.join('&' + s for _, s in rows) + '};\n')
            out.write(f'constinit const std::span<const KindDesc* const> {name} = {name}_;\n')
        out.write('constinit const TypeDesc* const types_by_name_[] = {' +
                  ', '.join('&' + t.symbol for t in types) + '};\n')
        out.write('constinit const std::span<const TypeDesc* const> types_by_name = types_by_name_;\n')
        out.write('}  // namespace keles::tables\n')


def emit_tables(package, path):
    """What a group has tables of; whoever refers to another group's includes that one's."""
    with open(path, 'w') as out:
        out.write('// Made by api/compile.py.\n#pragma once\n\n#include "machinery/schema.h"\n\n')
        out.write('namespace keles::tables {\n')
        out.writelines(f'extern const EnumDesc enum_{package.ident}_{e};\n' for e in package.enums)
        out.writelines(f'extern const TypeDesc {t.symbol};\n' for t in package.types.values())
        out.writelines(f'extern const KindDesc kind_{package.ident}_{k.name};\n' for k in package.kinds)
        out.write('}  // namespace keles::tables\n')


def emit_kinds_header(path):
    with open(path, 'w') as out:
        out.write('// Made by api/compile.py.\n#pragma once\n\n#include "machinery/kind_facts.h"\n'
                  '#include "machinery/schema.h"\n\n')
        out.write('namespace keles::tables {\n')
        out.write('extern const std::span<const GroupVersionFacts> group_versions;\n')
        out.write('extern const std::span<const KindDesc* const> kinds_by_name;\n')
        out.write('extern const std::span<const KindDesc* const> kinds_served;\n')
        out.write('extern const std::span<const TypeDesc* const> types_by_name;\n')
        out.write('}  // namespace keles::tables\n')


def include_all_tables(world):
    return ''.join(f'#include "{p.ident}_tables.h"\n' for p in world.packages)


def enum_rows(package):
    out = []
    for e, values in package.enums.items():
        rows = ', '.join(f'{{{lit(n)}, {v}}}' for n, v in values.items())
        out.append(f'static constexpr EnumValue values_{package.ident}_{e}[] = {{{rows}}};')
        out.append(f'constinit const EnumDesc enum_{package.ident}_{e} = '
                   f'{{{lit(e)}, values_{package.ident}_{e}}};')
    return out


def emit_inert(world, path):
    """What nothing acts on (src/machinery/inert.h): by type, with the ways to types within."""
    holding = {k for k, t in world.types.items() if any(f.inert is not None for f, _ in t.fields)}
    changed = True
    while changed:
        more = {k for k, t in world.types.items()
                if k not in holding and any(f.message in holding for f, _ in t.fields)}
        holding |= more
        changed = bool(more)
    strings, body, rows = Strings(), [], []
    for k in sorted(holding, key=lambda k: world.types[k].full):
        t = world.types[k]
        fields = []
        for f, _ in t.fields:
            if f.inert is None:
                continue
            unless = list((f.inert.get('unless') or {'': ''}).items())
            if len(unless) != 1:
                fail(f.where, 'inert: unless names one field')
            fields.append('    {' + ', '.join([
                lit(f.name), strings.span(f.inert.get('except')), strings.span(f.inert.get('keys')),
                lit(unless[0][0]), lit(unless[0][1])]) + '},')
        if fields:
            body += [f'constexpr InertField inert_{t.symbol}[] = {{', *fields, '};']
        inner = [f.name for f, _ in t.fields if f.message in holding and f.inert is None
                 and not (t.is_kind and f.name == 'status')]
        rows.append(f'    {{&{t.symbol}, {f"inert_{t.symbol}" if fields else "{}"}, '
                    f'{strings.span(inner)}}},')
    kinds = [f'    {{&kind_{p.ident}_{k.name}, {lit(k.spec["inert"])}}},'
             for p in world.packages for k in p.kinds if 'inert' in k.spec]
    with open(path, 'w') as out:
        out.write('// Made by api/compile.py.\n#include "machinery/inert.h"\n\n' +
                  include_all_tables(world) + '\nnamespace keles::tables {\nnamespace {\n')
        out.write('\n'.join(strings.lines + body) + '\n')
        for name, kind, lines in (('types', 'InertType', rows), ('kinds', 'InertKind', kinds)):
            out.write('\n'.join([f'constexpr std::array<{kind}, {len(lines)}> {name}_ = {{{{',
                                 *lines, '}};\n']))
        out.write('}  // namespace\n')
        for name, kind in (('types', 'InertType'), ('kinds', 'InertKind')):
            out.write(f'extern const std::span<const {kind}> inert_{name};\n'
                      f'constinit const std::span<const {kind}> inert_{name} = {name}_;\n')
        out.write('}  // namespace keles::tables\n')


# --- accessors -----------------------------------------------------------------------------------

STRINGY = {'kString', 'kBytes', 'kQuantity', 'kTime', 'kMicroTime', 'kDuration', 'kEnum'}
INTS = {'kInt32', 'kInt64', 'kUint32', 'kUint64'}


def cpp_element(world, package, f, edit):
    """The C++ type of one element of f."""
    if f.type in STRINGY:
        return 'std::string_view'
    if f.type in INTS:
        return 'int64_t'
    if f.type == 'kBool':
        return 'bool'
    if f.type in ('kDouble', 'kFloat'):
        return 'double'
    if f.type in ('kRaw', 'kIntOrString'):
        return '::keles::Value'
    t = world.types[f.message]
    if t.form == 'kItems':
        inner = t.fields[0][0]
        return f'::keles::List<{cpp_element(world, package, inner, False)}>'
    if t.form != 'kObject':
        return '::keles::Value'
    name = t.name if t.package is package else f'{t.package.ident}::{t.name}'
    return name + 'Edit' if edit else name


READ_SCALAR = {'std::string_view': 'as_string', 'int64_t': 'as_int', 'bool': 'as_bool',
               'double': 'as_double'}


def accessors(world, package, t, done):
    """(read view lines, edit view lines, out-of-class definitions) of one type."""
    read, edit, late = [], [], []
    for f, _ in t.fields:
        n, key = snake(f.name), lit(f.name)
        element = cpp_element(world, package, f, False)
        is_view = f.type == 'kMessage' and element[0] != ':'
        raw = element == '::keles::Value'
        read.append(f'  bool has_{n}() const {{ return has_({key}); }}')
        edit.append(f'  void clear_{n}() {{ erase_({key}); }}')
        if f.card == 'kMap':
            read.append(f'  ::keles::Map<{element}> {n}() const {{ return ::keles::Map<{element}>(at_({key})); }}')
            edit.append(f'  ::keles::MapEdit edit_{n}() {{ return ::keles::MapEdit(slot_({key})); }}')
            edit.append(f'  void set_{n}(const ::keles::View& v) {{ put_copy_({key}, v); }}')
        elif f.card == 'kList':
            read.append(f'  ::keles::List<{element}> {n}() const {{ return ::keles::List<{element}>(at_({key})); }}')
            e = cpp_element(world, package, f, True) if is_view else element
            edit.append(f'  ::keles::ListEdit<{e}> edit_{n}() {{ return ::keles::ListEdit<{e}>(slot_({key})); }}')
            edit.append(f'  void set_{n}(const ::keles::View& v) {{ put_copy_({key}, v); }}')
        elif raw:
            read.append(f'  const ::keles::Value& {n}() const {{ return at_({key}); }}')
            edit.append(f'  void set_{n}(const ::keles::Value& v) {{ put_copy_({key}, v); }}')
        elif is_view:
            e = element + 'Edit'
            edit.append(f'  void set_{n}(const {element}& v) {{ put_copy_({key}, v); }}')
            if f.message[0] == package.dir and f.message[1] not in done:
                read.append(f'  {element} {n}() const;')
                late.append(f'inline {element} {t.name}::{n}() const {{ return {element}(at_({key})); }}')
                edit.append(f'  {e} edit_{n}();')
                late.append(f'inline {e} {t.name}Edit::edit_{n}() {{ return {e}(slot_({key})); }}')
            else:
                read.append(f'  {element} {n}() const {{ return {element}(at_({key})); }}')
                edit.append(f'  {e} edit_{n}() {{ return {e}(slot_({key})); }}')
        elif element.startswith('::keles::List'):
            read.append(f'  {element} {n}() const {{ return {element}(at_({key})); }}')
            edit.append(f'  void set_{n}(const ::keles::View& v) {{ put_copy_({key}, v); }}')
        else:
            read.append(f'  {element} {n}() const {{ return at_({key}).{READ_SCALAR[element]}(); }}')
            edit.append(f'  void set_{n}({element} v) {{ put_({key}, v); }}')
    return read, edit, late


def topological(world, package):
    """The package's object types, each after those it holds by value (but for recursion)."""
    order, state = [], {}

    def visit(t):
        if state.get(t.name):
            return
        state[t.name] = 1
        for f, _ in t.fields:
            if f.message and f.message[0] == package.dir and f.card == 'kSingle':
                visit(world.types[f.message])
        order.append(t)
    for t in package.types.values():
        visit(t)
    return [t for t in order if t.form == 'kObject']


def emit_header(world, package, path):
    order = topological(world, package)
    used = sorted({f.message[0] for t in order for f, _ in t.fields
                   if f.message and f.message[0] != package.dir})
    out = ['// Made by api/compile.py: typed views of ' + package.dir + ' (see machinery/value.h).',
           '#pragma once', '', '#include "machinery/schema.h"', '#include "machinery/view.h"']
    out += [f'#include "api/{u.replace("/", "_")}.h"' for u in used]
    ns = f'keles::api::{package.ident}'
    out += ['', f'namespace {ns} {{']
    for t in order:
        out.append(f'class {t.name};')
        out.append(f'class {t.name}Edit;')
    done, late_all = set(), []
    for t in order:
        read, edit, late = accessors(world, package, t, done)
        late_all += late
        done.add(t.name)
        out += [f'class {t.name} : public ::keles::MessageView {{', ' public:',
                '  using ::keles::MessageView::MessageView;',
                '  static const ::keles::TypeDesc& descriptor();', *read, '};']
        out += [f'class {t.name}Edit : public ::keles::EditView<{t.name}, {max(len(t.fields), 1)}> {{',
                ' public:', f'  using ::keles::EditView<{t.name}, {max(len(t.fields), 1)}>::EditView;',
                *edit, '};']
    out += late_all
    if package.services:
        out.append('// gRPC method paths.')
        for s, methods in package.services.items():
            for m in methods:
                out.append(f'inline constexpr std::string_view k{s}{m} = "/{package.package}.{s}/{m}";')
    if package.enums:
        out.append('// Enum names as the trees hold them.')
        seen = set()
        for e, values in package.enums.items():
            for v in values:
                out.append(f'inline constexpr std::string_view k{e}_{v} = "{v}";')
    out += [f'}}  // namespace {ns}', '', 'namespace keles {']
    for k in package.kinds:
        out.append(f'template <> const KindDesc& kind_of<api::{package.ident}::{k.name}>();')
    out += ['}  // namespace keles', '']
    with open(path, 'w') as f:
        f.write('\n'.join(out))


def emit_header_source(package, order, path):
    out = ['// Made by api/compile.py.', f'#include "api/{package.ident}.h"', '',
           f'#include "{package.ident}_tables.h"', '', 'namespace keles {']
    for t in order:
        out.append(f'const TypeDesc& api::{package.ident}::{t.name}::descriptor() '
                   f'{{ return tables::{t.symbol}; }}')
    for k in package.kinds:
        out.append(f'template <> const KindDesc& kind_of<api::{package.ident}::{k.name}>() '
                   f'{{ return tables::kind_{package.ident}_{k.name}; }}')
    out += ['}  // namespace keles', '']
    with open(path, 'w') as f:
        f.write('\n'.join(out))


CHUNK = 120  # types a file


def outputs(world):
    """(path, function that writes it) of every file; the .cc files first by package."""
    files = []
    for p in world.packages:
        types = list(p.types.values())
        if not types:
            fail(p.dir, 'describes no type')
        for i in range(0, len(types), CHUNK):
            part = types[i:i + CHUNK]
            files.append((f'{p.ident}_types_{i // CHUNK}.cc', lambda path, p=p, part=part, first=not i:
                          emit_types(world, p, part, first, path)))
        files.append((f'{p.ident}_views.cc', lambda path, p=p: emit_header_source(
            p, topological(world, p), path)))
        files.append((f'{p.ident}_tables.h', lambda path, p=p: emit_tables(p, path)))
        files.append((f'api/{p.ident}.h', lambda path, p=p: emit_header(world, p, path)))
    files.append(('inert.cc', lambda path: emit_inert(world, path)))
    files.append(('kinds.h', emit_kinds_header))
    files.append(('kinds.cc', lambda path: emit_kinds(world, path)))
    files.append(('strategies.cc', lambda path: emit_strategies(world, path)))
    return files


def write_if_changed(path, make):
    """Leaves the file's time alone when nothing changed, so that nothing is built again."""
    old = None
    if os.path.exists(path):
        with open(path) as f:
            old = f.read()
        os.rename(path, path + '.old')
    make(path)
    if old is not None:
        with open(path) as f:
            same = f.read() == old
        if same:
            os.replace(path + '.old', path)
        else:
            os.remove(path + '.old')


def main():
    args = sys.argv[1:]
    listing = args and args[0] == '--list'
    source, out_dir = args[-2], args[-1]
    world = World(source)
    files = outputs(world)
    if listing:
        print('\n'.join(f'{out_dir}/{name}' for name, _ in files))
        return
    os.makedirs(f'{out_dir}/api', exist_ok=True)
    for name, make in files:
        write_if_changed(f'{out_dir}/{name}', make)
    with open(f'{out_dir}/stamp', 'w') as f:
        f.write('made\n')


if __name__ == '__main__':
    main()
