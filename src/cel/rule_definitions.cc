// What is wrong with the rules of a schema when a definition is written: see rules.h.
#include <algorithm>
#include <cstdio>
#include <optional>

#include "cel/rules.h"
#include "machinery/rule_words.h"

namespace keles::cel {
namespace {

// Estimated costs of a rule (times how often its place can occur), and of all of a schema.
constexpr uint64_t kRuleCostLimit = 10'000'000, kSchemaCostLimit = 100'000'000;

std::string cost_words(std::string_view what, uint64_t cost, uint64_t limit) {
  const double factor = static_cast<double>(cost) / static_cast<double>(limit);
  char times[64] = "more than 100x";
  if (factor < 1.5) {
    std::snprintf(times, sizeof times, "%fx", factor);
  } else if (factor <= 100) {
    std::snprintf(times, sizeof times, "%.1fx", factor);
  }
  return std::string(what) + " exceeds budget by factor of " + times +
         " (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where "
         "arrays, maps, and strings are declared)";
}

// As Go's JSON writes a text: what HTML gives a meaning is escaped.
std::string go_json(std::string_view s) {
  std::string out;
  for (const char c : rule_words::json_text(Value::string(s))) {
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else {
      out += c;
    }
  }
  return out;
}

std::string go_json(const CompiledRule& r) {
  return "{\"Rule\":" + go_json(r.rule) + ",\"Message\":" + go_json(r.message) +
         ",\"MessageExpression\":" + go_json(r.message_expression) +
         ",\"Reason\":" + (r.reason.empty() ? "null" : go_json(r.reason)) +
         ",\"FieldPath\":" + go_json(r.field_path) + ",\"OptionalOldSelf\":" +
         (!r.says_optional_old_self ? "null"
          : r.optional_old_self     ? "true"
                                    : "false") +
         "}";
}

bool is_embedded(const Value& s) { return s["x-kubernetes-embedded-resource"].as_bool(); }

class DefinitionCheck {
 public:
  DefinitionCheck(FieldErrors& errors, bool unchanged) : errors_(errors), unchanged_(unchanged) {}

  // Defaults hold under the rules of their own place.
  void defaults(const Value& s, const TreePath& path) {
    if (!s.is_map()) return;
    const Value& preset = s["default"];
    if (!preset.is_null()) {
      if (const auto tree = RuleTree::compile(s, is_embedded(s))) {
        const std::string at = path.child("default").text();
        RuleTree::Check check{errors_, nullptr, at, budget_};
        const size_t before = errors_.size();
        tree->check(check, preset, &preset);
        // A rule may ask whether there was something: there need not have been.
        if (errors_.size() == before) {
          RuleTree::Check created{errors_, nullptr, at, budget_};
          tree->check(created, preset, nullptr);
          check.budget = std::min(check.budget, created.budget);
        }
        budget_ = check.budget;
        if (budget_ < 0) return;
      }
    }
    for (const Member& m : s["properties"].members()) {
      defaults(m.value, path.child("properties").key(m.key()));
    }
    defaults(s["items"], path.child("items"));
    defaults(s["additionalProperties"], path.child("additionalProperties"));
  }

  struct Context {
    bool in_scope = false;             // here or above there are rules
    DeclPtr decl;                      // of this place, once it is in scope
    std::optional<uint64_t> most = 1;  // how often the place can occur; nothing: without a bound
    const TreePath* no_old = nullptr;  // below it there is no oldSelf
  };

  void schema(const Value& s, const TreePath& path, Context c, bool root) {
    if (!s["x-kubernetes-validations"].empty()) c.in_scope = true;
    if (c.in_scope && c.decl == nullptr) c.decl = decl_type(s, root || is_embedded(s));
    const Value& additional = s["additionalProperties"];
    if (additional.is_map()) {
      schema(additional, path.child("additionalProperties"),
             child(s, c, c.decl == nullptr ? nullptr : c.decl->element), false);
    }
    const std::string_view map_type = s["x-kubernetes-map-type"].as_string();
    const bool correlates = map_type.empty() || map_type == "granular" || map_type == "atomic";
    const TreePath properties = path.child("properties");
    for (const Member& m : s["properties"].members()) {
      const DeclField* f = c.decl == nullptr ? nullptr : c.decl->find(m.key());
      Context inner = child(s, c, f != nullptr && f->visible && !f->implied ? f->type : nullptr);
      if (!correlates && inner.no_old == nullptr) inner.no_old = &path;
      schema(m.value, properties.key(m.key()), std::move(inner), false);
    }
    if (s["items"].is_map()) {
      Context inner = child(s, c, c.decl == nullptr ? nullptr : c.decl->element);
      if (s["x-kubernetes-list-type"].as_string() != "map" && inner.no_old == nullptr) {
        inner.no_old = &path;
      }
      schema(s["items"], path.child("items"), std::move(inner), false);
    }
    rules(s, path, c);
  }

  void total(const TreePath& path) {
    if (total_ <= kSchemaCostLimit) return;
    for (const auto& [at, cost] : expensive_) {
      forbidden(
          at,
          "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 "
          "schema");
    }
    forbidden(path.text(),
              cost_words("x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 "
                         "schema",
                         total_, kSchemaCostLimit));
  }

 private:
  static Context child(const Value& parent, const Context& c, DeclPtr decl) {
    Context inner{c.in_scope, c.in_scope ? std::move(decl) : nullptr, std::nullopt, c.no_old};
    if (!c.most) return inner;
    const std::string_view type = parent["type"].as_string();
    const Value* bound = nullptr;
    if (type == "object" && !parent["additionalProperties"].is_null()) {
      bound = &parent["maxProperties"];
    } else if (type == "array") {
      bound = &parent["maxItems"];
    }
    if (bound == nullptr) {
      inner.most = *c.most;
    } else if (!bound->is_null()) {
      const int64_t n = std::max<int64_t>(bound->as_int(), 0);
      inner.most = multiply_capped(*c.most, static_cast<uint64_t>(n));
    }
    return inner;
  }

  void forbidden(const std::string& path, const std::string& detail) {
    errors_.push_back({"FieldValueForbidden", "Forbidden: " + detail, path});
  }
  void invalid(const TreePath& path, const std::string& value, const std::string& detail) {
    errors_.push_back(
        {"FieldValueInvalid", "Invalid value: " + value + ": " + detail, path.text()});
  }

  void rules(const Value& s, const TreePath& path, const Context& c) {
    if (s["x-kubernetes-validations"].empty()) return;
    const TreePath list = path.child("x-kubernetes-validations");
    if (c.decl == nullptr) {
      errors_.push_back({"InternalError",
                         "Internal error: internal error: failed to construct type information for "
                         "x-kubernetes-validations rules: unable to convert structural schema to "
                         "CEL declarations",
                         list.text()});
      return;
    }
    size_t i = 0;
    for (const CompiledRule& r : compile_rules(s, c.decl)) rule(r, list.index(i++), c);
  }

  void rule(const CompiledRule& r, const TreePath& path, const Context& c) {
    const TreePath at = path.child("rule"), message = path.child("messageExpression");
    // Without a bound above it: as often as the shortest fits into a request.
    const auto often =
        c.most.value_or(static_cast<uint64_t>(kMaxRequestBytes / (c.decl->min_size + 1)));
    const uint64_t cost = multiply_capped(r.max_cost, often);
    if (!unchanged_ && cost > kRuleCostLimit) {
      forbidden(at.text(), cost_words("estimated rule cost", cost, kRuleCostLimit));
    }
    observe(at, cost);
    if (!r.error.empty()) invalid(at, go_json(r), r.error);
    if (!r.message_error.empty()) {
      invalid(message, go_json(r), r.message_error);
    } else if (r.message_program != nullptr) {
      if (!unchanged_ && r.message_max_cost > kRuleCostLimit) {
        forbidden(message.text(), cost_words("estimated messageExpression cost", r.message_max_cost,
                                             kRuleCostLimit));
      }
      observe(message, r.message_max_cost);
    }
    if (r.uses_old_self) {
      if (c.no_old != nullptr) {
        invalid(at, rule_words::shown(Value::string(r.rule)),
                "oldSelf cannot be used on the uncorrelatable portion of the schema within " +
                    c.no_old->text());
      }
    } else if (r.says_optional_old_self) {
      invalid(path.child("optionalOldSelf"), r.optional_old_self ? "true" : "false",
              "may not be set if oldSelf is not used in rule");
    }
  }

  // The four that cost most, of those that count.
  void observe(const TreePath& path, uint64_t cost) {
    total_ = add_capped(total_, cost);
    if (cost < kSchemaCostLimit / 100) return;
    expensive_.emplace_back(path.text(), cost);
    std::stable_sort(expensive_.begin(), expensive_.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    if (expensive_.size() > 4) expensive_.resize(4);
  }

  FieldErrors& errors_;
  bool unchanged_;
  int64_t budget_ = static_cast<int64_t>(kRunBudget);
  uint64_t total_ = 0;
  std::vector<std::pair<std::string, uint64_t>> expensive_;
};

}  // namespace

void check_rule_definitions(FieldErrors& errors, const Value& schema, std::string_view path,
                            bool unchanged) {
  const TreePath at = TreePath::text(path);
  const size_t before = errors.size();
  DefinitionCheck check(errors, unchanged);
  check.defaults(schema, at);
  if (errors.size() != before) return;
  check.schema(schema, at, {}, true);
  check.total(at);
}

}  // namespace keles::cel
