#include "machinery/described_rules.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <span>
#include <string>

#include "base/encoding.h"
#include "machinery/quantity.h"
#include "machinery/rule_words.h"
#include "machinery/value_rules.h"

namespace keles {
namespace {

constexpr int kMaxDepth = 64;  // descriptions may refer to themselves (JSONSchemaProps)

bool is_set(const Value* v) {
  if (v == nullptr || v->is_null()) return false;
  if (v->is_string()) return !v->as_string().empty();
  return !((v->is_list() || v->is_map()) && v->empty());
}

class Described {
 public:
  explicit Described(FieldErrors& errors) : e_(errors) {}

  void message(const TypeDesc& type, const FieldPath& p, const Value& now, const Value* before,
               int depth) {
    if (depth > kMaxDepth || !type.has_rules || !now.is_map() || type.form != Form::kObject) return;
    if (type.rules != nullptr && type.rules->described != nullptr) {
      for (const UnionRule& u : type.rules->described->unions) one_of(u, p, now);
    }
    for (const FieldDesc& f : type.fields) {
      one_field(f, p[f.name], now.find(f.name), member(before, f.name), depth);
    }
  }

  // A field by itself: an empty text is one that is there only where Go has a pointer.
  void alone(const FieldDesc& f, const FieldPath& p, const Value* now) {
    const DescribedRules* d = f.rules != nullptr ? f.rules->described : nullptr;
    const bool single = f.cardinality == Cardinality::kSingle;
    const bool text = f.type == FieldType::kString && single;
    if (!is_set(now) && ((d != nullptr && d->not_empty) || (text && f.required))) {
      field::required(e_, p, std::string(d != nullptr && d->not_empty ? d->detail : ""));
      return;
    }
    if (now == nullptr || now->is_null()) return;
    if (text && !is_set(now) && !f.pointer) return;
    if (f.rules != nullptr) value(*f.rules, !single, p, *now, f.pointer);
    if (text) enumerated(f, p, *now);
  }

  void kept(const FieldDesc& f, const FieldPath& p, const Value* now, const Value* before) {
    if (f.rules == nullptr || f.rules->described == nullptr) return;
    unchangeable(*f.rules->described, p, now, before != nullptr ? before : &Value::null());
  }

  void root(const TypeDesc& type, const Value& now, const Value* before) {
    for (const FieldDesc& f : type.fields) {
      if (f.name == "metadata" || f.name == "status") continue;
      one_field(f, FieldPath(f.name), now.find(f.name), member(before, f.name), 0);
    }
  }

 private:
  static const Value* member(const Value* v, std::string_view name) {
    return v != nullptr ? v->find(name) : nullptr;
  }

  void one_field(const FieldDesc& f, const FieldPath& p, const Value* now, const Value* before,
                 int depth) {
    const ValueRules* rules = f.rules;
    const DescribedRules* d = rules != nullptr ? rules->described : nullptr;
    if (d != nullptr && before != nullptr && unchangeable(*d, p, now, before)) return;
    if (d != nullptr && d->not_empty && !is_set(now)) {
      field::required(e_, p, std::string(d->detail));
      return;
    }
    if (now == nullptr || now->is_null()) {
      const bool text = f.type == FieldType::kString || f.type == FieldType::kIntOrString;
      if (f.required && f.cardinality == Cardinality::kSingle && text) field::required(e_, p);
      return;
    }
    if (rules != nullptr) value(*rules, f.cardinality != Cardinality::kSingle, p, *now);
    within(f, p, *now, before, depth);
  }

  void within(const FieldDesc& f, const FieldPath& p, const Value& now, const Value* before,
              int depth) {
    const ValueRules* each = f.rules != nullptr ? f.rules->items : nullptr;
    switch (f.cardinality) {
      case Cardinality::kSingle:
        element(f, nullptr, p, now, before, depth);
        return;
      case Cardinality::kList:
        for (size_t i = 0; i < now.size(); ++i) {
          element(f, each, p[i], now.at(i), same_item(f, now.at(i), i, before), depth);
        }
        return;
      case Cardinality::kMap:
        for (const Member& m : now.members()) {
          element(f, each, p.key(m.key()), m.value, member(before, m.key()), depth);
        }
    }
  }

  // The item that this one was, by its keys, or by its place where the list has none.
  static const Value* same_item(const FieldDesc& f, const Value& item, size_t i,
                                const Value* before) {
    if (before == nullptr) return nullptr;
    if (f.list_map_keys.empty()) return i < before->size() ? &before->at(i) : nullptr;
    for (const Value& x : before->items()) {
      const bool same = std::all_of(f.list_map_keys.begin(), f.list_map_keys.end(),
                                    [&](std::string_view k) { return x[k].equals(item[k]); });
      if (same) return &x;
    }
    return nullptr;
  }

  void element(const FieldDesc& f, const ValueRules* rules, const FieldPath& p, const Value& now,
               const Value* before, int depth) {
    if (rules != nullptr) value(*rules, false, p, now);
    if (f.type == FieldType::kMessage) {
      message(*f.message, p, now, before, depth + 1);
    } else if (f.type == FieldType::kString && is_set(&now)) {
      enumerated(f, p, now);
    }
  }

  void enumerated(const FieldDesc& f, const FieldPath& p, const Value& now) {
    if (!f.enum_values.empty()) one_of_words(f.enum_values, p, now.as_string());
  }

  void one_of_words(std::span<const std::string_view> words, const FieldPath& p,
                    std::string_view s) {
    if (std::find(words.begin(), words.end(), s) == words.end()) {
      field::not_supported(e_, p, s, words);
    }
  }

  // Whether the field was changed, and may not be.
  bool unchangeable(const DescribedRules& d, const FieldPath& p, const Value* now,
                    const Value* before) {
    if (!d.immutable && !(d.set_once && is_set(before))) return false;
    const Value& is = now != nullptr ? *now : Value::null();
    if (is.equals(*before)) return false;
    field::invalid(e_, p, is, d.detail.empty() ? "field is immutable" : std::string(d.detail));
    return true;
  }

  void one_of(const UnionRule& u, const FieldPath& p, const Value& now) {
    std::string all, set;
    size_t n = 0;
    for (std::string_view name : u.fields) {
      all += (all.empty() ? "`" : ", `") + std::string(name) + "`";
      const Value* v = now.find(name);
      if (v == nullptr || v->is_null()) continue;
      set += (set.empty() ? "" : ", ") + std::string(name);
      ++n;
    }
    if (n == 0 && u.exactly_one) field::invalid(e_, p, "", "must specify one of: " + all);
    if (n > 1) {
      field::invalid(e_, p, "{" + set + "}",
                     std::string(u.exactly_one ? "must specify exactly one of: "
                                               : "must specify at most one of: ") +
                         all);
    }
  }

  // A value against its own rules. `collection`: a list or a map; `even_empty`: an empty text, too.
  void value(const ValueRules& r, bool collection, const FieldPath& p, const Value& v,
             bool even_empty = false) {
    if (r.limits != nullptr) limits(r, collection, p, v);
    if (r.pattern != nullptr && v.is_string() && !r.pattern->matches(v.as_string())) {
      field::invalid(e_, p, v.as_string(), pattern_words(r));
    }
    if (r.described == nullptr) return;
    const DescribedRules& d = *r.described;
    const bool text = v.is_string() && (even_empty || is_set(&v));
    if (!d.words.empty() && text) one_of_words(d.words, p, v.as_string());
    if (d.text != nullptr && text) {
      for (std::string& why : d.text(v.as_string())) {
        field::invalid(e_, p, v.as_string(),
                       d.detail.empty() ? std::move(why) : std::string(d.detail));
        if (!d.detail.empty()) break;
      }
    }
    if (d.key != nullptr) {
      for (const Member& m : v.members()) {
        field::invalid_each(e_, p.key(m.key()), m.key(), d.key(m.key()));
      }
    }
    if (d.whole != nullptr) d.whole(e_, p, v);
    if (d.quantity) quantity(p, v);
    if (!d.unique.empty()) unique(d, p, v);
  }

  static std::string pattern_words(const ValueRules& r) {
    if (r.described != nullptr && !r.described->detail.empty()) {
      return std::string(r.described->detail);
    }
    return "must match the regex " + std::string(r.pattern->text());
  }

  void quantity(const FieldPath& p, const Value& v) {
    auto q = Quantity::parse(v.as_string());
    if (q.ok() && *q < Quantity()) {
      field::invalid(e_, p, v.as_string(), "must be greater than or equal to 0");
    }
  }

  void unique(const DescribedRules& d, const FieldPath& p, const Value& list) {
    std::set<std::string> seen;
    for (size_t i = 0; i < list.size(); ++i) {
      const Value& x = list.at(i);
      const bool whole = d.unique.size() == 1 && d.unique[0].empty();
      std::string key;
      if (whole) key = rule_words::json_text(x);
      if (!whole) {
        for (std::string_view k : d.unique) key += rule_words::json_text(x[k]) + "\n";
      }
      if (seen.insert(std::move(key)).second) continue;
      if (!whole && d.unique.size() == 1) {
        field::duplicate(e_, p[i][d.unique[0]], x[d.unique[0]]);
      } else {
        field::duplicate(e_, p[i], x);
      }
    }
  }

  void limits(const ValueRules& r, bool collection, const FieldPath& p, const Value& v) {
    const Limits& l = *r.limits;
    const std::string detail(r.described != nullptr ? r.described->detail : std::string_view());
    auto wrong = [&](const std::string& words) {
      field::invalid(e_, p, v, detail.empty() ? words : detail);
    };
    if (v.is_number() && !collection) {
      const double n = v.as_double();
      auto shown = [](double d) { return std::to_string(static_cast<int64_t>(d)); };
      const bool low = n<l.minimum, high = n> l.maximum;  // never of what is no bound
      if ((low || high) && r.described != nullptr && r.described->sized_as_range) {
        wrong("must be between " + shown(l.minimum) + " and " + shown(l.maximum) + ", inclusive");
      } else if (low) {
        wrong("must be greater than or equal to " + shown(l.minimum));
      } else if (high) {
        wrong("must be less than or equal to " + shown(l.maximum));
      }
    }
    if (v.is_string()) {
      const auto size = static_cast<int64_t>(v.as_string().size());
      if (l.max_length != Limits::kNone && size > l.max_length) {
        field::too_long(e_, p, static_cast<size_t>(l.max_length));
      }
      if (l.min_length != Limits::kNone && size < l.min_length) {
        wrong("must be at least " + std::to_string(l.min_length) +
              (l.min_length == 1 ? " character" : " characters"));
      }
    }
    if (!collection) return;
    const auto size = static_cast<int64_t>(v.size());
    if (l.max_items != Limits::kNone && size > l.max_items) {
      field::too_many(e_, p, v.size(), static_cast<size_t>(l.max_items));
    }
    if (l.min_items != Limits::kNone && size < l.min_items) {
      wrong("must have at least " + std::to_string(l.min_items) +
            (l.min_items == 1 ? " item" : " items"));
    }
  }

  FieldErrors& e_;
};

const FieldDesc& field_of(const TypeDesc& type, std::string_view name) {
  for (const FieldDesc& f : type.fields) {
    if (f.name == name) return f;
  }
  std::abort();  // the caller names a field of another type
}

}  // namespace

void check_described(FieldErrors& errors, const TypeDesc& type, const Value& now,
                     const Value* before) {
  Described(errors).root(type, now, before);
}

void check_described_part(FieldErrors& errors, const TypeDesc& type, const FieldPath& path,
                          const Value& now, const Value* before) {
  Described(errors).message(type, path, now, before, 0);
}

void check_described_field(FieldErrors& errors, const TypeDesc& type, const FieldPath& at,
                           std::string_view field, const Value& now) {
  const FieldDesc& f = field_of(type, field);
  Described(errors).alone(f, at[field], now.find(field));
}

void check_described_kept(FieldErrors& errors, const TypeDesc& type, const FieldPath& at,
                          std::string_view field, const Value& now, const Value& before) {
  const FieldDesc& f = field_of(type, field);
  Described(errors).kept(f, at[field], now.find(field), before.find(field));
}

}  // namespace keles
