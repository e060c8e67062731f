#include "cel/cost.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "cel/ast.h"
#include "cel/call_cost.h"
#include "cel/env.h"
#include "cel/parser.h"
#include "cel/source.h"

namespace keles::cel {
namespace {

using Size = std::optional<CostRange>;

// Sizes of what a list or a map holds.
struct Entry {
  bool is_list = false;
  CostRange key, value;
};

bool is_scalar(const Type& t) {
  switch (t.kind) {
    case TypeKind::kBool:
    case TypeKind::kDouble:
    case TypeKind::kDuration:
    case TypeKind::kInt:
    case TypeKind::kTimestamp:
    case TypeKind::kUint:
      return true;
    case TypeKind::kOpaque:
      return t.is_optional() && !t.params.empty() && is_scalar(*t.params[0]);
    default:
      return false;
  }
}

Size literal_size(const Expr& e) {
  switch (e.kind) {
    case Expr::Kind::kLiteral:
      if (const auto* s = std::get_if<std::string>(&e.literal)) {
        return CostRange::fixed(count_runes(*s));
      }
      if (const auto* b = std::get_if<Bytes>(&e.literal)) return CostRange::fixed(b->data.size());
      return CostRange::fixed(1);
    case Expr::Kind::kList:
      return CostRange::fixed(e.args.size());
    case Expr::Kind::kMap:
      return CostRange::fixed(e.args.size() / 2);
    default:
      return std::nullopt;
  }
}

class Estimator final : public SizeSource {
 public:
  explicit Estimator(const Env& env) : env_(env) {}

  CostRange cost(const Expr& e) {
    switch (e.kind) {
      case Expr::Kind::kIdent:
        if (const Local* v = local(e.name); v != nullptr) {
          paths_[&e] = v->path;
        } else {
          paths_[&e] = {e.name};
        }
        return CostRange::fixed(1);
      case Expr::Kind::kSelect:
        return select(e);
      case Expr::Kind::kCall:
        return call(e);
      case Expr::Kind::kList:
        return list(e);
      case Expr::Kind::kMap:
        return map(e);
      case Expr::Kind::kStruct: {
        CostRange sum = CostRange::fixed(kStructCost);
        for (const Expr* arg : e.args) sum = sum + cost(*arg);
        return sum;
      }
      case Expr::Kind::kComprehension:
        return is_let(e) ? let(e) : comprehension(e);
      default:
        return {};
    }
  }

  // --- SizeSource -----------------------------------------------------------------------------

  Size size(const Expr& e) override {
    if (const auto at = sizes_.find(&e); at != sizes_.end()) return at->second;
    if (Size s = literal_size(e)) return s;
    if (Size s = declared_size(path(e))) {
      sizes_[&e] = *s;
      return s;
    }
    if (is_scalar(*e.type)) return CostRange::fixed(1);
    if (e.kind == Expr::Kind::kIdent) {
      if (const Local* v = local(e.name); v != nullptr) return v->size;
    }
    return std::nullopt;
  }
  CostRange element_size(const Expr& e) override {
    std::vector<std::string> p = visible_path(e);
    if (p.empty()) return CostRange::unknown();
    p.emplace_back("@items");
    return declared_size(p).value_or(CostRange::unknown());
  }

 private:
  struct Local {
    std::string name;
    std::vector<std::string> path;
    Size size;
    std::optional<Entry> entry;
  };

  const Local* local(std::string_view name) const {
    for (auto v = locals_.rbegin(); v != locals_.rend(); ++v) {
      if (v->name == name) return &*v;
    }
    return nullptr;
  }

  std::vector<std::string> path(const Expr& e) const {
    if (e.kind == Expr::Kind::kIdent) {
      if (const Local* v = local(e.name); v != nullptr) return v->path;
    }
    const auto at = paths_.find(&e);
    return at == paths_.end() ? std::vector<std::string>() : at->second;
  }
  std::vector<std::string> visible_path(const Expr& e) const {
    std::vector<std::string> p = path(e);
    if (!p.empty() && p[0] == kAccumulator) p.clear();
    return p;
  }

  // What the schema says of the data at the end of the path. Whatever the path begins with is
  // taken for the object, as upstream does.
  Size declared_size(const std::vector<std::string>& p) const {
    if (p.empty()) return std::nullopt;
    const Variable* v = env_.find_variable(p[0]);
    if (v == nullptr && !env_.variables().empty()) v = &env_.variables()[0];
    if (v == nullptr || v->decl == nullptr) return std::nullopt;
    const DeclType* at = v->decl.get();
    for (size_t i = 1; i < p.size(); ++i) {
      if (p[i] == "@items" || p[i] == "@values") {
        if (!at->is_container()) return std::nullopt;
        at = at->element.get();
      } else if (p[i] == "@keys") {
        // Keys are strings of any length: the schema gives them none.
        if (at->kind != DeclType::Kind::kMap) return std::nullopt;
        return CostRange{0, 0};
      } else {
        if (at->kind == DeclType::Kind::kMap && at->element->seen_as != nullptr) {
          // x.y of a map whose values are of one size, whatever they are (a device's attributes).
          at = at->element.get();
          if (at->kind != DeclType::Kind::kAny || !at->seen_as->is_dyn()) return std::nullopt;
          continue;
        }
        const DeclField* f = at->kind == DeclType::Kind::kObject ? find_field(*at, p[i]) : nullptr;
        if (f == nullptr) return std::nullopt;
        at = f->type.get();
      }
    }
    return CostRange{0, static_cast<uint64_t>(at->max_elements)};
  }
  static const DeclField* find_field(const DeclType& t, const std::string& escaped) {
    const DeclField* f = t.find_visible(escaped);
    return f != nullptr && f->escaped == escaped ? f : nullptr;
  }

  CostRange size_or_unknown(const Expr& e) { return size(e).value_or(CostRange::unknown()); }

  std::optional<Entry> entry(const Expr& e) const {
    if (const auto at = entries_.find(&e); at != entries_.end()) return at->second;
    if (e.kind == Expr::Kind::kIdent) {
      if (const Local* v = local(e.name); v != nullptr) return v->entry;
    }
    return std::nullopt;
  }

  void copy_sizes(const Expr& to, const Expr& from) {
    if (const Size s = size(from)) sizes_[&to] = *s;
    if (const auto en = entry(from)) entries_[&to] = *en;
  }

  // --- kinds of expressions -------------------------------------------------------------------

  CostRange select(const Expr& e) {
    CostRange sum = cost(*e.target);
    if (e.test_only) return sum;
    switch (e.target->type->kind) {
      case TypeKind::kMap:
      case TypeKind::kStruct:
      case TypeKind::kParam:
        sum = sum + CostRange::fixed(1);
        break;
      default:
        break;
    }
    std::vector<std::string> p = path(*e.target);
    p.push_back(e.name);
    paths_[&e] = std::move(p);
    return sum;
  }

  CostRange list(const Expr& e) {
    CostRange sum = CostRange::fixed(kListCost);
    CostRange item = e.args.empty() ? CostRange{0, 0} : CostRange{UINT64_MAX, 0};
    for (const Expr* arg : e.args) {
      sum = sum + cost(*arg);
      item = item.united(size_or_unknown(*arg));
    }
    entries_[&e] = {true, CostRange::fixed(1), item};
    return sum;
  }

  CostRange map(const Expr& e) {
    CostRange sum = CostRange::fixed(kMapCost);
    CostRange key = e.args.empty() ? CostRange{0, 0} : CostRange{UINT64_MAX, 0};
    CostRange value = key;
    for (size_t i = 0; i + 1 < e.args.size(); i += 2) {
      sum = sum + cost(*e.args[i]) + cost(*e.args[i + 1]);
      key = key.united(size_or_unknown(*e.args[i]));
      value = value.united(size_or_unknown(*e.args[i + 1]));
    }
    entries_[&e] = {false, key, value};
    return sum;
  }

  void push(const std::string& name, const Expr& e) {
    locals_.push_back({name, path(e), size(e), entry(e)});
  }
  void push_iterated(const std::string& name, const Expr& range, bool key) {
    const std::optional<Entry> en = entry(range);
    const bool over_list = en ? en->is_list : range.type->kind == TypeKind::kList;
    Size s;
    if (en) s = key ? en->key : en->value;
    std::vector<std::string> p = path(range);
    p.emplace_back(over_list ? (key ? "@indices" : "@items") : (key ? "@keys" : "@values"));
    locals_.push_back({name, std::move(p), s, std::nullopt});
  }

  CostRange comprehension(const Expr& e) {
    const Expr::Comprehension& c = *e.comprehension;
    CostRange sum = cost(*c.range) + cost(*c.init);
    const size_t scope = locals_.size();
    push(c.accumulator, *c.init);
    if (!c.variable2.empty()) {
      push_iterated(c.variable, *c.range, true);
      push_iterated(c.variable2, *c.range, false);
    } else {
      const std::optional<Entry> en = entry(*c.range);
      const bool over_list = en ? en->is_list : c.range->type->kind == TypeKind::kList;
      push_iterated(c.variable, *c.range, !over_list);
    }
    const CostRange once = cost(*c.condition) + cost(*c.step);
    locals_.resize(scope + 1);
    sum = sum + cost(*c.result);
    locals_.resize(scope);
    const CostRange count = size_or_unknown(*c.range);
    sum = sum + count * once;
    switch (c.init->kind) {
      case Expr::Kind::kLiteral:
        if (const Size s = size(*c.init)) sizes_[&e] = *s;
        break;
      case Expr::Kind::kList:
      case Expr::Kind::kMap:
        sizes_[&e] = count;
        if (const auto en = entry(*c.step)) entries_[&e] = *en;
        break;
      default:
        break;
    }
    return sum;
  }

  // A comprehension over nothing, which names a value.
  static bool is_let(const Expr& e) {
    const Expr::Comprehension& c = *e.comprehension;
    const bool* condition = std::get_if<bool>(&c.condition->literal);
    return c.range->kind == Expr::Kind::kList && c.range->args.empty() &&
           c.condition->kind == Expr::Kind::kLiteral && condition != nullptr && !*condition;
  }
  CostRange let(const Expr& e) {
    const Expr::Comprehension& c = *e.comprehension;
    CostRange sum = cost(*c.range) + cost(*c.init);
    push(c.accumulator, *c.init);
    sum = sum + cost(*c.result);
    locals_.pop_back();
    copy_sizes(e, *c.result);
    return sum;
  }

  // --- calls ----------------------------------------------------------------------------------

  CostRange call(const Expr& e) {
    if (e.name == "dyn" && e.args.size() == 1) {
      const CostRange sum = cost(*e.args[0]) + CostRange::fixed(1);
      copy_sizes(e, *e.args[0]);
      return sum;
    }
    if (e.name == op::kAnd || e.name == op::kOr) {
      CostRange sum = cost(*e.args[0]);
      const uint64_t least = sum.min;
      for (size_t i = 1; i < e.args.size(); ++i) sum = sum + cost(*e.args[i]);
      sum.min = least;
      sizes_[&e] = CostRange::fixed(1);
      return sum;
    }
    if (e.name == op::kOptSelect) return optional_select(e);
    std::vector<CostRange> args;
    for (const Expr* arg : e.args) args.push_back(cost(*arg));
    if (e.overloads.empty()) return {};
    CostRange sum;
    if (e.target != nullptr) sum = cost(*e.target);
    CostRange own{UINT64_MAX, 0};
    Size result;
    for (const Overload* o : e.overloads) {
      const CallCost c = overload_cost(e, *o, args);
      own = own.united(c.cost);
      if (c.result) result = result ? result->united(*c.result) : *c.result;
      if ((o->id == "index_list" || o->id == "index_map") && !e.args.empty()) {
        const std::optional<Entry> en = entry(*e.args[0]);
        result = en ? Size(en->value) : std::nullopt;
        std::vector<std::string> p = path(*e.args[0]);
        p.emplace_back(o->id == "index_list" ? "@items" : "@values");
        paths_[&e] = std::move(p);
      }
      if (!result) result = size(e);
    }
    if (result) sizes_[&e] = *result;
    return sum + own;
  }

  // x.?field: a call in the tree, of no function that has a cost of its own.
  CostRange optional_select(const Expr& e) {
    const CostRange sum = cost(*e.args[0]) + CostRange::fixed(1);
    if (const Size s = size(e)) sizes_[&e] = *s;
    return sum;
  }

  CallCost overload_cost(const Expr& e, const Overload& o, const std::vector<CostRange>& args) {
    CostRange arguments;
    for (const CostRange& a : args) arguments = arguments + a;
    if (std::optional<CallCost> c = library_call_cost(e, o, *this)) {
      c->cost = c->cost + arguments;
      return *c;
    }
    if (o.id == "conditional") {
      const CostRange s = size_or_unknown(*e.args[1]).united(size_or_unknown(*e.args[2]));
      unite_entries(e, *e.args[1], *e.args[2]);
      return {args[0] + args[1].united(args[2]), s};
    }
    if (o.id == "add_string" || o.id == "add_bytes" || o.id == "add_list") {
      const CostRange s = size_or_unknown(*e.args[0]) + size_or_unknown(*e.args[1]);
      unite_entries(e, *e.args[0], *e.args[1]);
      const CostRange own = o.id == "add_list" ? CostRange::fixed(1) : s * kTextFactor;
      return {own + arguments, s};
    }
    CallCost c = standard_call_cost(e, o, *this);
    c.cost = c.cost + arguments;
    return c;
  }

  void unite_entries(const Expr& e, const Expr& a, const Expr& b) {
    const std::optional<Entry> x = entry(a), y = entry(b);
    if (!x || !y) return;
    entries_[&e] = {x->is_list, x->key.united(y->key), x->value.united(y->value)};
  }

  const Env& env_;
  std::vector<Local> locals_;
  std::unordered_map<const Expr*, std::vector<std::string>> paths_;
  std::unordered_map<const Expr*, CostRange> sizes_;
  std::unordered_map<const Expr*, Entry> entries_;
};

}  // namespace

CostRange estimate_cost(const Expr& checked, const Env& env) {
  return Estimator(env).cost(checked);
}

}  // namespace keles::cel
