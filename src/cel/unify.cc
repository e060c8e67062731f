#include "cel/unify.h"

#include <utility>

namespace keles::cel {
namespace {

bool nullable(const Type& t) {
  switch (t.kind) {
    case TypeKind::kOpaque:
    case TypeKind::kStruct:
    case TypeKind::kAny:
    case TypeKind::kDuration:
    case TypeKind::kTimestamp:
      return true;
    default:
      return t.takes(*null_type());
  }
}

bool equal_or_less_specific(const Type& a, const Type& b) {
  if (a.is_dyn() || a.is_param()) return true;
  if (b.is_dyn() || b.is_param()) return false;
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case TypeKind::kOpaque:
      if (a.name != b.name || a.params.size() != b.params.size()) return false;
      [[fallthrough]];
    case TypeKind::kList:
    case TypeKind::kMap:
      for (size_t i = 0; i < a.params.size(); ++i) {
        if (!equal_or_less_specific(*a.params[i], *b.params[i])) return false;
      }
      return true;
    case TypeKind::kType:
      return true;
    default:
      return a.same(b);
  }
}

TypePtr with_params(const TypePtr& t, std::vector<TypePtr> params) {
  auto copy = std::make_shared<Type>(*t);
  copy->params = std::move(params);
  return copy;
}

}  // namespace

TypePtr Unifier::fresh() { return param_type("_var" + std::to_string(count_++)); }

const TypePtr* Unifier::find(const Type& param) const {
  if (!param.is_param()) return nullptr;
  for (const Binding& b : bindings_) {
    if (b.name == param.name) return &b.type;
  }
  return nullptr;
}

void Unifier::bind(const Type& param, TypePtr to) {
  for (Binding& b : bindings_) {
    if (b.name == param.name) {
      b.type = std::move(to);
      return;
    }
  }
  bindings_.push_back({param.name, std::move(to)});
}

bool Unifier::assignable(const TypePtr& a, const TypePtr& b) {
  std::vector<Binding> before = bindings_;
  if (fits(a, b)) return true;
  bindings_ = std::move(before);
  return false;
}

bool Unifier::assignable(const std::vector<TypePtr>& a, const std::vector<TypePtr>& b) {
  std::vector<Binding> before = bindings_;
  if (fits(a, b)) return true;
  bindings_ = std::move(before);
  return false;
}

bool Unifier::fits(const std::vector<TypePtr>& a, const std::vector<TypePtr>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!fits(a[i], b[i])) return false;
  }
  return true;
}

bool Unifier::fits(const TypePtr& a, const TypePtr& b) {
  if (b->is_param()) {
    const Substitution s = substitutable(a, b);
    if (s.valid) return true;
    if (s.known) return false;
  }
  if (a->is_param()) return substitutable(b, a).valid;
  if (a->is_dyn() || a->is_error() || b->is_dyn() || b->is_error()) return true;
  if (a->kind == TypeKind::kNull) return nullable(*b);
  if (b->kind == TypeKind::kNull) return nullable(*a);
  switch (a->kind) {
    case TypeKind::kType:
      return b->kind == TypeKind::kType;
    case TypeKind::kOpaque:
    case TypeKind::kList:
    case TypeKind::kMap:
      return a->kind == b->kind && a->name == b->name && fits(a->params, b->params);
    default:
      return b->takes(*a);
  }
}

Unifier::Substitution Unifier::substitutable(const TypePtr& t, const TypePtr& param) {
  if (t->same(*param)) return {true, true};
  if (const TypePtr* known = find(*param); known != nullptr) {
    const TypePtr bound = *known;
    if (t->same(*bound)) return {true, true};
    if (!fits(t, bound)) return {false, true};
    const TypePtr general = most_general(t, bound);
    if (absent_from(*param, general)) bind(*param, general);
    return {true, true};
  }
  if (!absent_from(*param, t)) return {false, false};
  bind(*param, t);
  return {true, false};
}

bool Unifier::absent_from(const Type& param, const TypePtr& within) const {
  if (param.same(*within)) return false;
  if (within->is_param()) {
    const TypePtr* known = find(*within);
    return known == nullptr || absent_from(param, *known);
  }
  for (const TypePtr& p : within->params) {
    if (!absent_from(param, p)) return false;
  }
  return true;
}

const TypePtr& Unifier::most_general(const TypePtr& a, const TypePtr& b) {
  return equal_or_less_specific(*a, *b) ? a : b;
}

TypePtr Unifier::substitute(const TypePtr& t, bool rest_is_dyn) const {
  if (const TypePtr* known = find(*t); known != nullptr) return substitute(*known, rest_is_dyn);
  if (t->is_param()) return rest_is_dyn ? dyn_type() : t;
  if (t->params.empty()) return t;
  std::vector<TypePtr> params;
  params.reserve(t->params.size());
  bool changed = false;
  for (const TypePtr& p : t->params) {
    params.push_back(substitute(p, rest_is_dyn));
    changed |= params.back() != p;
  }
  return changed ? with_params(t, std::move(params)) : t;
}

TypePtr instantiate(const TypePtr& t, const std::vector<std::pair<std::string, TypePtr>>& by) {
  if (t->is_param()) {
    for (const auto& [name, type] : by) {
      if (name == t->name) return type;
    }
    return t;
  }
  if (t->params.empty()) return t;
  std::vector<TypePtr> params;
  params.reserve(t->params.size());
  for (const TypePtr& p : t->params) params.push_back(instantiate(p, by));
  return with_params(t, std::move(params));
}

}  // namespace keles::cel
