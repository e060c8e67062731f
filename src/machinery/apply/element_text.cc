#include "machinery/apply/element_text.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <vector>

#include "machinery/codec_json.h"

namespace keles::apply {
namespace {

int sign(int n) { return (n > 0) - (n < 0); }

int compare_text(std::string_view a, std::string_view b) { return sign(a.compare(b)); }

// The order of kinds, and of values of different kinds.
int rank(char kind) {
  constexpr std::string_view kOrder = "fkvi";
  return static_cast<int>(kOrder.find(kind));
}
int rank(const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kInt:
    case Value::Kind::kDouble:
      return 0;
    case Value::Kind::kString:
      return 1;
    case Value::Kind::kBool:
      return 2;
    case Value::Kind::kList:
      return 3;
    case Value::Kind::kMap:
      return 4;
    case Value::Kind::kNull:
      return 5;
  }
  return 6;
}

std::vector<const Member*> sorted(const Value& v) {
  std::vector<const Member*> out;
  for (const Member& m : v.members()) out.push_back(&m);
  std::sort(out.begin(), out.end(),
            [](const Member* a, const Member* b) { return a->key() < b->key(); });
  return out;
}

int compare_values(const Value& a, const Value& b);

int compare_members(const Value& a, const Value& b) {
  const auto x = sorted(a), y = sorted(b);
  for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
    if (int c = compare_text(x[i]->key(), y[i]->key())) return c;
    if (int c = compare_values(x[i]->value, y[i]->value)) return c;
  }
  return (x.size() > y.size()) - (x.size() < y.size());
}

int compare_values(const Value& a, const Value& b) {
  if (int c = rank(a) - rank(b)) return sign(c);
  switch (a.kind()) {
    case Value::Kind::kInt:
    case Value::Kind::kDouble:
      if (a.is_int() && b.is_int()) return (a.as_int() > b.as_int()) - (a.as_int() < b.as_int());
      return (a.as_double() > b.as_double()) - (a.as_double() < b.as_double());
    case Value::Kind::kString:
      return compare_text(a.as_string(), b.as_string());
    case Value::Kind::kBool:
      return static_cast<int>(a.as_bool()) - static_cast<int>(b.as_bool());
    case Value::Kind::kList:
      for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
        if (int c = compare_values(a.at(i), b.at(i))) return c;
      }
      return (a.size() > b.size()) - (a.size() < b.size());
    case Value::Kind::kMap:
      return compare_members(a, b);
    case Value::Kind::kNull:
      return 0;
  }
  return 0;
}

// Whether the text is a string in quotes that has one form only: no escapes, nothing that is to be
// escaped. `at` is moved behind it.
bool plain_string(std::string_view s, size_t& at) {
  if (at >= s.size() || s[at] != '"') return false;
  for (++at; at < s.size(); ++at) {
    const auto c = static_cast<unsigned char>(s[at]);
    if (c == '"') return ++at, true;
    if (c < 0x20 || c >= 0x7F || c == '\\' || c == '<' || c == '>' || c == '&') return false;
  }
  return false;
}

bool plain_scalar(std::string_view s, size_t& at) {
  if (at < s.size() && s[at] == '"') return plain_string(s, at);
  for (std::string_view word : {"true", "false"}) {
    if (s.substr(at).starts_with(word)) return at += word.size(), true;
  }
  const size_t from = at;
  if (at < s.size() && s[at] == '-') ++at;
  const size_t digits = at;
  while (at < s.size() && s[at] >= '0' && s[at] <= '9') ++at;
  // Up to 15 digits: a number that is whole in every form.
  if (at == digits || at - digits > 15 || (s[digits] == '0' && at - from > 1)) return false;
  return at == s.size() || s[at] == ',' || s[at] == '}';
}

bool is_plain(char kind, std::string_view s) {
  size_t at = 0;
  if (kind == 'v') return plain_scalar(s, at) && at == s.size();
  if (s.size() < 2 || s[0] != '{') return false;
  if (s == "{}") return true;
  std::string_view last;
  for (at = 1;;) {
    const size_t from = at;
    if (!plain_string(s, at)) return false;
    std::string_view name = s.substr(from, at - from);
    if (last.data() != nullptr && last >= name) return false;
    last = name;
    if (at >= s.size() || s[at++] != ':' || !plain_scalar(s, at) || at >= s.size()) return false;
    if (s[at] == '}') return at + 1 == s.size();
    if (s[at++] != ',') return false;
  }
}

// The order of two plain bodies of one kind that differ, without taking them apart.
int compare_plain(std::string_view a, std::string_view b) {
  size_t at = 0, token = 0;
  bool inside = false;  // a string
  for (; at < a.size() && at < b.size() && a[at] == b[at]; ++at) {
    if (a[at] == '"') inside = !inside;
    if (!inside && (a[at] == ':' || a[at] == ',' || a[at] == '{')) token = at + 1;
  }
  auto at_or_end = [&](std::string_view s) { return at < s.size() ? s[at] : '}'; };
  const char x = at_or_end(a), y = at_or_end(b);
  if (inside) {
    auto weight = [](char c) {
      return c == '"' ? 0 : static_cast<int>(static_cast<unsigned char>(c));
    };
    return sign(weight(x) - weight(y));
  }
  auto start = [&](std::string_view s) { return token < s.size() ? s[token] : '}'; };
  auto numeric = [](char c) { return c == '-' || (c >= '0' && c <= '9'); };
  const char p = start(a), q = start(b);
  if (numeric(p) && numeric(q)) {
    int64_t m = 0, n = 0;
    std::from_chars(a.data() + token, a.data() + a.size(), m);
    std::from_chars(b.data() + token, b.data() + b.size(), n);
    if (m != n) return m < n ? -1 : 1;
  } else if (p != q) {
    auto kind = [&](char c) { return c == '}' ? -1 : numeric(c) ? 0 : c == '"' ? 1 : 2; };
    if (kind(p) != kind(q)) return sign(kind(p) - kind(q));
    return sign(p - q);
  }
  return x == '}' ? -1 : y == '}' ? 1 : sign(x - y);
}

}  // namespace

void write_scalar(std::string& out, const Value& v) {
  // Whole numbers have one text, whether they came as 1 or as 1.0.
  if (v.is_double() && v.as_double() == static_cast<double>(v.as_int()) &&
      std::abs(v.as_double()) < 1e15) {
    write_json(out, Value(v.as_int()));
    return;
  }
  write_json(out, v, true);
}

std::optional<std::string_view> canonical_body(Arena& arena, char kind, std::string_view body) {
  if (is_plain(kind, body)) return body;
  auto parsed = parse_json(arena, body);
  if (!parsed.ok()) return std::nullopt;
  std::string out;
  if (kind == 'v') {
    write_scalar(out, *parsed);
    return arena.copy(out);
  }
  if (!parsed->is_map()) return std::nullopt;
  out = "{";
  for (const Member* m : sorted(*parsed)) {
    if (out.size() > 1) out += ',';
    write_json_string(out, m->key());
    out += ':';
    write_scalar(out, m->value);
  }
  out += '}';
  return arena.copy(out);
}

int compare(const PathElement& a, const PathElement& b) {
  if (a.kind != b.kind) return sign(rank(a.kind) - rank(b.kind));
  if (a.kind == 'f') return compare_text(a.body, b.body);
  if (a.body == b.body) return 0;
  if (a.kind == 'i') {
    int64_t m = 0, n = 0;
    std::from_chars(a.body.data(), a.body.data() + a.body.size(), m);
    std::from_chars(b.body.data(), b.body.data() + b.body.size(), n);
    return (m > n) - (m < n);
  }
  if (is_plain(a.kind, a.body) && is_plain(b.kind, b.body)) return compare_plain(a.body, b.body);
  Arena scratch;
  auto x = parse_json(scratch, a.body), y = parse_json(scratch, b.body);
  int c = 0;
  if (x.ok() && y.ok()) c = compare_values(*x, *y);
  // Different texts are different elements, whatever they compare as.
  return c ? c : compare_text(a.body, b.body);
}

std::string print_value(const Value& v) {
  std::string out;
  switch (v.kind()) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kString:
      write_json_string(out, v.as_string(), false);
      return out;
    case Value::Kind::kList:
      for (const Value& x : v.items()) out += (out.empty() ? "" : ",") + print_value(x);
      return "[" + out + "]";
    case Value::Kind::kMap:
      for (const Member& m : v.members()) out += std::string(m.key()) + "=" + print_value(m.value);
      return out;
    default:
      write_json(out, v);
      return out;
  }
}

std::string to_string(const PathElement& e) {
  if (e.kind == 'f') return "." + std::string(e.body);
  if (e.kind == 'i') return "[" + std::string(e.body) + "]";
  Arena scratch;
  auto parsed = parse_json(scratch, e.body);
  if (!parsed.ok()) return "[" + std::string(e.body) + "]";
  if (e.kind == 'v') return "[=" + print_value(*parsed) + "]";
  std::string out;
  for (const Member& m : parsed->members()) {
    out += (out.empty() ? "" : ",") + std::string(m.key()) + "=" + print_value(m.value);
  }
  return "[" + out + "]";
}

}  // namespace keles::apply
