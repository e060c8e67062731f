// Paths of dots and quoted keys through a schema: find_schema_field() of schema_check.h.
#include <optional>

#include "machinery/schema_check.h"

namespace keles {
namespace {

// '.', '[' and ']' are tokens, a text in single quotes is one, and what lies between is one.
class Tokens {
 public:
  explicit Tokens(std::string_view s) : s_(s) {}
  std::optional<std::string_view> next() {
    if (s_.empty()) return std::nullopt;
    size_t n = 0;
    if (s_[0] == '\'') {
      for (n = 1; n < s_.size(); ++n) {
        if (s_[n] == '\'' && s_[n - 1] != '\\') break;
      }
      n = n < s_.size() ? n + 1 : s_.size();
    } else {
      n = s_.find_first_of(".[]");
      n = n == 0 ? 1 : n == s_.npos ? s_.size() : n;
    }
    std::string_view out = s_.substr(0, n);
    s_.remove_prefix(n);
    return out;
  }

 private:
  std::string_view s_;
};

// Only quotes and backslashes are escaped in such a text.
std::optional<std::string> unescaped(std::string_view s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\') {
      out += s[i];
    } else if (i + 1 < s.size() && (s[i + 1] == '\'' || s[i + 1] == '\\')) {
      out += s[++i];
    } else {
      return std::nullopt;
    }
  }
  return out;
}

class Walk {
 public:
  Walk(const Value& schema, bool keys) : keys_(keys) { out_.found = &schema; }

  SchemaField run(std::string_view path) {
    Tokens tokens(path);
    while (auto t = tokens.next()) {
      std::string why;
      if (*t == ".") {
        auto name = tokens.next();
        why = name ? step(std::string(*name)) : "unexpected end of JSON path";
      } else if (*t == "[") {
        why = keys_ ? key(tokens) : "array notation is not allowed";
      } else {
        why = "expected [ or . but got: " + std::string(*t);
      }
      if (!why.empty()) return {nullptr, {}, std::move(why)};
    }
    return std::move(out_);
  }

 private:
  std::string key(Tokens& tokens) {
    auto t = tokens.next();
    if (!t) return "unexpected end of JSON path";
    if (t->size() < 2 || t->front() != '\'' || t->back() != '\'') {
      return "expected single quoted string but got " + std::string(*t);
    }
    auto name = unescaped(t->substr(1, t->size() - 2));
    if (!name) return "invalid string literal: invalid syntax";
    if (std::string why = step(std::move(*name)); !why.empty()) return why;
    t = tokens.next();
    if (!t) return "unexpected end of JSON path";
    return *t == "]" ? "" : "expected ] but got " + std::string(*t);
  }

  std::string step(std::string name) {
    const Value& properties = (*out_.found)["properties"];
    const Value& additional = (*out_.found)["additionalProperties"];
    if (!properties.empty()) {
      out_.found = properties.find(name);
      if (out_.found == nullptr) return "does not refer to a valid field";
      out_.path += (out_.path.empty() ? "" : ".") + name;
      return {};
    }
    if (additional.is_null()) return "does not refer to a valid field";
    out_.found = &additional;
    out_.path += "[" + name + "]";
    return {};
  }

  bool keys_;
  SchemaField out_;
};

}  // namespace

SchemaField find_schema_field(const Value& schema, std::string_view path, bool keys) {
  return Walk(schema, keys).run(path);
}

}  // namespace keles
