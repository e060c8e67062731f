// The functions of templates: Go's, and kubectl's exists and base64decode. and, or and call are
// the executor's too.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "base/encoding.h"
#include "kubectl/errors.h"
#include "kubectl/go_format.h"
#include "kubectl/go_template_tree.h"

namespace keles::kubectl {
namespace {

using Kind = GoValue::Kind;
using Args = std::span<const GoValue>;

constexpr const char* kPanic = "reflect: call of reflect.Value.Type on zero Value";

bool measurable(const GoValue& v) {
  return v.kind == Kind::kString || v.kind == Kind::kList || v.kind == Kind::kMap;
}

// --- index, slice, len

Result<int64_t> index_of(const GoValue& index, size_t room) {
  if (index.nothing()) return failure("cannot index slice/array with nil");
  if (!index.integral()) {
    return failure("cannot index slice/array with type " + std::string(index.type()));
  }
  if (index.i < 0 || static_cast<uint64_t>(index.i) > room) {
    return failure("index out of range: " + std::to_string(index.i));
  }
  return index.i;
}

Result<GoValue> step_into(const GoValue& item, const GoValue& index) {
  if (item.nothing()) return failure("index of nil pointer");
  if (item.kind == Kind::kMap) {
    if (index.nothing()) return failure("value is nil; should be of type string");
    if (index.kind != Kind::kString) {
      return failure("value has type " + std::string(index.type()) + "; should be string");
    }
    const Value* found = item.tree->find(index.s);
    return found ? GoValue::of(*found, true) : GoValue::nil();
  }
  if (item.kind != Kind::kList && item.kind != Kind::kString) {
    return failure("can't index item of type " + std::string(item.type()));
  }
  TRY_ASSIGN(at, index_of(index, item.length()));
  const size_t i = static_cast<size_t>(at);
  if (i == item.length()) {
    return failure(item.kind == Kind::kString ? "reflect: string index out of range"
                                              : "reflect: slice index out of range");
  }
  if (item.kind == Kind::kList) return item.element(i);
  return GoValue::integer(static_cast<unsigned char>(item.s[i]), Kind::kByte);
}

Result<GoValue> index(Args args) {
  GoValue item = args[0].inner();
  if (item.nothing()) return failure("index of untyped nil");
  for (const GoValue& i : args.subspan(1)) {
    TRY_ASSIGN(inside, step_into(item, i));
    item = inside;
  }
  return item;
}

Result<GoValue> slice(Args args) {
  GoValue item = args[0].inner();
  Args indexes = args.subspan(1);
  if (item.nothing()) return failure("slice of untyped nil");
  if (indexes.size() > 3) {
    return failure("too many slice indexes: " + std::to_string(indexes.size()));
  }
  const bool text = item.kind == Kind::kString;
  if (!text && item.kind != Kind::kList) {
    return failure("can't slice item of type " + std::string(item.type()));
  }
  if (text && indexes.size() == 3) return failure("cannot 3-index slice a string");
  const size_t room = text ? item.length() : item.room;
  int64_t at[3] = {0, static_cast<int64_t>(item.length()), static_cast<int64_t>(room)};
  for (size_t i = 0; i < indexes.size(); ++i) {
    TRY_ASSIGN(x, index_of(indexes[i], room));
    at[i] = x;
  }
  for (size_t i = 0; i + 1 < std::max<size_t>(indexes.size(), 2); ++i) {
    if (at[i] <= at[i + 1]) continue;
    return failure("invalid slice index: " + std::to_string(at[i]) + " > " +
                   std::to_string(at[i + 1]));
  }
  const size_t from = static_cast<size_t>(at[0]), n = static_cast<size_t>(at[1] - at[0]);
  if (text) {
    item.s = item.s.substr(from, n);
  } else {
    item.first += from;
    item.count = n;
    item.room = static_cast<size_t>(at[2]) - from;
  }
  return item;
}

Result<GoValue> length(Args args) {
  if (args[0].kind == Kind::kNil) return failure("len of nil pointer");
  if (!args[0].valid()) return failure(kPanic);
  if (!measurable(args[0])) return failure("len of type " + std::string(args[0].type()));
  return GoValue::integer(static_cast<int64_t>(args[0].length()));
}

// --- comparisons

enum class Basic { kNone, kBool, kFloat, kInt, kString, kUnsigned };
Basic basic(const GoValue& v) {
  switch (v.kind) {
    case Kind::kBool:
      return Basic::kBool;
    case Kind::kInt:
    case Kind::kInt64:
      return Basic::kInt;
    case Kind::kByte:
      return Basic::kUnsigned;
    case Kind::kFloat:
      return Basic::kFloat;
    case Kind::kString:
      return Basic::kString;
    default:
      return Basic::kNone;
  }
}

Status incompatible(const GoValue& a, const GoValue& b) {
  return failure("incompatible types for comparison: " + std::string(a.type()) + " and " +
                 std::string(b.type()));
}

Result<bool> equal(const GoValue& a, const GoValue& b) {
  if (a.integral() && b.integral()) return a.i == b.i;
  if (basic(a) != basic(b)) {
    if (!a.nothing() && !b.nothing()) return incompatible(a, b);
    return false;
  }
  switch (basic(a)) {
    case Basic::kBool:
      return a.b == b.b;
    case Basic::kFloat:
      return a.d == b.d;
    case Basic::kString:
      return a.s == b.s;
    default:
      break;
  }
  if (a.nothing() || b.nothing()) return a.nothing() == b.nothing();
  if (a.kind != b.kind) {
    TRY_ASSIGN(one, go_sprintf("%s", Args(&a, 1)));
    TRY_ASSIGN(other, go_sprintf("%v", Args(&b, 1)));
    return failure("non-comparable types " + one + ": " + std::string(a.type()) + ", " +
                   std::string(b.type()) + ": " + other);
  }
  TRY_ASSIGN(other, go_sprintf("%s", Args(&b, 1)));
  return failure("non-comparable type " + other + ": " + std::string(b.type()));
}

Result<GoValue> eq(Args args) {
  if (args.size() < 2) return failure("missing argument for comparison");
  for (const GoValue& other : args.subspan(1)) {
    TRY_ASSIGN(same, equal(args[0], other));
    if (same) return GoValue::of(true);
  }
  return GoValue::of(false);
}

Result<GoValue> ne(Args args) {
  TRY_ASSIGN(same, equal(args[0], args[1]));
  return GoValue::of(!same);
}

Result<bool> less(const GoValue& a, const GoValue& b) {
  if (basic(a) == Basic::kNone || basic(b) == Basic::kNone) {
    return failure("invalid type for comparison");
  }
  if (a.integral() && b.integral()) return a.i < b.i;
  if (basic(a) != basic(b)) return incompatible(a, b);
  if (basic(a) == Basic::kBool) return failure("invalid type for comparison");
  return basic(a) == Basic::kFloat ? a.d < b.d : a.s < b.s;
}

Result<bool> less_or_equal(const GoValue& a, const GoValue& b) {
  TRY_ASSIGN(is_less, less(a, b));
  if (is_less) return true;
  return equal(a, b);
}

Result<GoValue> lt(Args args) {
  TRY_ASSIGN(yes, less(args[0], args[1]));
  return GoValue::of(bool(yes));
}
Result<GoValue> le(Args args) {
  TRY_ASSIGN(yes, less_or_equal(args[0], args[1]));
  return GoValue::of(bool(yes));
}
Result<GoValue> gt(Args args) {
  TRY_ASSIGN(no, less_or_equal(args[0], args[1]));
  return GoValue::of(!no);
}
Result<GoValue> ge(Args args) {
  TRY_ASSIGN(no, less(args[0], args[1]));
  return GoValue::of(!no);
}

// --- texts

Result<GoValue> print(Args args) {
  TRY_ASSIGN(text, go_sprint(args));
  return GoValue::text(text);
}
Result<GoValue> println(Args args) {
  TRY_ASSIGN(text, go_sprintln(args));
  return GoValue::text(text);
}
Result<GoValue> printf(Args args) {
  TRY_ASSIGN(text, go_sprintf(args[0].s, args.subspan(1)));
  return GoValue::text(text);
}

// What the escaping functions take: a text, or all arguments as print writes them.
Result<std::string> text_of(Args args) {
  if (args.size() == 1 && args[0].kind == Kind::kString) return std::string(args[0].s);
  std::vector<GoValue> shown_args;
  for (const GoValue& v : args) {
    shown_args.push_back(v.nothing() ? GoValue::text("<no value>") : v);
  }
  return go_sprint(shown_args);
}

Result<GoValue> html(Args args) {
  TRY_ASSIGN(text, text_of(args));
  std::string out;
  for (char c : text) {
    switch (c) {
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\0':
        out += "\xef\xbf\xbd";
        break;
      default:
        out += c;
    }
  }
  return GoValue::text(std::move(out));
}

Result<GoValue> js(Args args) {
  TRY_ASSIGN(text, text_of(args));
  std::string out;
  char buffer[16];
  for (std::string_view rest = text; !rest.empty();) {
    Rune r = first_rune(rest);
    const char c = rest[0];
    const bool plain = r.value < 0x80
                           ? c >= ' ' && std::string_view("<>&=").find(c) == std::string_view::npos
                           : rune_is_printable(r.value);
    if (plain) {
      if (c == '\\' || c == '\'' || c == '"') out += '\\';
      out += rest.substr(0, r.size);
    } else {
      std::snprintf(buffer, sizeof buffer, "\\u%04X", static_cast<unsigned>(r.value));
      out += buffer;
    }
    rest.remove_prefix(r.size);
  }
  return GoValue::text(std::move(out));
}

Result<GoValue> urlquery(Args args) {
  TRY_ASSIGN(text, text_of(args));
  std::string out = percent_encode(text, " ");
  std::replace(out.begin(), out.end(), ' ', '+');
  return GoValue::text(std::move(out));
}

// --- the rest

Result<GoValue> negate(Args args) { return GoValue::of(!is_true(args[0])); }

Result<GoValue> base64decode(Args args) {
  Result<std::string> bytes = base64_decode(args[0].s);
  if (!bytes.ok()) return failure("base64 decode failed: " + bytes.status().message());
  return GoValue::text(std::move(*bytes));
}

Result<GoValue> exists(Args args) {
  GoValue v = args[0].kind == Kind::kNil ? GoValue() : args[0];
  for (const GoValue& i : args.subspan(1)) {
    if (v.kind == Kind::kMap) {
      if (!i.nothing() && i.kind != Kind::kString) return GoValue::of(false);
      const Value* found = v.tree->find(i.nothing() ? std::string_view() : i.s);
      v = found ? GoValue::of(*found, true) : GoValue::nil();
      continue;
    }
    const bool within = (v.kind == Kind::kList || v.kind == Kind::kString) && i.integral() &&
                        i.i >= 0 && static_cast<uint64_t>(i.i) < v.length();
    if (!within) return GoValue::of(false);
    TRY_ASSIGN(inside, step_into(v, i));
    v = inside;
  }
  return GoValue::of(v.kind != Kind::kNil);
}

using Takes = TemplateFunction::Takes;
constexpr Takes kR = Takes::kReflected, kA = Takes::kAny, kS = Takes::kString;
constexpr TemplateFunction kFunctions[] = {
    {"and", 1, true, kR, kR, nullptr},
    {"or", 1, true, kR, kR, nullptr},
    {"call", 1, true, kR, kR, nullptr},
    {"base64decode", 1, false, kS, kS, base64decode},
    {"eq", 1, true, kR, kR, eq},
    {"exists", 1, true, kA, kA, exists},
    {"ge", 2, false, kR, kR, ge},
    {"gt", 2, false, kR, kR, gt},
    {"html", 0, true, kA, kA, html},
    {"index", 1, true, kR, kR, index},
    {"js", 0, true, kA, kA, js},
    {"le", 2, false, kR, kR, le},
    {"len", 1, false, kR, kR, length},
    {"lt", 2, false, kR, kR, lt},
    {"ne", 2, false, kR, kR, ne},
    {"not", 1, false, kR, kR, negate},
    {"print", 0, true, kA, kA, print},
    {"printf", 1, true, kS, kA, printf},
    {"println", 0, true, kA, kA, println},
    {"slice", 1, true, kR, kR, slice},
    {"urlquery", 0, true, kA, kA, urlquery},
};

}  // namespace

const TemplateFunction* template_function(std::string_view name) {
  for (const TemplateFunction& f : kFunctions) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

bool is_true(const GoValue& v) {
  switch (v.kind) {
    case Kind::kInvalid:
    case Kind::kNil:
      return false;
    case Kind::kBool:
      return v.b;
    case Kind::kInt:
    case Kind::kInt64:
    case Kind::kByte:
      return v.i != 0;
    case Kind::kFloat:
      return v.d != 0;
    default:
      return v.length() > 0;
  }
}

}  // namespace keles::kubectl
