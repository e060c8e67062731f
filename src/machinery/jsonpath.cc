#include "machinery/jsonpath.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text_parts.h"
#include "machinery/codec_json.h"
#include "machinery/go_type.h"

namespace keles {

struct JsonPath::Node {
  enum class Type {
    kText,
    kField,
    kWildcard,
    kRecursive,
    kSlice,
    kUnion,
    kFilter,
    kAction,
    kRange
  };
  Type type;
  std::string text;  // a field's name
  std::string op;    // of a filter; "exists"
  Value value;       // kText: what a literal stands for (strings look into `text`)
  struct Bound {
    bool known = false, derived = false;
    int64_t value = 0;
  } bounds[3];
  std::vector<Nodes> parts;  // union: its paths; filter: left and right; action: its path;
                             // range: its path and its body
};

namespace {

using Node = JsonPath::Node;
using Nodes = JsonPath::Nodes;
using Type = Node::Type;
using Values = std::vector<const Value*>;

constexpr size_t kMaxTemplate = 64 << 10, kMaxValues = 100'000, kMaxOutput = 64u << 20;
constexpr int kMaxDepth = 32;

Status bad(std::string message) { return Status::bad_request(std::move(message)); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return c == '_' || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool ends_word(char c) {
  return std::string_view(" \t\r\n.,[]$@{}").find(c) != std::string_view::npos;
}

Node make(Type type, std::string text = "") {
  Node n{};
  n.type = type;
  n.text = std::move(text);
  return n;
}

Node literal(Value v) {
  Node n = make(Type::kText);
  n.value = v;
  return n;
}

bool unquote(std::string_view s, std::string* out) {
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\') {
      *out += s[i];
      continue;
    }
    if (++i == s.size()) return false;
    switch (s[i]) {
      case 'n':
        *out += '\n';
        break;
      case 't':
        *out += '\t';
        break;
      case 'r':
        *out += '\r';
        break;
      case 'a':
        *out += '\a';
        break;
      case 'b':
        *out += '\b';
        break;
      case 'f':
        *out += '\f';
        break;
      case 'v':
        *out += '\v';
        break;
      case '\\':
      case '"':
      case '\'':
        *out += s[i];
        break;
      default:
        return false;
    }
  }
  return true;
}

// One action's expression: what stands between braces, or a part of it.
class ExpressionParser {
 public:
  ExpressionParser(std::string_view text, int depth) : in_(text), depth_(depth) {}

  // Up to the end, or to the "}" that closes the action.
  Status parse(Nodes* into, bool until_brace) {
    if (depth_ > kMaxDepth) return bad("expression nested too deeply");
    for (;;) {
      std::string_view rest = in_.substr(at_);
      if (until_brace && rest.starts_with('}')) {
        ++at_;
        return Status();
      }
      if (rest.empty() || rest[0] == '\n' || rest[0] == '\r') {
        if (!until_brace && rest.empty()) return Status();
        return bad("unclosed action");
      }
      TRY(step(rest, into));
    }
  }
  size_t position() const { return at_; }

 private:
  Status step(std::string_view rest, Nodes* into) {
    char c = rest[0];
    if (rest.starts_with("[?(")) return filter(into);
    if (rest.starts_with("..")) return recursive(into);
    if (c == ' ' || c == '@' || c == '$') {
      ++at_;
      return Status();
    }
    if (c == '[') return array(into);
    if (c == '"' || c == '\'') return quote(into, c);
    if (c == '.') {
      ++at_;
      return field(into);
    }
    if (c == '+' || c == '-' || is_digit(c)) return number(into);
    if (is_word(c)) return identifier(into);
    return bad(std::string("unrecognized character in action: U+00") + hex(c) + " '" + c + "'");
  }

  static std::string hex(char c) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    auto u = static_cast<unsigned char>(c);
    return {kHex[u >> 4], kHex[u & 15]};
  }

  Status field(Nodes* into) {
    std::string name;
    bool star = false;
    size_t start = at_;
    while (at_ < in_.size() && !ends_word(in_[at_])) {
      if (in_[at_] == '\\') {
        if (++at_ < in_.size()) name += in_[at_++];
      } else {
        name += in_[at_++];
      }
    }
    star = in_.substr(start, at_ - start) == "*";
    into->push_back(star ? make(Type::kWildcard) : make(Type::kField, std::move(name)));
    return Status();
  }

  Status recursive(Nodes* into) {
    if (!into->empty() && into->back().type == Type::kRecursive) {
      return bad("invalid multiple recursive descent");
    }
    at_ += 2;
    into->push_back(make(Type::kRecursive));
    if (at_ < in_.size() && is_word(in_[at_])) return field(into);
    return Status();
  }

  Status number(Nodes* into) {
    size_t start = at_;
    if (in_[at_] == '+' || in_[at_] == '-') ++at_;
    while (at_ < in_.size() && (is_digit(in_[at_]) || in_[at_] == '.')) ++at_;
    std::string_view text = in_.substr(start, at_ - start), digits = text;
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const char* end = digits.data() + digits.size();
    int64_t i = 0;
    if (auto r = std::from_chars(digits.data(), end, i); r.ec == std::errc() && r.ptr == end) {
      into->push_back(literal(Value(i)));
      return Status();
    }
    double d = 0;
    if (auto r = std::from_chars(digits.data(), end, d); r.ec == std::errc() && r.ptr == end) {
      into->push_back(literal(Value(d)));
      return Status();
    }
    return bad("cannot parse number " + std::string(text));
  }

  Status identifier(Nodes* into) {
    size_t start = at_;
    while (at_ < in_.size() && !ends_word(in_[at_])) ++at_;
    std::string word(in_.substr(start, at_ - start));
    if (word == "true" || word == "false") {
      into->push_back(literal(Value(word == "true")));
    } else if ((word == "range" || word == "end") && into->empty()) {
      Node n = make(Type::kAction, word);
      n.op = word;
      into->push_back(std::move(n));
    } else {
      return bad("unrecognized identifier " + word);
    }
    return Status();
  }

  Status quote(Nodes* into, char end) {
    size_t start = at_++;
    while (at_ < in_.size() && in_[at_] != '\n' && (in_[at_] != end || in_[at_ - 1] == '\\')) ++at_;
    if (at_ >= in_.size() || in_[at_] == '\n') return bad("unterminated quoted string");
    ++at_;
    Node n = make(Type::kText);
    std::string_view inner = in_.substr(start + 1, at_ - start - 2);
    if (!unquote(inner, &n.text)) {
      return bad("unquote string " + std::string(in_.substr(start, at_ - start)) +
                 " error invalid syntax");
    }
    into->push_back(std::move(n));
    return Status();
  }

  Status array(Nodes* into) {
    size_t close = in_.find_first_of("]\n", at_);
    if (close == in_.npos || in_[close] == '\n') return bad("unterminated array");
    std::string_view text = in_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    if (text == "*") text = ":";
    if (text.find(',') != text.npos) return union_of(text, into);
    if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'' &&
        text.substr(1, text.size() - 2).find('\'') == text.npos) {
      std::string inner = "." + std::string(text.substr(1, text.size() - 2));
      ExpressionParser p(inner, depth_ + 1);
      return p.parse(into, false);
    }
    return slice(text, into);
  }

  Status union_of(std::string_view text, Nodes* into) {
    Node n = make(Type::kUnion);
    for (std::string_view part : split(text, ',')) {
      std::string one = "[" + std::string(trim(part, " ")) + "]";
      Nodes path;
      ExpressionParser p(one, depth_ + 1);
      TRY(p.parse(&path, false));
      n.parts.push_back(std::move(path));
    }
    into->push_back(std::move(n));
    return Status();
  }

  Status slice(std::string_view text, Nodes* into) {
    Node n = make(Type::kSlice);
    Status invalid = bad("invalid array index " + std::string(text));
    std::string_view rest = text;
    for (int i = 0; i < 3; ++i) {
      Node::Bound& b = n.bounds[i];
      bool present = i == 0 || rest.starts_with(':');
      if (!present) {
        if (i == 1) b = {true, true, n.bounds[0].value + 1};
        continue;
      }
      if (i > 0) rest.remove_prefix(1);
      size_t colon = rest.find(':');
      std::string_view part = rest.substr(0, colon);
      rest = colon == rest.npos ? std::string_view() : rest.substr(colon);
      if (part.empty()) continue;
      auto r = std::from_chars(part.data(), part.data() + part.size(), b.value);
      if (r.ptr != part.data() + part.size()) return invalid;
      if (r.ec != std::errc() || std::abs(b.value) > INT32_MAX) {
        return bad("array index " + std::string(part) + " is not a number");
      }
      b.known = true;
    }
    if (!rest.empty() || text.empty()) return invalid;
    into->push_back(std::move(n));
    return Status();
  }

  Status filter(Nodes* into) {
    at_ += 3;
    size_t start = at_;
    char pair = 0;
    bool open = false, closed = false;
    for (;; ++at_) {
      if (at_ >= in_.size() || in_[at_] == '\n') return bad("unterminated filter");
      char c = in_[at_];
      if (c == '"' || c == '\'') {
        if (!open) {
          open = true;
          pair = c;
        } else if (in_[at_ - 1] != '\\' && c == pair) {
          closed = true;
        }
      } else if (c == ')' && open == closed) {
        break;
      }
    }
    std::string_view text = in_.substr(start, at_ - start);
    ++at_;
    if (at_ >= in_.size() || in_[at_] != ']') return bad("unclosed array expect ]");
    ++at_;
    Node n = make(Type::kFilter);
    n.parts.resize(2);
    constexpr std::string_view kOperators = "!<>=";
    size_t op = text.find_first_of(kOperators);
    size_t after = op == text.npos ? op : text.find_first_not_of(kOperators, op);
    if (op == 0 || op == text.npos || after == text.npos) {
      n.op = "exists";
      ExpressionParser whole(text, depth_ + 1);
      TRY(whole.parse(&n.parts[0], false));
    } else {
      n.op = text.substr(op, after - op);
      ExpressionParser left(text.substr(0, op), depth_ + 1), right(text.substr(after), depth_ + 1);
      TRY(left.parse(&n.parts[0], false));
      TRY(right.parse(&n.parts[1], false));
    }
    into->push_back(std::move(n));
    return Status();
  }

  std::string_view in_;
  size_t at_ = 0;
  int depth_;
};

// Texts of literals: views into the nodes, set once the tree stands still.
void settle(Nodes& nodes) {
  for (Node& n : nodes) {
    if (n.type == Type::kText && n.value.is_null()) n.value = Value::string(n.text);
    for (Nodes& part : n.parts) settle(part);
  }
}

// Flat actions into blocks: a range takes what follows, up to its end.
Status nest(Nodes& flat, size_t* at, int depth, Nodes* into) {
  if (depth > kMaxDepth) return bad("ranges nested too deeply");
  while (*at < flat.size()) {
    Node& n = flat[(*at)++];
    bool action = n.type == Type::kAction && !n.parts[0].empty();
    std::string word = action && n.parts[0][0].type == Type::kAction ? n.parts[0][0].op : "";
    if (word == "end") {
      if (depth == 0) return bad("not in range, nothing to end");
      return Status();
    }
    if (word == "range") {
      Node range = make(Type::kRange);
      n.parts[0].erase(n.parts[0].begin());
      range.parts.push_back(std::move(n.parts[0]));
      range.parts.emplace_back();
      TRY(nest(flat, at, depth + 1, &range.parts[1]));
      into->push_back(std::move(range));
    } else {
      into->push_back(std::move(n));
    }
  }
  return Status();
}

class Evaluator {
 public:
  explicit Evaluator(bool allow_missing) : allow_missing_(allow_missing) {}

  Status block(const Nodes& nodes, const Values& current, std::vector<Values>* out) {
    for (const Node& n : nodes) {
      Values results;
      if (n.type == Type::kText) {
        results.push_back(&n.value);
      } else {
        TRY(path(n.parts[0], current, &results));
      }
      if (n.type != Type::kRange) {
        TRY(count(results.size()));
        out->push_back(std::move(results));
        continue;
      }
      for (const Value* v : results) TRY(block(n.parts[1], {v}, out));
    }
    return Status();
  }

  // When it fails, `out` is what the failing step leaves: nothing of a field, of others what they
  // were given.
  Status path(const Nodes& nodes, Values current, Values* out) {
    for (const Node& n : nodes) {
      Values next;
      Status s = step(n, current, &next);
      if (!s.ok()) {
        if (n.type != Type::kField) *out = std::move(current);
        return s;
      }
      TRY(count(next.size()));
      current = std::move(next);
    }
    *out = std::move(current);
    return Status();
  }

 private:
  Status count(size_t n) {
    total_ += n + 1;
    return n > kMaxValues || total_ > 10 * kMaxValues ? bad("too many results") : Status();
  }

  Status step(const Node& n, const Values& in, Values* out) {
    switch (n.type) {
      case Type::kText:
        // A quoted text once, a number or a word for each value before it.
        out->assign(n.value.is_string() ? 1 : in.size(), &n.value);
        return Status();
      case Type::kField:
        return field(n, in, out);
      case Type::kWildcard:
        for (const Value* v : in) children(*v, out);
        return Status();
      case Type::kRecursive:
        for (const Value* v : in) TRY(descend(*v, out));
        return Status();
      case Type::kSlice:
        for (const Value* v : in) TRY(slice(n, *v, out));
        return Status();
      case Type::kUnion:
        for (const Nodes& part : n.parts) {
          Values one;
          TRY(path(part, in, &one));
          out->insert(out->end(), one.begin(), one.end());
        }
        return Status();
      case Type::kFilter:
        for (const Value* v : in) TRY(filter(n, *v, out));
        return Status();
      default:
        return bad("unexpected Node");
    }
  }

  Status field(const Node& n, const Values& in, Values* out) {
    if (in.empty()) return Status();
    for (const Value* v : in) {
      if (n.text.empty()) {
        out->push_back(v);  // "{.}": the value itself
      } else if (const Value* found = v->find(n.text)) {
        out->push_back(found);
      }
    }
    if (out->empty() && !allow_missing_) return bad(n.text + " is not found");
    return Status();
  }

  static void children(const Value& v, Values* out) {
    for (const Value& item : v.items()) out->push_back(&item);
    for (const Member& m : v.members()) out->push_back(&m.value);
  }

  Status descend(const Value& v, Values* out) {
    Values below;
    children(v, &below);
    if (below.empty()) return Status();
    out->push_back(&v);
    TRY(count(below.size()));
    for (const Value* child : below) TRY(descend(*child, out));
    return Status();
  }

  Status slice(const Node& n, const Value& v, Values* out) {
    if (v.is_null()) return Status();
    if (!v.is_list()) return bad(std::string(go_type(v)) + " is not array or slice");
    auto size = static_cast<int64_t>(v.size());
    int64_t from = n.bounds[0].known ? n.bounds[0].value : 0;
    if (from < 0) from += size;
    int64_t to = n.bounds[1].known ? n.bounds[1].value : size;
    if (to < 0 || (to == 0 && n.bounds[1].derived)) to += size;
    if (from == to) return Status();
    auto outside = [size](int64_t i) {
      return bad("array index out of bounds: index " + std::to_string(i) + ", length " +
                 std::to_string(size));
    };
    if (from >= size || from < 0) return outside(from);
    if (to > size || to < 0) return outside(to - 1);
    if (from > to) {
      return bad("starting index " + std::to_string(from) + " is greater than ending index " +
                 std::to_string(to));
    }
    int64_t by = n.bounds[2].known ? n.bounds[2].value : 1;
    if (by <= 0) return bad("step must be > 0");
    for (int64_t i = from; i < to; i += by) out->push_back(&v.at(static_cast<size_t>(i)));
    return Status();
  }

  Status filter(const Node& n, const Value& v, Values* out) {
    if (!v.is_list())
      return bad(std::string(go_type(v)) + " is not array or slice and cannot be filtered");
    for (const Value& item : v.items()) {
      Values left, right;
      Status s = path(n.parts[0], {&item}, &left);
      if (n.op == "exists") {
        // As in kubectl, failing is no answer: an index out of bounds is there, a missing field
        // not.
        if (!left.empty()) out->push_back(&item);
        continue;
      }
      TRY(s);
      TRY(path(n.parts[1], {&item}, &right));
      if (left.empty() || right.empty()) continue;
      if (left.size() > 1 || right.size() > 1) {
        return bad("can only compare one element at a time");
      }
      TRY_ASSIGN(holds, compare(*left[0], *right[0], n.op));
      if (holds) out->push_back(&item);
    }
    return Status();
  }

  static Result<bool> compare(const Value& a, const Value& b, const std::string& op) {
    static constexpr std::string_view kKnown[] = {"<", ">", "==", "!=", "<=", ">="};
    if (std::find(std::begin(kKnown), std::end(kKnown), op) == std::end(kKnown)) {
      return bad("unrecognized filter operator " + op);
    }
    auto simple = [](const Value& v) { return v.is_bool() || v.is_number() || v.is_string(); };
    if (!simple(a) || !simple(b)) return bad("invalid type for comparison");
    if (a.kind() != b.kind()) return bad("incompatible types for comparison");
    if (op == "==") return a.equals(b);
    if (op == "!=") return !a.equals(b);
    if (a.is_bool()) return bad("invalid type for comparison");
    bool less = a.is_string() ? a.as_string() < b.as_string()
                : a.is_int()  ? a.as_int() < b.as_int()
                              : a.as_double() < b.as_double();
    if (op == "<") return less;
    if (op == ">=") return !less;
    return op == "<=" ? less || a.equals(b) : !less && !a.equals(b);
  }

  bool allow_missing_;
  size_t total_ = 0;
};

}  // namespace

Result<JsonPath> JsonPath::parse(std::string_view text) {
  if (text.size() > kMaxTemplate) return bad("the template is longer than 64 KiB");
  Nodes flat;
  size_t at = 0;
  while (at < text.size()) {
    size_t brace = text.find('{', at);
    if (brace != at) flat.push_back(make(Type::kText, std::string(text.substr(at, brace - at))));
    if (brace == text.npos) break;
    ExpressionParser p(text.substr(brace + 1), 0);
    Node action = make(Type::kAction);
    action.parts.emplace_back();
    TRY(p.parse(&action.parts[0], true));
    flat.push_back(std::move(action));
    at = brace + 1 + p.position();
  }
  auto root = std::make_shared<Nodes>();
  size_t next = 0;
  TRY(nest(flat, &next, 0, root.get()));
  settle(*root);
  JsonPath path;
  path.root_ = std::move(root);
  return path;
}

Result<std::string> JsonPath::relaxed(std::string_view expression) {
  if (expression.empty()) return std::string();
  std::string_view inner = expression;
  bool braced = inner.size() > 2 && inner.front() == '{' && inner.back() == '}';
  if (braced) inner = inner.substr(1, inner.size() - 2);
  if (inner.starts_with('.')) inner.remove_prefix(1);
  if (inner.empty() || inner.find_first_of("{}") != inner.npos) {
    return bad(
        "unexpected path string, expected a 'name1.name2' or '.name1.name2' or "
        "'{name1.name2}' or '{.name1.name2}'");
  }
  return "{." + std::string(inner) + "}";
}

Result<std::vector<std::vector<const Value*>>> JsonPath::find(const Value& data) const {
  std::vector<Values> out;
  Evaluator e(allow_missing_);
  if (root_) TRY(e.block(*root_, {&data}, &out));
  return out;
}

Result<std::string> JsonPath::execute(const Value& data) const {
  TRY_ASSIGN(found, find(data));
  std::string out;
  for (const Values& values : found) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out += ' ';
      out += jsonpath_text(*values[i]);
      if (out.size() > kMaxOutput) return bad("the output is longer than 64 MiB");
    }
  }
  return out;
}

std::string jsonpath_text(const Value& v) {
  if (v.is_string()) return std::string(v.as_string());
  if (v.is_bool()) return v.as_bool() ? "true" : "false";
  std::string out;
  write_json(out, v, true);
  return out;
}

}  // namespace keles
