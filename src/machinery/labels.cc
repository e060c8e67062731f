#include "machinery/labels.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/list_text.h"
#include "machinery/label_map.h"
#include "machinery/validation.h"

namespace keles {
namespace {

using Op = LabelRequirement::Op;
constexpr size_t kMaxText = 64 * 1024;

std::optional<int64_t> to_int(std::string_view s) {
  int64_t v = 0;
  if (!s.empty() && s[0] == '+') s.remove_prefix(1);
  auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (s.empty() || ec != std::errc() || end != s.data() + s.size()) return std::nullopt;
  return v;
}

enum class Token : uint8_t {
  kError,
  kEnd,
  kClose,
  kComma,
  kNot,
  kDoubleEquals,
  kEquals,
  kGreater,
  kLess,
  kIdentifier,
  kIn,
  kNotEquals,
  kNotIn,
  kOpen,
};

struct Lexeme {
  Token token;
  std::string_view text;
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_special(char c) { return std::string_view("=!(),><").find(c) != std::string_view::npos; }

class Lexer {
 public:
  explicit Lexer(std::string_view s) : s_(s) {}
  Lexeme next() {
    while (!s_.empty() && is_space(s_[0])) s_.remove_prefix(1);
    if (s_.empty()) return {Token::kEnd, ""};
    if (!is_special(s_[0])) {
      size_t n = 0;
      while (n < s_.size() && !is_special(s_[n]) && !is_space(s_[n])) ++n;
      std::string_view word = take(n);
      if (word == "in") return {Token::kIn, word};
      if (word == "notin") return {Token::kNotIn, word};
      return {Token::kIdentifier, word};
    }
    std::string_view two = s_.substr(0, 2);
    if (two == "==") return {Token::kDoubleEquals, take(2)};
    if (two == "!=") return {Token::kNotEquals, take(2)};
    std::string_view one = take(1);
    switch (one[0]) {
      case ')':
        return {Token::kClose, one};
      case '(':
        return {Token::kOpen, one};
      case ',':
        return {Token::kComma, one};
      case '!':
        return {Token::kNot, one};
      case '=':
        return {Token::kEquals, one};
      case '>':
        return {Token::kGreater, one};
      default:
        return {Token::kLess, one};
    }
  }

 private:
  std::string_view take(size_t n) {
    std::string_view t = s_.substr(0, n);
    s_.remove_prefix(n);
    return t;
  }
  std::string_view s_;
};

class Parser {
 public:
  explicit Parser(std::string_view text) {
    Lexer lexer(text);
    do {
      tokens_.push_back(lexer.next());
    } while (tokens_.back().token != Token::kEnd);
  }

  Result<Selector> parse() {
    Selector out;
    while (true) {
      Lexeme t = look(true);
      if (t.token == Token::kEnd) return out;
      if (t.token != Token::kIdentifier && t.token != Token::kNot) {
        return found(t, "!, identifier, or 'end of string'");
      }
      auto r = requirement();
      if (!r.ok()) return r.status().with_prefix("unable to parse requirement");
      out.add(std::move(*r));
      t = take(true);
      if (t.token == Token::kEnd) return out;
      if (t.token != Token::kComma) return found(t, "',' or 'end of string'");
      t = look(true);
      if (t.token != Token::kIdentifier && t.token != Token::kNot) {
        return found(t, "identifier after ','");
      }
    }
  }

 private:
  static Status found(const Lexeme& t, std::string_view expected) {
    return Status::bad_request("found '" + std::string(t.text) +
                               "', expected: " + std::string(expected));
  }
  // Where values are expected, `in` and `notin` are plain words.
  Lexeme look(bool values) const {
    Lexeme t = tokens_[at_];
    if (values && (t.token == Token::kIn || t.token == Token::kNotIn)) t.token = Token::kIdentifier;
    return t;
  }
  Lexeme take(bool values) {
    Lexeme t = look(values);
    if (at_ + 1 < tokens_.size()) ++at_;
    return t;
  }

  Result<LabelRequirement> requirement() {
    LabelRequirement r;
    Lexeme t = take(true);
    bool negated = t.token == Token::kNot;
    if (negated) t = take(true);
    if (t.token != Token::kIdentifier) return found(t, "identifier");
    r.key = t.text;
    FieldErrors errors;
    validate_label_key(errors, FieldPath(), r.key);
    if (!errors.empty()) return first_error(errors);
    Token next = look(true).token;
    if (negated) {
      r.op = Op::kDoesNotExist;
      return r;
    }
    if (next == Token::kEnd || next == Token::kComma) {
      r.op = Op::kExists;
      return r;
    }
    TRY(op(&r));
    if (r.op == Op::kIn || r.op == Op::kNotIn) {
      TRY(value_list(&r));
    } else {
      TRY(exact_value(&r));
    }
    TRY(check(&r));
    return r;
  }

  static Status first_error(const FieldErrors& errors) {
    return Status::bad_request(aggregate(errors));
  }

  Status op(LabelRequirement* r) {
    Lexeme t = take(false);
    switch (t.token) {
      case Token::kIn:
        r->op = Op::kIn;
        break;
      case Token::kNotIn:
        r->op = Op::kNotIn;
        break;
      case Token::kEquals:
        r->op = Op::kEquals;
        break;
      case Token::kDoubleEquals:
        r->op = Op::kDoubleEquals;
        break;
      case Token::kNotEquals:
        r->op = Op::kNotEquals;
        break;
      case Token::kGreater:
        r->op = Op::kGreaterThan;
        break;
      case Token::kLess:
        r->op = Op::kLessThan;
        break;
      default:
        return found(t, "in, notin, =, ==, !=, gt, lt");
    }
    return {};
  }

  Status exact_value(LabelRequirement* r) {
    Token next = look(true).token;
    if (next == Token::kEnd || next == Token::kComma) {
      r->values.emplace_back();
      return {};
    }
    Lexeme t = take(true);
    if (t.token != Token::kIdentifier) return found(t, "identifier");
    r->values.emplace_back(t.text);
    return {};
  }

  Status value_list(LabelRequirement* r) {
    Lexeme t = take(true);
    if (t.token != Token::kOpen) return found(t, "'('");
    t = look(true);
    if (t.token == Token::kClose) {
      take(true);
      return {};
    }
    if (t.token != Token::kIdentifier && t.token != Token::kComma) {
      return found(t, "',', ')' or identifier");
    }
    bool want_value = true;  // an empty place between commas is the empty value
    while (true) {
      t = take(true);
      if (t.token == Token::kIdentifier && want_value) {
        r->values.emplace_back(t.text);
        want_value = false;
      } else if (t.token == Token::kComma) {
        if (want_value) r->values.emplace_back();
        want_value = true;
      } else if (t.token == Token::kClose) {
        if (want_value) r->values.emplace_back();
        return {};
      } else {
        return found(t, want_value ? "',', or identifier" : "',' or ')'");
      }
    }
  }

  static Status check(LabelRequirement* r) {
    std::sort(r->values.begin(), r->values.end());
    r->values.erase(std::unique(r->values.begin(), r->values.end()), r->values.end());
    FieldErrors errors;
    if ((r->op == Op::kIn || r->op == Op::kNotIn) && r->values.empty()) {
      field::invalid(errors, FieldPath("values"), Value::list(),
                     "for 'in', 'notin' operators, values set can't be empty");
    }
    if (r->op == Op::kGreaterThan || r->op == Op::kLessThan) {
      for (const std::string& v : r->values) {
        if (!to_int(v)) {
          field::invalid(errors, FieldPath("values")[0], v,
                         "for 'Gt', 'Lt' operators, the value must be an integer");
        }
      }
    }
    for (size_t i = 0; i < r->values.size(); ++i) {
      field::invalid_each(errors, FieldPath("values")[i].key(r->key), r->values[i],
                          check_label_value(r->values[i]));
    }
    return errors.empty() ? Status() : first_error(errors);
  }

  std::vector<Lexeme> tokens_;
  size_t at_ = 0;
};

std::string joined(const std::vector<std::string>& v) {
  std::string s;
  for (size_t i = 0; i < v.size(); ++i) s += (i ? "," : "") + v[i];
  return s;
}

// A set of nothing but the empty value reads as no set when written `()`.
std::string in_brackets(const std::vector<std::string>& v) {
  return v.size() == 1 && v[0].empty() ? "(,)" : "(" + joined(v) + ")";
}

}  // namespace

namespace {

// `value`: the label's; nothing when it is not there.
bool allows(const LabelRequirement& r, std::optional<std::string_view> value) {
  using Op = LabelRequirement::Op;
  auto among = [&] {
    return std::find(r.values.begin(), r.values.end(), *value) != r.values.end();
  };
  switch (r.op) {
    case Op::kEquals:
    case Op::kDoubleEquals:
    case Op::kIn:
      return value && among();
    case Op::kNotEquals:
    case Op::kNotIn:
      return !value || !among();
    case Op::kExists:
      return value.has_value();
    case Op::kDoesNotExist:
      return !value;
    case Op::kGreaterThan:
    case Op::kLessThan: {
      if (!value || r.values.size() != 1) return false;
      auto a = to_int(*value), b = to_int(r.values[0]);
      return a && b && (r.op == Op::kGreaterThan ? *a > *b : *a < *b);
    }
  }
  return false;
}

}  // namespace

bool LabelRequirement::matches(const Value& labels) const {
  const Value* found = labels.find(key);
  return allows(*this, found ? std::optional(found->as_string()) : std::nullopt);
}

std::string LabelRequirement::to_string() const {
  switch (op) {
    case Op::kEquals:
      return key + "=" + joined(values);
    case Op::kDoubleEquals:
      return key + "==" + joined(values);
    case Op::kNotEquals:
      return key + "!=" + joined(values);
    case Op::kIn:
      return key + " in " + in_brackets(values);
    case Op::kNotIn:
      return key + " notin " + in_brackets(values);
    case Op::kExists:
      return key;
    case Op::kDoesNotExist:
      return "!" + key;
    case Op::kGreaterThan:
      return key + ">" + joined(values);
    case Op::kLessThan:
      return key + "<" + joined(values);
  }
  return key;
}

Selector Selector::nothing() {
  Selector s;
  s.nothing_ = true;
  return s;
}

void Selector::add(LabelRequirement r) {
  auto at = std::upper_bound(requirements_.begin(), requirements_.end(), r,
                             [](const auto& a, const auto& b) { return a.key < b.key; });
  requirements_.insert(at, std::move(r));
}

Result<Selector> Selector::parse(std::string_view text) {
  if (text.size() > kMaxText) {
    return Status::bad_request(
        "unable to parse requirement: the selector is longer than 65536 "
        "bytes");
  }
  return Parser(text).parse();
}

Result<Selector> Selector::from_label_selector(const Value& selector) {
  if (selector.is_null()) return nothing();
  Selector out;
  for (const Member& m : selector["matchLabels"].members()) {
    out.add({std::string(m.key()), Op::kEquals, {std::string(m.value.as_string())}});
  }
  for (const Value& e : selector["matchExpressions"].items()) {
    LabelRequirement r;
    r.key = e["key"].as_string();
    std::string_view op = e["operator"].as_string();
    if (op == "In") {
      r.op = Op::kIn;
    } else if (op == "NotIn") {
      r.op = Op::kNotIn;
    } else if (op == "Exists") {
      r.op = Op::kExists;
    } else if (op == "DoesNotExist") {
      r.op = Op::kDoesNotExist;
    } else {
      return Status::bad_request(quoted(op) + " is not a valid label selector operator");
    }
    for (const Value& v : e["values"].items()) r.values.emplace_back(v.as_string());
    std::sort(r.values.begin(), r.values.end());
    r.values.erase(std::unique(r.values.begin(), r.values.end()), r.values.end());
    out.add(std::move(r));
  }
  return out;
}

Selector Selector::from_set(const Value& labels) {
  Selector out;
  for (const Member& m : labels.members()) {
    out.add({std::string(m.key()), Op::kEquals, {std::string(m.value.as_string())}});
  }
  return out;
}

bool Selector::matches(const Value& labels) const {
  if (nothing_) return false;
  return std::all_of(requirements_.begin(), requirements_.end(),
                     [&](const LabelRequirement& r) { return r.matches(labels); });
}

bool matches(const Selector& selector, const LabelMap& labels) {
  const auto& all = selector.requirements();
  if (selector.is_nothing()) return false;
  return std::all_of(all.begin(), all.end(), [&](const LabelRequirement& r) {
    auto at = labels.find(r.key);
    return allows(r,
                  at == labels.end() ? std::nullopt : std::optional<std::string_view>(at->second));
  });
}

std::string Selector::to_string() const {
  std::string s;
  for (const LabelRequirement& r : requirements_) s += (s.empty() ? "" : ",") + r.to_string();
  return s;
}

}  // namespace keles
