#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "kubectl/errors.h"
#include "kubectl/go_format.h"
#include "kubectl/go_template_tree.h"

namespace keles::kubectl {
namespace {

using Node = TemplateNode;
using Type = TemplateToken::Type;
using Made = Result<Node::Ptr>;

constexpr size_t kMaxTemplate = 64 << 10;
constexpr int kMaxNesting = 200;

std::string shown(const TemplateToken& t) {
  if (t.type == Type::kEnd) return "EOF";
  if (t.type == Type::kError) return t.text;
  if (t.type >= Type::kBlock) return "<" + t.text + ">";
  size_t runes = 0, at = 0;
  for (; at < t.text.size() && runes < 10; ++runes) {
    at += first_rune(std::string_view(t.text).substr(at)).size;
  }
  return go_quote(t.text.substr(0, at)) + (t.text.size() > 10 ? "..." : "");
}

// ".a.b" -> a, b; "$x.a" -> $x, a
std::vector<std::string> split_names(std::string_view s) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= s.size();) {
    size_t dot = std::min(s.find('.', at), s.size());
    out.emplace_back(s.substr(at, dot - at));
    at = dot + 1;
  }
  return out;
}

bool is_empty(const Node& list) {
  for (const Node::Ptr& n : list.parts) {
    if (n->type != Node::Type::kText ||
        n->text.find_first_not_of(" \t\r\n\v\f") != std::string::npos) {
      return false;
    }
  }
  return true;
}

// Go's literals of integers: prefixes, and '_' between digits.
template <class T>
std::optional<T> parse_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  const bool sign = negative || text.starts_with('+');
  if (sign && std::is_unsigned_v<T>) return std::nullopt;
  if (sign) text.remove_prefix(1);
  int base = 10;
  std::string digits;
  bool joined = true;  // whether an '_' may come
  if (text.size() > 1 && text[0] == '0') {
    char c = static_cast<char>(text[1] | 0x20);
    base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
    text.remove_prefix(c == 'x' || c == 'b' || c == 'o' ? 2 : 1);
  } else {
    joined = false;
  }
  for (char c : text) {
    if (c == '_') {
      if (!joined) return std::nullopt;
      joined = false;
    } else {
      digits += c;
      joined = true;
    }
  }
  if (!joined || digits.empty()) return std::nullopt;
  if (negative) digits.insert(0, "-");
  T out{};
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out, base);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return out;
}

std::optional<double> parse_float(std::string_view text) {
  std::string s;
  for (char c : text) {
    if (c != '_') s += c;
  }
  std::string_view rest = s;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  const bool hex = rest.starts_with("0x") || rest.starts_with("0X");
  if (hex) {
    rest.remove_prefix(2);
    if (rest.find_first_of("pP") == rest.npos) return std::nullopt;
  }
  double d = 0;
  auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), d,
                                      hex ? std::chars_format::hex : std::chars_format::general);
  if (error != std::errc() || end != rest.data() + rest.size()) return std::nullopt;
  return negative ? -d : d;
}

// What all templates of one text are read with.
struct Source {
  TemplateLexer lexer;
  TemplateSet* set;
};

// One template: the text itself, or a definition in it.
class Parser {
 public:
  Parser(Source& source, int nesting) : source_(source), nesting_(nesting) {}
  Status parse_all();

 private:
  // Tokens, with up to three put back.
  TemplateToken next();
  const TemplateToken& peek();
  void back() { ++pending_; }
  void back(TemplateToken t) {
    tokens_[1] = std::move(t);
    pending_ = 2;
  }
  void back(TemplateToken second, TemplateToken first) {
    tokens_[1] = std::move(first);
    tokens_[2] = std::move(second);
    pending_ = 3;
  }
  TemplateToken next_non_space();
  const TemplateToken& peek_non_space();

  Status error(std::string message) const {
    return failure("template: " + source_.set->name + ":" + std::to_string(tokens_[0].line) + ": " +
                   std::move(message));
  }
  Status unexpected(const TemplateToken& t, std::string_view context) const;
  Result<TemplateToken> expect(Type type, std::string_view context);

  Status define();
  Status add(std::string name, Node::Ptr root);
  Status items(Node::Ptr* list, Node::Ptr* end);
  Made text_or_action();
  Made action();
  Made control(Node::Type type, const char* context);
  Status else_of(Node& n, const char* context, const Node& next);
  Made leave(Node::Type type, const TemplateToken& word);
  Made else_control();
  Made block();
  Made call_template();
  Result<std::string> template_name(const TemplateToken& t, std::string_view context);
  Made pipeline(const char* context, Type end);
  Result<bool> declaration(Node& pipe, std::string_view context);
  Status check(const Node& pipe, std::string_view context) const;
  Made command();
  Made operand();
  Made term();
  Made number(const TemplateToken& t);
  Made use_variable(size_t position, const std::string& text);
  static Node::Ptr make(Node::Type type, size_t position, std::string text = "") {
    auto n = std::make_unique<Node>();
    n->type = type;
    n->position = position;
    n->text = std::move(text);
    return n;
  }

  Source& source_;
  TemplateToken tokens_[3];
  int pending_ = 0, ranges_ = 0, action_line_ = 0, nesting_;
  std::vector<std::string> variables_ = {"$"};
};

TemplateToken Parser::next() {
  if (pending_ > 0) {
    --pending_;
  } else {
    tokens_[0] = source_.lexer.next();
  }
  return tokens_[pending_];
}

const TemplateToken& Parser::peek() {
  if (pending_ == 0) {
    pending_ = 1;
    tokens_[0] = source_.lexer.next();
  }
  return tokens_[pending_ - 1];
}

TemplateToken Parser::next_non_space() {
  TemplateToken t = next();
  while (t.type == Type::kSpace) t = next();
  return t;
}

const TemplateToken& Parser::peek_non_space() {
  next_non_space();
  back();
  return tokens_[pending_ - 1];
}

Status Parser::unexpected(const TemplateToken& t, std::string_view context) const {
  if (t.type != Type::kError) {
    return error("unexpected " + shown(t) + " in " + std::string(context));
  }
  std::string extra;
  if (action_line_ != 0 && action_line_ != t.line) {
    extra = " in action started at " + source_.set->name + ":" + std::to_string(action_line_);
    if (t.text.ends_with(" action")) extra = extra.substr(std::string_view(" in action").size());
  }
  return error(t.text + extra);
}

Result<TemplateToken> Parser::expect(Type type, std::string_view context) {
  TemplateToken t = next_non_space();
  if (t.type != type) return unexpected(t, context);
  return t;
}

Status Parser::parse_all() {
  Node::Ptr root = make(Node::Type::kList, peek().position);
  while (peek().type != Type::kEnd) {
    if (peek().type == Type::kLeftDelimiter) {
      TemplateToken delimiter = next();
      if (next_non_space().type == Type::kDefine) {
        Parser definition(source_, nesting_ + 1);
        TRY(definition.define());
        continue;
      }
      back(std::move(delimiter));
    }
    TRY_ASSIGN(n, text_or_action());
    if (n->type == Node::Type::kEnd || n->type == Node::Type::kElse) {
      return error("unexpected " + n->to_string());
    }
    root->parts.push_back(std::move(n));
  }
  return add(source_.set->name, std::move(root));
}

Status Parser::define() {
  TemplateToken t = next_non_space();
  if (t.type != Type::kString && t.type != Type::kRawString) return unexpected(t, "define clause");
  std::string name;
  if (!go_unquote(t.text, &name)) return error("invalid syntax");
  TRY(expect(Type::kRightDelimiter, "define clause"));
  Node::Ptr root, end;
  TRY(items(&root, &end));
  if (end->type != Node::Type::kEnd) {
    return error("unexpected " + end->to_string() + " in define clause");
  }
  return add(std::move(name), std::move(root));
}

Status Parser::add(std::string name, Node::Ptr root) {
  Node::Ptr& there = source_.set->templates[name];
  if (!there || is_empty(*there)) {
    there = std::move(root);
    return Status();
  }
  // The text itself is there whatever it holds.
  if (!is_empty(*root)) {
    return error("template: multiple definition of template " + go_quote(name));
  }
  return Status();
}

Status Parser::items(Node::Ptr* list, Node::Ptr* end) {
  if (++nesting_ > kMaxNesting) return error("actions nested too deeply");
  *list = make(Node::Type::kList, peek_non_space().position);
  while (peek_non_space().type != Type::kEnd) {
    TRY_ASSIGN(n, text_or_action());
    if (n->type == Node::Type::kEnd || n->type == Node::Type::kElse) {
      *end = std::move(n);
      --nesting_;
      return Status();
    }
    (*list)->parts.push_back(std::move(n));
  }
  return error("unexpected EOF");
}

Made Parser::text_or_action() {
  TemplateToken t = next_non_space();
  if (t.type == Type::kText) return make(Node::Type::kText, t.position, t.text);
  if (t.type != Type::kLeftDelimiter) return unexpected(t, "input");
  action_line_ = t.line;
  Made made = action();
  action_line_ = 0;
  return made;
}

Made Parser::action() {
  TemplateToken t = next_non_space();
  switch (t.type) {
    case Type::kBlock:
      return block();
    case Type::kBreakWord:
      return leave(Node::Type::kBreak, t);
    case Type::kContinueWord:
      return leave(Node::Type::kContinue, t);
    case Type::kElseWord:
      return else_control();
    case Type::kEndWord: {
      TRY_ASSIGN(close, expect(Type::kRightDelimiter, "end"));
      return make(Node::Type::kEnd, close.position);
    }
    case Type::kIfWord:
      return control(Node::Type::kIf, "if");
    case Type::kRangeWord:
      return control(Node::Type::kRange, "range");
    case Type::kTemplateWord:
      return call_template();
    case Type::kWithWord:
      return control(Node::Type::kWith, "with");
    default:
      break;
  }
  back();
  Node::Ptr n = make(Node::Type::kAction, peek().position);
  TRY_ASSIGN(pipe, pipeline("command", Type::kRightDelimiter));
  n->pipe = std::move(pipe);
  return n;
}

Made Parser::leave(Node::Type type, const TemplateToken& word) {
  const std::string shown_word = "{{" + word.text + "}}";
  TRY(expect(Type::kRightDelimiter, shown_word));
  if (ranges_ == 0) return error(shown_word + " outside {{range}}");
  return make(type, word.position);
}

Made Parser::control(Node::Type type, const char* context) {
  const size_t scope = variables_.size();
  Node::Ptr n = make(type, 0);
  TRY_ASSIGN(pipe, pipeline(context, Type::kRightDelimiter));
  n->position = pipe->position;
  n->pipe = std::move(pipe);
  if (type == Node::Type::kRange) ++ranges_;
  Node::Ptr end;
  TRY(items(&n->list, &end));
  if (type == Node::Type::kRange) --ranges_;
  if (end->type == Node::Type::kElse) TRY(else_of(*n, context, *end));
  variables_.resize(scope);
  return n;
}

// {{else if}} and {{else with}} are an if or with of its own inside the else, closed with it.
Status Parser::else_of(Node& n, const char* context, const Node& next_node) {
  const Type word = n.type == Node::Type::kIf ? Type::kIfWord : Type::kWithWord;
  if (n.type != Node::Type::kRange && peek().type == word) {
    next();
    if (++nesting_ > kMaxNesting) return error("actions nested too deeply");
    n.else_list = make(Node::Type::kList, next_node.position);
    TRY_ASSIGN(inner, control(n.type, context));
    --nesting_;
    n.else_list->parts.push_back(std::move(inner));
    return Status();
  }
  Node::Ptr end;
  TRY(items(&n.else_list, &end));
  if (end->type != Node::Type::kEnd) return error("expected end; found " + end->to_string());
  return Status();
}

Made Parser::else_control() {
  const TemplateToken& ahead = peek_non_space();
  if (ahead.type == Type::kIfWord || ahead.type == Type::kWithWord) {
    return make(Node::Type::kElse, ahead.position);
  }
  TRY_ASSIGN(close, expect(Type::kRightDelimiter, "else"));
  return make(Node::Type::kElse, close.position);
}

Result<std::string> Parser::template_name(const TemplateToken& t, std::string_view context) {
  if (t.type != Type::kString && t.type != Type::kRawString) return unexpected(t, context);
  std::string name;
  if (!go_unquote(t.text, &name)) return error("invalid syntax");
  return name;
}

Made Parser::block() {
  constexpr const char* kContext = "block clause";
  TemplateToken t = next_non_space();
  TRY_ASSIGN(name, template_name(t, kContext));
  TRY_ASSIGN(pipe, pipeline(kContext, Type::kRightDelimiter));
  Parser inner(source_, nesting_);
  Node::Ptr root, end;
  TRY(inner.items(&root, &end));
  if (end->type != Node::Type::kEnd) {
    return error("unexpected " + end->to_string() + " in " + kContext);
  }
  TRY(inner.add(name, std::move(root)));
  Node::Ptr n = make(Node::Type::kTemplate, t.position);
  n->value = name;
  n->pipe = std::move(pipe);
  return n;
}

Made Parser::call_template() {
  constexpr const char* kContext = "template clause";
  TemplateToken t = next_non_space();
  TRY_ASSIGN(name, template_name(t, kContext));
  Node::Ptr n = make(Node::Type::kTemplate, t.position);
  n->value = name;
  if (next_non_space().type != Type::kRightDelimiter) {
    back();
    TRY_ASSIGN(pipe, pipeline(kContext, Type::kRightDelimiter));
    n->pipe = std::move(pipe);
  }
  return n;
}

// "$x :=", "$x =", "$x," at the start of a pipeline; whether another may follow.
Result<bool> Parser::declaration(Node& pipe, std::string_view context) {
  if (peek_non_space().type != Type::kVariable) return false;
  TemplateToken variable = next();
  TemplateToken after = peek();
  const TemplateToken& ahead = peek_non_space();
  auto declare = [&] {
    next_non_space();
    Node::Ptr n = make(Node::Type::kVariable, variable.position, variable.text);
    n->names = split_names(variable.text);
    pipe.declared.push_back(std::move(n));
    variables_.push_back(variable.text);
  };
  if (ahead.type == Type::kAssign || ahead.type == Type::kDeclare) {
    pipe.assigns = ahead.type == Type::kAssign;
    declare();
    return false;
  }
  if (ahead.type == Type::kChar && ahead.text == ",") {
    declare();
    if (context == "range" && pipe.declared.size() < 2) {
      Type t = peek_non_space().type;
      if (t == Type::kVariable || t == Type::kRightDelimiter || t == Type::kRightParen) return true;
      return error("range can only initialize variables");
    }
    return error("too many declarations in " + std::string(context));
  }
  if (after.type == Type::kSpace) {
    back(std::move(variable), std::move(after));
  } else {
    back(std::move(variable));
  }
  return false;
}

Made Parser::pipeline(const char* context, Type end) {
  if (++nesting_ > kMaxNesting + 1) return error("max expression depth exceeded");
  Node::Ptr pipe = make(Node::Type::kPipe, peek_non_space().position);
  for (;;) {
    TRY_ASSIGN(more, declaration(*pipe, context));
    if (!more) break;
  }
  for (;;) {
    TemplateToken t = next_non_space();
    if (t.type == end) {
      TRY(check(*pipe, context));
      --nesting_;
      return pipe;
    }
    switch (t.type) {
      case Type::kBool:
      case Type::kCharConstant:
      case Type::kDot:
      case Type::kField:
      case Type::kIdentifier:
      case Type::kNumber:
      case Type::kNilWord:
      case Type::kRawString:
      case Type::kString:
      case Type::kVariable:
      case Type::kLeftParen: {
        back();
        TRY_ASSIGN(one, command());
        pipe->parts.push_back(std::move(one));
        break;
      }
      default:
        return unexpected(t, context);
    }
  }
}

Status Parser::check(const Node& pipe, std::string_view context) const {
  if (pipe.parts.empty()) return error("missing value for " + std::string(context));
  for (size_t i = 1; i < pipe.parts.size(); ++i) {
    switch (pipe.parts[i]->parts[0]->type) {
      case Node::Type::kBool:
      case Node::Type::kDot:
      case Node::Type::kNil:
      case Node::Type::kNumber:
      case Node::Type::kString:
        return error("non executable command in pipeline stage " + std::to_string(i + 1));
      default:
        break;
    }
  }
  return Status();
}

Made Parser::command() {
  Node::Ptr n = make(Node::Type::kCommand, peek_non_space().position);
  for (;;) {
    peek_non_space();
    TRY_ASSIGN(one, operand());
    if (one) n->parts.push_back(std::move(one));
    TemplateToken t = next();
    if (t.type == Type::kSpace) continue;
    if (t.type == Type::kRightDelimiter || t.type == Type::kRightParen) {
      back();
    } else if (t.type != Type::kPipe) {
      return unexpected(t, "operand");
    }
    break;
  }
  if (n->parts.empty()) return error("empty command");
  return n;
}

Made Parser::operand() {
  TRY_ASSIGN(node, term());
  if (!node || peek().type != Type::kField) return std::move(node);
  const size_t position = peek().position;
  std::string fields;
  while (peek().type == Type::kField) fields += next().text;
  switch (node->type) {
    case Node::Type::kField:
    case Node::Type::kVariable:
      // One chain of names, which begins where the second does.
      node->text += fields;
      node->names = split_names(node->text);
      if (node->type == Node::Type::kField) node->names.erase(node->names.begin());
      node->position = position;
      return std::move(node);
    case Node::Type::kBool:
    case Node::Type::kString:
    case Node::Type::kNumber:
    case Node::Type::kNil:
    case Node::Type::kDot:
      return error("unexpected . after term " + go_quote(node->to_string()));
    default:
      break;
  }
  Node::Ptr chain = make(Node::Type::kChain, position);
  chain->names = split_names(fields);
  chain->names.erase(chain->names.begin());
  chain->parts.push_back(std::move(node));
  return chain;
}

Made Parser::use_variable(size_t position, const std::string& text) {
  Node::Ptr n = make(Node::Type::kVariable, position, text);
  n->names = split_names(text);
  for (const std::string& known : variables_) {
    if (known == n->names[0]) return n;
  }
  return error("undefined variable " + go_quote(n->names[0]));
}

Made Parser::term() {
  TemplateToken t = next_non_space();
  switch (t.type) {
    case Type::kIdentifier:
      if (!template_function(t.text)) {
        return error("function " + go_quote(t.text) + " not defined");
      }
      return make(Node::Type::kIdentifier, t.position, t.text);
    case Type::kDot:
      return make(Node::Type::kDot, t.position, ".");
    case Type::kNilWord:
      return make(Node::Type::kNil, t.position, "nil");
    case Type::kVariable:
      return use_variable(t.position, t.text);
    case Type::kField: {
      Node::Ptr n = make(Node::Type::kField, t.position, t.text);
      n->names.push_back(t.text.substr(1));
      return n;
    }
    case Type::kBool: {
      Node::Ptr n = make(Node::Type::kBool, t.position, t.text);
      n->constant = GoValue::of(t.text == "true");
      return n;
    }
    case Type::kCharConstant:
    case Type::kNumber:
      return number(t);
    case Type::kLeftParen:
      return pipeline("parenthesized pipeline", Type::kRightParen);
    case Type::kString:
    case Type::kRawString: {
      Node::Ptr n = make(Node::Type::kString, t.position, t.text);
      if (!go_unquote(t.text, &n->value)) return error("invalid syntax");
      n->constant = GoValue::text(n->value);
      return n;
    }
    default:
      back();
      return Node::Ptr();
  }
}

Made Parser::number(const TemplateToken& t) {
  Node::Ptr n = make(Node::Type::kNumber, t.position, t.text);
  std::string_view text = t.text;
  if (t.type == Type::kCharConstant) {
    std::string_view rest = text.substr(1);
    char32_t rune = 0;
    bool is_byte = false;
    if (!go_unquote_char(&rest, '\'', &rune, &is_byte)) return error("invalid syntax");
    if (rest != "'") return error("malformed character constant: " + t.text);
    n->constant = GoValue::integer(static_cast<int64_t>(rune));
    return n;
  }
  const bool hex = text.find('x') != text.npos || text.find('X') != text.npos;
  const bool real = text.find_first_of(hex ? ".pP" : ".eEpP") != text.npos;
  if (std::optional<int64_t> i = parse_integer<int64_t>(text)) {
    n->constant = GoValue::integer(*i);
    return n;
  }
  if (parse_integer<uint64_t>(text)) return n;  // an error when it is used
  std::optional<double> d = parse_float(text);
  if (!d || text.ends_with('i')) return error("illegal number syntax: " + go_quote(text));
  if (!real) return error("integer overflow: " + go_quote(text));
  n->constant = GoValue::of(*d);
  return n;
}

}  // namespace

Result<std::unique_ptr<TemplateSet>> parse_template(std::string_view name, std::string_view text) {
  if (text.size() > kMaxTemplate) return failure("a template of more than 64 KiB");
  auto set = std::make_unique<TemplateSet>();
  set->name = name;
  set->text = text;
  Source source{TemplateLexer(set->text), set.get()};
  Parser parser(source, 0);
  TRY(parser.parse_all());
  return set;
}

bool go_integer(std::string_view text) { return parse_integer<int64_t>(text).has_value(); }
bool go_float(std::string_view text) { return parse_float(text).has_value(); }

bool go_unquote_char(std::string_view* rest, char quote, char32_t* out, bool* is_byte) {
  *is_byte = false;
  std::string_view s = *rest;
  if (s.empty() || s[0] == quote || s[0] == '\n') return false;
  if (s[0] != '\\') {
    Rune r = first_rune(s);
    *out = r.value;
    *is_byte = r.size == 1 && r.value == 0xfffd;
    if (*is_byte) *out = static_cast<unsigned char>(s[0]);
    rest->remove_prefix(r.size);
    return true;
  }
  if (s.size() < 2) return false;
  const char c = s[1];
  constexpr std::string_view kNames = "abfnrtv\\", kNamed = "\a\b\f\n\r\t\v\\";
  size_t named = kNames.find(c);
  if (named != kNames.npos || c == quote) {
    *out = named != kNames.npos ? static_cast<unsigned char>(kNamed[named])
                                : static_cast<unsigned char>(quote);
    rest->remove_prefix(2);
    return true;
  }
  const bool octal = c >= '0' && c <= '7';
  size_t n = octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0, from = octal ? 1 : 2;
  if (n == 0 || s.size() < from + n) return false;
  uint32_t value = 0;
  const char* end = s.data() + from + n;
  auto read = std::from_chars(s.data() + from, end, value, octal ? 8 : 16);
  if (read.ec != std::errc() || read.ptr != end) return false;
  *is_byte = octal || c == 'x';
  if (octal ? value > 255 : value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return false;
  *out = value;
  rest->remove_prefix(from + n);
  return true;
}

bool go_unquote(std::string_view quoted, std::string* out) {
  out->clear();
  if (quoted.size() < 2 || quoted.front() != quoted.back()) return false;
  const char quote = quoted.front();
  std::string_view rest = quoted.substr(1, quoted.size() - 2);
  if (quote == '`') {
    for (char c : rest) {
      if (c != '\r') *out += c;
    }
    return true;
  }
  while (!rest.empty()) {
    char32_t r = 0;
    bool is_byte = false;
    if (!go_unquote_char(&rest, quote, &r, &is_byte)) return false;
    if (is_byte) {
      *out += static_cast<char>(r);
    } else {
      append_rune(*out, r);
    }
  }
  return true;
}

std::string TemplateNode::to_string() const {
  auto joined = [](const std::vector<Ptr>& nodes, std::string_view between) {
    std::string out;
    for (const Ptr& n : nodes) {
      if (&n != &nodes[0]) out += between;
      const bool parens = n->type == Type::kPipe;
      out += parens ? "(" + n->to_string() + ")" : n->to_string();
    }
    return out;
  };
  auto branch = [this](const char* word) {
    std::string out = std::string("{{") + word + " " + pipe->to_string() + "}}" + list->to_string();
    if (else_list) out += "{{else}}" + else_list->to_string();
    return out + "{{end}}";
  };
  switch (type) {
    case Type::kAction:
      return "{{" + pipe->to_string() + "}}";
    case Type::kIf:
      return branch("if");
    case Type::kWith:
      return branch("with");
    case Type::kRange:
      return branch("range");
    case Type::kTemplate:
      return "{{template " + go_quote(value) + (pipe ? " " + pipe->to_string() : "") + "}}";
    case Type::kBreak:
      return "{{break}}";
    case Type::kContinue:
      return "{{continue}}";
    case Type::kEnd:
      return "{{end}}";
    case Type::kElse:
      return "{{else}}";
    case Type::kList:
      return joined(parts, "");
    case Type::kPipe: {
      std::string out = joined(declared, ", ");
      if (!declared.empty()) out += assigns ? " = " : " := ";
      return out + joined(parts, " | ");
    }
    case Type::kCommand:
      return joined(parts, " ");
    case Type::kChain: {
      std::string out = joined(parts, "");
      for (const std::string& name : names) out += "." + name;
      return out;
    }
    default:
      return text;
  }
}

}  // namespace keles::kubectl
