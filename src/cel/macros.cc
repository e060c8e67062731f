#include "cel/macros.h"

#include <utility>

#include "cel/parser.h"

namespace keles::cel {
namespace {

// What a comprehension's parts are made with; all of them stand where the call stands.
class Maker {
 public:
  Maker(Ast& ast, int32_t offset) : ast_(ast), offset_(offset) {}

  Expr* literal(Literal value) {
    Expr* e = ast_.make(Expr::Kind::kLiteral, offset_);
    e->literal = std::move(value);
    return e;
  }
  Expr* ident(std::string_view name) {
    Expr* e = ast_.make(Expr::Kind::kIdent, offset_);
    e->name = name;
    return e;
  }
  Expr* accumulator() { return ident(kAccumulator); }
  Expr* call(std::string_view function, std::vector<Expr*> args, Expr* target = nullptr) {
    Expr* e = ast_.make(Expr::Kind::kCall, offset_);
    e->name = function;
    e->args = std::move(args);
    e->target = target;
    return e;
  }
  Expr* list(std::vector<Expr*> elements = {}) {
    Expr* e = ast_.make(Expr::Kind::kList, offset_);
    e->args = std::move(elements);
    return e;
  }
  Expr* map() { return ast_.make(Expr::Kind::kMap, offset_); }
  Expr* copy(const Expr* e) { return ast_.copy(e); }
  Expr* has(Expr* operand, std::string_view field) {
    Expr* e = ast_.make(Expr::Kind::kSelect, offset_);
    e->target = operand;
    e->name = field;
    e->test_only = true;
    return e;
  }
  Expr* comprehension(Expr* range, std::string v, std::string v2, std::string accumulator,
                      Expr* init, Expr* condition, Expr* step, Expr* result) {
    Expr* e = ast_.make(Expr::Kind::kComprehension, offset_);
    e->comprehension = ast_.make_comprehension();
    *e->comprehension = {range,  init,         condition,     step,
                         result, std::move(v), std::move(v2), std::move(accumulator)};
    return e;
  }

 private:
  Ast& ast_;
  int32_t offset_;
};

struct Call {
  Maker& make;
  Expr* target;
  const std::vector<Expr*>& args;
};

Expansion fault(const Expr* at, std::string message) {
  return {nullptr, MacroFault{at->offset, std::move(message)}};
}

bool is_ident(const Expr* e) { return e->kind == Expr::Kind::kIdent; }
bool hides_accumulator(std::string_view name) {
  return name == kAccumulator || name == "__result__";
}

// The variables of a macro with one or two of them.
struct Variables {
  std::string first, second;
  std::optional<Expansion> fault;
};

Variables variables(const Call& c, size_t count, std::string_view what) {
  Variables v;
  for (size_t i = 0; i < count; ++i) {
    if (!is_ident(c.args[i])) {
      v.fault = fault(c.args[i], std::string(what));
      return v;
    }
  }
  v.first = c.args[0]->name;
  if (count == 2) {
    v.second = c.args[1]->name;
    if (v.first == v.second) {
      v.fault = fault(c.args[1], "duplicate variable name: " + v.first);
      return v;
    }
  }
  for (size_t i = 0; i < count; ++i) {
    if (hides_accumulator(c.args[i]->name)) {
      v.fault = fault(c.args[i], "iteration variable overwrites accumulator variable");
      return v;
    }
  }
  return v;
}

Expansion fold(const Call& c, const Variables& v, Expr* init, Expr* condition, Expr* step,
               Expr* result) {
  return {c.make.comprehension(c.target, v.first, v.second, std::string(kAccumulator), init,
                               condition, step, result),
          std::nullopt};
}

constexpr std::string_view kSimpleName = "argument must be a simple name";

Expansion all(const Call& c, size_t vars) {
  const Variables v = variables(c, vars, kSimpleName);
  if (v.fault) return *v.fault;
  Maker& m = c.make;
  return fold(c, v, m.literal(true), m.call(op::kNotStrictlyFalse, {m.accumulator()}),
              m.call(op::kAnd, {m.accumulator(), c.args[vars]}), m.accumulator());
}

Expansion exists(const Call& c, size_t vars) {
  const Variables v = variables(c, vars, kSimpleName);
  if (v.fault) return *v.fault;
  Maker& m = c.make;
  return fold(c, v, m.literal(false),
              m.call(op::kNotStrictlyFalse, {m.call(op::kNot, {m.accumulator()})}),
              m.call(op::kOr, {m.accumulator(), c.args[vars]}), m.accumulator());
}

Expansion exists_one(const Call& c, size_t vars) {
  const Variables v = variables(c, vars, kSimpleName);
  if (v.fault) return *v.fault;
  Maker& m = c.make;
  const auto one = [&] { return m.literal(int64_t{1}); };
  return fold(c, v, m.literal(int64_t{0}), m.literal(true),
              m.call(op::kConditional,
                     {c.args[vars], m.call(op::kAdd, {m.accumulator(), one()}), m.accumulator()}),
              m.call(op::kEquals, {m.accumulator(), one()}));
}

// `filter` may be null. `step` is what is done with an element that passes.
Expr* filtered(Maker& m, Expr* filter, Expr* step) {
  if (filter == nullptr) return step;
  return m.call(op::kConditional, {filter, step, m.accumulator()});
}

// map(x, f), map(x, p, f), transformList(i, x, f), transformList(i, x, p, f)
Expansion map_list(const Call& c, size_t vars, std::string_view what) {
  const Variables v = variables(c, vars, what);
  if (v.fault) return *v.fault;
  Maker& m = c.make;
  Expr* filter = c.args.size() == vars + 2 ? c.args[vars] : nullptr;
  Expr* step = m.call(op::kAdd, {m.accumulator(), m.list({c.args.back()})});
  return fold(c, v, m.list(), m.literal(true), filtered(m, filter, step), m.accumulator());
}

Expansion filter(const Call& c) {
  const Variables v = variables(c, 1, "argument is not an identifier");
  if (v.fault) return *v.fault;
  Maker& m = c.make;
  Expr* step = m.call(op::kAdd, {m.accumulator(), m.list({c.args[0]})});
  return fold(c, v, m.list(), m.literal(true), filtered(m, c.args[1], step), m.accumulator());
}

// transformMap(k, v, f): the keys stay; transformMapEntry(k, v, {k2: v2})
Expansion map_map(const Call& c, bool entries) {
  const Variables v = variables(c, 2, kSimpleName);
  if (v.fault) return *v.fault;
  Maker& m = c.make;
  Expr* filter = c.args.size() == 4 ? c.args[2] : nullptr;
  std::vector<Expr*> args = {m.accumulator()};
  if (!entries) args.push_back(m.ident(v.first));
  args.push_back(c.args.back());
  Expr* step = m.call(op::kMapInsert, std::move(args));
  return fold(c, v, m.map(), m.literal(true), filtered(m, filter, step), m.accumulator());
}

// A comprehension that runs over nothing: `name` is `value` inside `body`.
Expr* let(Maker& m, std::string_view name, Expr* value, Expr* body) {
  return m.comprehension(m.list(), "#unused", "", std::string(name), value, m.literal(false),
                         m.ident(name), body);
}

Expansion opt_map(const Call& c, bool flat) {
  Maker& m = c.make;
  if (!is_ident(c.args[0])) {
    return fault(c.args[0], std::string(flat ? "optFlatMap" : "optMap") +
                                "() variable name must be a simple identifier");
  }
  Expr* body = let(m, c.args[0]->name, m.call("value", {}, m.copy(c.target)), c.args[1]);
  if (!flat) body = m.call("optional.of", {body});
  return {m.call(op::kConditional,
                 {m.call("hasValue", {}, c.target), body, m.call("optional.none", {})}),
          std::nullopt};
}

Expansion sort_by(const Call& c) {
  constexpr std::string_view kInput = "@__sortBy_input__";
  Maker& m = c.make;
  switch (c.target->kind) {
    case Expr::Kind::kList:
    case Expr::Kind::kSelect:
    case Expr::Kind::kIdent:
    case Expr::Kind::kComprehension:
    case Expr::Kind::kCall:
      break;
    default:
      return fault(c.target,
                   "sortBy can only be applied to a list, identifier, comprehension, call or "
                   "select expression");
  }
  const Call inner{m, m.ident(kInput), c.args};
  Expansion keys = map_list(inner, 1, "argument is not an identifier");
  if (keys.expr == nullptr) return keys;
  Expr* sorted = m.call("@sortByAssociatedKeys", {keys.expr}, m.ident(kInput));
  return {let(m, kInput, c.target, sorted), std::nullopt};
}

// cel.bind(name, value, body)
Expansion bind(const Call& c) {
  if (!is_ident(c.args[0])) {
    return fault(c.args[0], "cel.bind() variable names must be simple identifiers");
  }
  return {let(c.make, c.args[0]->name, c.args[1], c.args[2]), std::nullopt};
}

Expansion has(const Call& c) {
  const Expr* arg = c.args[0];
  if (arg->kind != Expr::Kind::kSelect || arg->test_only) {
    return fault(arg, "invalid argument to has() macro");
  }
  return {c.make.has(arg->target, arg->name), std::nullopt};
}

}  // namespace

Expansion expand_macro(Ast& ast, int32_t offset, std::string_view function, Expr* target,
                       const std::vector<Expr*>& args, bool bindings) {
  Maker make(ast, offset);
  const Call c{make, target, args};
  const size_t n = args.size();
  if (target == nullptr) {
    if (function == "has" && n == 1) return has(c);
    return {};
  }
  if (bindings && n == 3 && function == "bind" && is_ident(target) && target->name == "cel") {
    return bind(c);
  }
  if (n == 2 || n == 3) {
    if (function == "all") return all(c, n - 1);
    if (function == "exists") return exists(c, n - 1);
    if (function == "exists_one" || function == "existsOne") return exists_one(c, n - 1);
    if (function == "map") return map_list(c, 1, "argument is not an identifier");
  }
  if (n == 3 || n == 4) {
    if (function == "transformList") return map_list(c, 2, kSimpleName);
    if (function == "transformMap") return map_map(c, false);
    if (function == "transformMapEntry") return map_map(c, true);
  }
  if (n == 2) {
    if (function == "filter") return filter(c);
    if (function == "optMap") return opt_map(c, false);
    if (function == "optFlatMap") return opt_map(c, true);
    if (function == "sortBy") return sort_by(c);
  }
  return {};
}

}  // namespace keles::cel
