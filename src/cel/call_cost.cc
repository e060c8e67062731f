#include "cel/call_cost.h"

#include <map>
#include <string_view>

namespace keles::cel {
namespace {

CostRange size_of_expr(const Expr& e, SizeSource& sizes) {
  return sizes.size(e).value_or(CostRange::unknown());
}

// A call and its parts, for the rules below.
struct Call {
  const Expr& e;
  const Overload& o;
  SizeSource& sizes;
  size_t count() const { return e.args.size(); }
  CostRange arg(size_t i) const { return size_of_expr(*e.args[i], sizes); }
  CostRange target() const { return size_of_expr(*e.target, sizes); }
};
using Rule = std::optional<CallCost> (*)(const Call&);

std::optional<CallCost> only(CostRange cost) { return CallCost{cost, std::nullopt}; }
std::optional<CallCost> one(const Call&) { return only(CostRange::fixed(1)); }

// --- lists -----------------------------------------------------------------------------------

std::optional<CallCost> list_made(double factor, CostRange size) {
  return CallCost{size * factor + CostRange::fixed(1) + CostRange::fixed(kListCost), size};
}

uint64_t int_literal(const Expr& e, uint64_t otherwise) {
  if (e.kind != Expr::Kind::kLiteral) return otherwise;
  const int64_t* i = std::get_if<int64_t>(&e.literal);
  if (i == nullptr) return otherwise;
  return *i < 0 ? 0 : static_cast<uint64_t>(*i);
}

std::optional<CallCost> compared(const Expr& list, SizeSource& sizes, std::string_view id) {
  const CostRange n = size_of_expr(list, sizes);
  const bool texts = id.starts_with("list_string_") || id.starts_with("list_bytes_");
  return list_made(texts ? 2 + kTextFactor : 2, n * n);
}

std::optional<CallCost> list_call(const Call& c) {
  const std::string_view id = c.o.id;
  if (id == "lists_range") {
    return list_made(1, CostRange::fixed(int_literal(*c.e.args[0], UINT64_MAX)));
  }
  if (id == "list_sets_contains_list" || id == "list_sets_intersects_list") {
    return only(c.arg(0) * c.arg(1) * 1.0 + CostRange::fixed(1));
  }
  if (id == "list_sets_equivalent_list") {
    return only(c.arg(0) * c.arg(1) * 2.0 + CostRange::fixed(1));
  }
  if (c.e.target == nullptr) return std::nullopt;
  if (id == "list_slice") {
    const uint64_t start = int_literal(*c.e.args[0], 0);
    const uint64_t end = int_literal(*c.e.args[1], c.target().max);
    return list_made(1, CostRange::fixed(end - start));
  }
  if (id == "list_flatten") return list_made(1, c.target());
  if (id == "list_flatten_int") {
    return list_made(static_cast<double>(int_literal(*c.e.args[0], UINT64_MAX)), c.target());
  }
  if (id == "list_reverse") return list_made(1, c.target());
  if (id == "list_distinct") return list_made(2, c.target() * c.target());
  if (id.ends_with("_sort")) return compared(*c.e.target, c.sizes, id);
  if (id.ends_with("_sortByAssociatedKeys")) return compared(*c.e.args[0], c.sizes, id);
  return std::nullopt;
}

// --- Kubernetes' functions ---------------------------------------------------------------------

std::optional<CallCost> authorize(const Call&) { return only(CostRange::fixed(kAuthorizeCost)); }

std::optional<CallCost> selector(const Call& c) {
  if (c.count() != 1) return std::nullopt;
  return only(selector_cost(c.arg(0)));
}

std::optional<CallCost> traverse(const Call& c) {
  if (c.e.target == nullptr) return std::nullopt;
  const Type& t = *c.e.target->type;
  if (t.params.empty()) return only(c.target() * kTextFactor);
  CostRange each = CostRange::fixed(1);
  const TypeKind kind = t.params[0]->kind;
  if (kind == TypeKind::kString || kind == TypeKind::kBytes) {
    each = each + c.sizes.element_size(*c.e.target) * kTextFactor;
  }
  return only(c.target() * each);
}

std::optional<CallCost> read_text(const Call& c) {
  if (c.count() < 1) return std::nullopt;
  return only(c.arg(0) * kTextFactor);
}
std::optional<CallCost> read_text_twice(const Call& c) {
  if (c.count() < 1) return std::nullopt;
  return only(c.arg(0) * (2 * kTextFactor));
}
std::optional<CallCost> convert_text(const Call& c) {
  if (c.count() != 1) return std::nullopt;
  return CallCost{c.arg(0) * kTextFactor, c.arg(0)};
}
std::optional<CallCost> transform_text(const Call& c) {
  if (c.e.target == nullptr) return std::nullopt;
  return CallCost{c.target() * kTextFactor, c.target()};
}

std::optional<CallCost> replace(const Call& c) {
  if (c.e.target == nullptr || c.count() < 2) return std::nullopt;
  const CostRange text = c.target(), from = c.arg(0), to = c.arg(1);
  const auto times = [](uint64_t size, uint64_t by) {
    return static_cast<uint64_t>(std::ceil(static_cast<double>(size) / static_cast<double>(by)));
  };
  CostRange count{0, 0}, kept{0, 0};
  // The longest: between all letters, or as often as it fits, if it grows at all.
  if (from.min == 0) {
    count.max = add_capped(text.max, 1);
    kept.max = text.max;
  } else if (to.max <= from.min) {
    kept.max = text.max;
  } else {
    count.max = times(text.max, from.min);
  }
  if (from.max == 0) {
    count.min = add_capped(text.min, 1);
    kept.min = text.min;
  } else if (from.max <= to.min) {
    kept.min = text.min;
  } else {
    count.min = times(text.min, from.max);
  }
  return CallCost{text * (2 * kTextFactor), count * to + kept};
}

std::optional<CallCost> split(const Call& c) {
  if (c.e.target == nullptr) return std::nullopt;
  const CostRange text = c.target();
  uint64_t parts = text.max;
  if (c.count() > 1 && c.e.args[1]->kind == Expr::Kind::kLiteral) {
    if (const int64_t* i = std::get_if<int64_t>(&c.e.args[1]->literal)) {
      parts = static_cast<uint64_t>(*i);
    }
  }
  return CallCost{text * (2 * kTextFactor), CostRange{0, parts}};
}

std::optional<CallCost> join(const Call& c) {
  if (c.e.target == nullptr) return std::nullopt;
  const CostRange n = c.target();
  CostRange text{0, 0};
  if (!c.e.target->type->params.empty()) text = n * c.sizes.element_size(*c.e.target);
  if (c.count() > 0) {
    text = text + c.arg(0) * CostRange{n.min > 0 ? n.min - 1 : 0, n.max > 0 ? n.max - 1 : 0};
  }
  return CallCost{text * kTextFactor, text};
}

std::optional<CallCost> find(const Call& c) {
  if (c.e.target == nullptr || c.count() < 1) return std::nullopt;
  const CostRange text = c.target();
  return CallCost{(text + CostRange::fixed(1)) * kTextFactor * (c.arg(0) * kPatternFactor),
                  CostRange{0, text.max}};
}

std::optional<CallCost> ip(const Call& c) { return c.o.id == "cidr_ip" ? one(c) : read_text(c); }

constexpr CostRange kAddress{4, 16};  // bytes

std::optional<CallCost> contains_ip(const Call& c) {
  CostRange cost = (kAddress + kAddress) * kTextFactor;
  if (c.o.id == "cidr_contains_ip_string") cost = cost + c.arg(0) * kTextFactor;
  return only(cost);
}
std::optional<CallCost> contains_cidr(const Call& c) {
  CostRange cost =
      (kAddress + kAddress) * kTextFactor + kAddress * kTextFactor + CostRange::fixed(1);
  if (c.o.id == "cidr_contains_cidr_string") cost = cost + c.arg(0) * kTextFactor;
  return only(cost);
}

std::optional<CallCost> validate_format(const Call& c) {
  constexpr double kLongestPattern = 128;
  if (c.count() < 1) return std::nullopt;
  return only(c.arg(0) * kTextFactor * (kLongestPattern * kPatternFactor));
}

// `==` of a library's values.
std::optional<CallCost> equals(const Call& c) {
  if (c.count() != 2) return std::nullopt;
  const Type& a = *c.e.args[0]->type;
  const Type& b = *c.e.args[1]->type;
  if (a.name != b.name) return std::nullopt;
  if (a.kind == TypeKind::kOpaque) {
    if (a.name == "net.IP" || a.name == "net.CIDR") return one(c);
    return std::nullopt;
  }
  if (a.kind != TypeKind::kStruct) return std::nullopt;
  constexpr uint64_t kLongestFormat = 64;
  if (a.name == "kubernetes.NamedFormat") return only(CostRange{1, kLongestFormat} * kTextFactor);
  if (a.name == "kubernetes.URL") {
    const auto size = c.sizes.size(*c.e.args[1]);
    return only(CostRange{1, size ? size->max : 1} * kTextFactor);
  }
  if (a.name == "kubernetes.Quantity" || a.name == "kubernetes.Semver" ||
      a.name.starts_with("kubernetes.authorization.")) {
    return one(c);
  }
  return std::nullopt;
}

const std::map<std::string_view, Rule>& rules() {
  static const auto kRules = [] {
    std::map<std::string_view, Rule> r;
    const auto all = [&](std::initializer_list<std::string_view> names, Rule rule) {
      for (const std::string_view n : names) r[n] = rule;
    };
    all({"check"}, authorize);
    all({"serviceAccount", "path", "group", "resource", "subresource", "namespace", "name",
         "allowed", "reason", "error", "errored"},
        one);
    all({"fieldSelector", "labelSelector"}, selector);
    all({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"}, traverse);
    all({"url", "jsonpatch.escapeKey"}, convert_text);
    all({"lowerAscii", "upperAscii", "substring", "trim"}, transform_text);
    all({"replace"}, replace);
    all({"split"}, split);
    all({"join"}, join);
    all({"find", "findAll"}, find);
    all({"cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"}, read_text);
    all({"ip"}, ip);
    all({"ip.isCanonical"}, read_text_twice);
    all({"masked",
         "prefixLength",
         "family",
         "isUnspecified",
         "isLoopback",
         "isLinkLocalMulticast",
         "isLinkLocalUnicast",
         "isGlobalUnicast",
         "format.named",
         "sign",
         "asInteger",
         "isInteger",
         "asApproximateFloat",
         "isGreaterThan",
         "isLessThan",
         "compareTo",
         "add",
         "sub",
         "major",
         "minor",
         "patch",
         "getScheme",
         "getHostname",
         "getHost",
         "getPort",
         "getEscapedPath",
         "getQuery"},
        one);
    all({"containsIP"}, contains_ip);
    all({"containsCIDR"}, contains_cidr);
    all({"validate"}, validate_format);
    all({"_==_"}, equals);
    return r;
  }();
  return kRules;
}

}  // namespace

std::optional<CallCost> library_call_cost(const Expr& e, const Overload& o, SizeSource& sizes) {
  const Call c{e, o, sizes};
  if (std::optional<CallCost> cost = list_call(c)) return cost;
  const auto rule = rules().find(e.name);
  return rule == rules().end() ? std::nullopt : rule->second(c);
}

CallCost standard_call_cost(const Expr& e, const Overload& o, SizeSource& sizes) {
  const Call c{e, o, sizes};
  const std::string_view id = o.id;
  if (id == "string_format" && e.target != nullptr) {
    return {c.target() * kTextFactor, std::nullopt};
  }
  // Sizes wrap here, as upstream's do.
  if (id == "string_to_bytes") {
    return {c.arg(0) * kTextFactor, CostRange{c.arg(0).min, c.arg(0).max * 4}};
  }
  if (id == "bytes_to_string") {
    return {c.arg(0) * kTextFactor, CostRange{c.arg(0).min / 4, c.arg(0).max}};
  }
  if (id == "strings_quote") {
    return {c.arg(0) * kTextFactor, CostRange{c.arg(0).min + 2, c.arg(0).max * 2 + 2}};
  }
  if (id == "starts_with_string" || id == "ends_with_string") {
    return {c.arg(0) * kTextFactor, std::nullopt};
  }
  if (id == "in_list") return {c.arg(1) * 1.0, std::nullopt};
  if (id == "matches_string") {
    return {(c.target() + CostRange::fixed(1)) * kTextFactor * (c.arg(0) * kPatternFactor),
            std::nullopt};
  }
  if (id == "contains_string") {
    return {c.target() * kTextFactor * (c.arg(0) * kTextFactor), std::nullopt};
  }
  const bool compares =
      id == "equals" || id == "not_equals" || id == "less_string" || id == "greater_string" ||
      id == "less_equals_string" || id == "greater_equals_string" || id == "less_bytes" ||
      id == "greater_bytes" || id == "less_equals_bytes" || id == "greater_equals_bytes";
  if (!compares) return {CostRange::fixed(1), std::nullopt};
  const uint64_t most = std::min(c.arg(0).max, c.arg(1).max);
  return {CostRange{most > 0 ? uint64_t{1} : 0, most} * kTextFactor, std::nullopt};
}

}  // namespace keles::cel
