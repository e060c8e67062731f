#include "cel/checker.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "cel/unify.h"

namespace keles::cel {
namespace {

void collect_params(const Type& t, std::vector<std::string>& out) {
  if (t.is_param()) {
    if (std::find(out.begin(), out.end(), t.name) == out.end()) out.push_back(t.name);
    return;
  }
  for (const TypePtr& p : t.params) collect_params(*p, out);
}

// "a.b.c" of such a chain of selects; "" for anything else.
std::string qualified_name(const Expr& e) {
  if (e.kind == Expr::Kind::kIdent) return e.name;
  if (e.kind != Expr::Kind::kSelect || e.test_only) return "";
  const std::string prefix = qualified_name(*e.target);
  return prefix.empty() ? prefix : prefix + "." + e.name;
}

class Checker {
 public:
  Checker(const Source& source, const Env& env, Issues& issues)
      : source_(source), env_(env), issues_(issues) {}

  void run(Ast& ast) {
    check(*ast.root);
    visit_post_order(ast.root, [&](Expr* e) {
      if (e->type != nullptr) e->type = unify_.substitute(e->type, true);
    });
  }

 private:
  void fault(int32_t offset, std::string message) {
    issues_.add(source_.location(offset), std::move(message));
  }
  void mismatch(const Expr& e, const Type& expected, const Type& actual) {
    fault(e.offset,
          "expected type '" + expected.to_string() + "' but found '" + actual.to_string() + "'");
  }
  void undeclared(int32_t offset, std::string_view name) {
    fault(offset, "undeclared reference to '" + std::string(name) + "' (in container '" +
                      env_.container() + "')");
  }

  void check(Expr& e) {
    switch (e.kind) {
      case Expr::Kind::kLiteral:
        e.type = literal_type(e.literal);
        return;
      case Expr::Kind::kIdent:
        if (!resolve(e, e.name)) {
          e.type = error_type();
          undeclared(e.offset, e.name);
        }
        return;
      case Expr::Kind::kSelect:
        return check_select(e);
      case Expr::Kind::kCall:
        return check_call(e);
      case Expr::Kind::kList:
        return check_list(e);
      case Expr::Kind::kMap:
        return check_map(e);
      case Expr::Kind::kStruct:
        return check_object(e);
      case Expr::Kind::kComprehension:
        return check_comprehension(e);
      case Expr::Kind::kFaulty:
        e.type = error_type();
        return;
    }
  }

  static const TypePtr& literal_type(const Literal& l) {
    switch (l.index()) {
      case 1:
        return bool_type();
      case 2:
        return int_type();
      case 3:
        return uint_type();
      case 4:
        return double_type();
      case 5:
        return string_type();
      case 6:
        return bytes_type();
      default:
        return null_type();
    }
  }

  // --- names ----------------------------------------------------------------------------------

  // Makes `e` an ident of the declared name, when there is one.
  bool resolve(Expr& e, std::string_view name) {
    const std::string_view plain = name.starts_with('.') ? name.substr(1) : name;
    for (auto v = locals_.rbegin(); v != locals_.rend(); ++v) {
      if (v->first == plain) return become(e, std::string(plain), v->second);
    }
    for (const std::string& candidate : env_.candidates(name)) {
      if (const Variable* v = env_.find_variable(candidate); v != nullptr) {
        return become(e, candidate, v->type);
      }
      if (const TypePtr t = env_.find_type(candidate); t != nullptr) {
        return become(e, candidate, type_of_type(t));
      }
    }
    return false;
  }
  // A comprehension's variable hides names with dots that begin as it does.
  bool begins_with_local(const Expr& e) const {
    const Expr* root = &e;
    while (root->kind == Expr::Kind::kSelect) root = root->target;
    return root->kind == Expr::Kind::kIdent &&
           std::any_of(locals_.begin(), locals_.end(),
                       [&](const auto& v) { return v.first == root->name; });
  }
  static bool become(Expr& e, std::string name, TypePtr type) {
    e.kind = Expr::Kind::kIdent;
    e.resolved = true;
    e.name = std::move(name);
    e.target = nullptr;
    e.type = std::move(type);
    return true;
  }
  const FunctionDecl* function(std::string_view name) const {
    for (const std::string& candidate : env_.candidates(name)) {
      if (const FunctionDecl* f = env_.function(candidate); f != nullptr) return f;
    }
    return nullptr;
  }

  void check_select(Expr& e) {
    if (!e.test_only && !begins_with_local(e)) {
      const std::string name = qualified_name(e);
      if (!name.empty() && resolve(e, name)) return;
    }
    TypePtr result = field_of(e, *e.target, e.name, false);
    if (e.test_only) result = bool_type();
    e.type = unify_.substitute(result, false);
  }

  TypePtr field_of(const Expr& e, Expr& operand, std::string_view field, bool optional) {
    check(operand);
    TypePtr target = unify_.substitute(operand.type, false);
    const bool of_optional = target->is_optional();
    if (of_optional) target = target->params[0];
    TypePtr result = error_type();
    switch (target->kind) {
      case TypeKind::kMap:
        result = target->params[1];
        break;
      case TypeKind::kStruct:
        if (!env_.has_fields(target->name)) {
          fault(e.offset, "unexpected failed resolution of '" + target->name + "'");
        } else if (const TypePtr t = env_.field_type(target->name, field); t != nullptr) {
          result = t;
        } else {
          fault(e.offset, "undefined field '" + std::string(field) + "'");
        }
        break;
      case TypeKind::kParam:
        unify_.assignable(dyn_type(), target);
        result = dyn_type();
        break;
      default:
        if (!target->is_dyn() && !target->is_error()) {
          fault(e.offset, "type '" + target->to_string() + "' does not support field selection");
        }
        result = dyn_type();
    }
    return of_optional || optional ? optional_type(result) : result;
  }

  // --- calls ----------------------------------------------------------------------------------

  void check_call(Expr& e) {
    if (e.name == op::kOptSelect) {
      const std::string field = std::get<std::string>(e.args[1]->literal);
      e.args[1]->type = string_type();
      e.type = unify_.substitute(field_of(e, *e.args[0], field, true), false);
      return;
    }
    for (Expr* arg : e.args) check(*arg);
    if (e.target == nullptr) {
      const FunctionDecl* f = function(e.name);
      if (f == nullptr) return unknown_function(e);
      return match(e, *f, nullptr);
    }
    // `a.b.f(x)` may be the function "a.b.f".
    if (const std::string prefix = qualified_name(*e.target); !prefix.empty()) {
      if (const FunctionDecl* f = function(prefix + "." + e.name); f != nullptr) {
        e.target = nullptr;
        return match(e, *f, nullptr);
      }
    }
    check(*e.target);
    const FunctionDecl* f = function(e.name);
    if (f == nullptr) return unknown_function(e);
    match(e, *f, e.target);
  }

  void unknown_function(Expr& e) {
    e.type = error_type();
    undeclared(e.offset, e.name);
  }

  void match(Expr& e, const FunctionDecl& f, const Expr* target) {
    e.name = f.name;
    if (f.name == op::kAnd || f.name == op::kOr) return match_logical(e, f);
    std::vector<TypePtr> args;
    if (target != nullptr) args.push_back(target->type);
    for (const Expr* arg : e.args) args.push_back(arg->type);
    TypePtr result;
    for (const Overload& o : f.overloads) {
      if (o.member != (target != nullptr)) continue;
      std::vector<TypePtr> wanted = o.args;
      TypePtr gives = o.result;
      std::vector<std::string> params;
      collect_params(*o.result, params);
      for (const TypePtr& t : o.args) collect_params(*t, params);
      if (!params.empty()) {
        std::vector<std::pair<std::string, TypePtr>> by;
        by.reserve(params.size());
        for (std::string& p : params) by.emplace_back(std::move(p), unify_.fresh());
        for (TypePtr& t : wanted) t = instantiate(t, by);
        gives = instantiate(gives, by);
      }
      if (!unify_.assignable(args, wanted)) continue;
      e.overloads.push_back(&o);
      const TypePtr t = unify_.substitute(gives, false);
      if (result == nullptr) {
        result = t;
      } else if (!result->is_dyn() && !t->same(*result)) {
        result = dyn_type();
      }
    }
    if (result != nullptr) {
      e.type = result;
      return;
    }
    for (TypePtr& t : args) t = unify_.substitute(t, true);
    fault(e.offset, "found no matching overload for '" + std::string(f.name) + "' applied to '" +
                        signature_text(nullptr, args, target != nullptr) + "'");
    e.type = error_type();
  }

  void match_logical(Expr& e, const FunctionDecl& f) {
    e.type = bool_type();
    for (const Expr* arg : e.args) {
      if (unify_.assignable(arg->type, bool_type())) continue;
      mismatch(*arg, *bool_type(), *arg->type);
      e.type = error_type();
    }
    if (!e.type->is_error()) e.overloads.push_back(&f.overloads[0]);
  }

  // --- literals of lists and maps -------------------------------------------------------------

  TypePtr unwrap_optional(const Expr& e, bool optional) {
    if (!optional) return e.type;
    if (e.type->is_optional()) return e.type->params[0];
    if (!e.type->is_dyn()) mismatch(e, *optional_type(e.type), *e.type);
    return e.type;
  }
  TypePtr join(const TypePtr& before, const TypePtr& next) {
    if (before == nullptr) return next;
    if (unify_.assignable(before, next)) return Unifier::most_general(before, next);
    return dyn_type();
  }

  void check_list(Expr& e) {
    TypePtr element;
    for (size_t i = 0; i < e.args.size(); ++i) {
      check(*e.args[i]);
      element = join(element, unwrap_optional(*e.args[i], e.is_optional(i)));
    }
    e.type = list_type(element == nullptr ? unify_.fresh() : element);
  }

  void check_map(Expr& e) {
    TypePtr key, value;
    for (size_t i = 0; i + 1 < e.args.size(); i += 2) {
      check(*e.args[i]);
      key = join(key, e.args[i]->type);
      check(*e.args[i + 1]);
      value = join(value, unwrap_optional(*e.args[i + 1], e.is_optional(i / 2)));
    }
    if (key == nullptr) {
      key = unify_.fresh();
      value = unify_.fresh();
    }
    e.type = map_type(key, value);
  }

  // --- objects that are made ------------------------------------------------------------------

  void check_object(Expr& e) {
    TypePtr type;
    for (const std::string& candidate : env_.candidates(e.name)) {
      if ((type = env_.find_made_type(candidate)) != nullptr) break;
    }
    if (type == nullptr) {
      e.type = error_type();
      return not_made(e);
    }
    e.type = type;
    e.name = type->name;
    for (size_t i = 0; i < e.args.size(); ++i) {
      check(*e.args[i]);
      const TypePtr value = unwrap_optional(*e.args[i], e.is_optional(i));
      TypePtr field = env_.field_type(type->name, e.fields[i]);
      if (field == nullptr) {
        fault(e.entry_offsets[i], "undefined field '" + e.fields[i] + "'");
        field = error_type();
      }
      if (unify_.assignable(field, value)) continue;
      fault(e.entry_offsets[i], "expected type of field '" + e.fields[i] + "' is '" +
                                    field->to_string() + "' but provided type is '" +
                                    unify_.substitute(value, true)->to_string() + "'");
    }
  }

  // Of a name that is declared, but not as the type of an object.
  void not_made(const Expr& e) {
    for (const std::string& candidate : env_.candidates(e.name)) {
      if (const Variable* v = env_.find_variable(candidate); v != nullptr) {
        return fault(e.offset, "'" + v->type->name + "' is not a type");
      }
      if (const TypePtr t = find_type_name(candidate); t != nullptr) {
        return fault(e.offset, "'" + t->name + "' is not a message type");
      }
    }
    undeclared(e.offset, e.name);
  }

  // --- comprehensions -------------------------------------------------------------------------

  void check_comprehension(Expr& e) {
    const Expr::Comprehension& c = *e.comprehension;
    check(*c.range);
    check(*c.init);
    const TypePtr range = unify_.substitute(c.range->type, false);
    const TypePtr accumulated = c.init->type;
    const size_t scope = locals_.size();
    locals_.emplace_back(c.accumulator, accumulated);
    const bool two = !c.variable2.empty();
    TypePtr first = dyn_type(), second = dyn_type();
    switch (range->kind) {
      case TypeKind::kList:
        first = two ? int_type() : range->params[0];
        second = range->params[0];
        break;
      case TypeKind::kMap:
        first = range->params[0];
        second = range->params[1];
        break;
      case TypeKind::kDyn:
      case TypeKind::kError:
      case TypeKind::kParam:
        unify_.assignable(dyn_type(), range);
        break;
      default:
        fault(c.range->offset, "expression of type '" + range->to_string() +
                                   "' cannot be range of a comprehension (must be list, map, or "
                                   "dynamic)");
        first = second = error_type();
    }
    locals_.emplace_back(c.variable, first);
    if (two) locals_.emplace_back(c.variable2, second);
    check(*c.condition);
    assert_type(*c.condition, bool_type());
    check(*c.step);
    assert_type(*c.step, accumulated);
    locals_.resize(scope + 1);
    check(*c.result);
    locals_.resize(scope);
    e.type = unify_.substitute(c.result->type, false);
  }

  void assert_type(const Expr& e, const TypePtr& wanted) {
    if (!unify_.assignable(wanted, e.type)) mismatch(e, *wanted, *e.type);
  }

  const Source& source_;
  const Env& env_;
  Issues& issues_;
  Unifier unify_;
  std::vector<std::pair<std::string, TypePtr>> locals_;
};

}  // namespace

void check(Ast& ast, const Source& source, const Env& env, Issues& issues) {
  Checker(source, env, issues).run(ast);
}

}  // namespace keles::cel
