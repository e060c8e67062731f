#include "cel/parser.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <utility>

#include "cel/lexer.h"
#include "cel/literals.h"
#include "cel/macros.h"

namespace keles::cel {
namespace {

constexpr std::initializer_list<Token> kStartsOperand = {
    Token::kLeftBracket, Token::kLeftBrace, Token::kLeftParen, Token::kDot,   Token::kMinus,
    Token::kNot,         Token::kTrue,      Token::kFalse,     Token::kNull,  Token::kFloat,
    Token::kInt,         Token::kUint,      Token::kString,    Token::kBytes, Token::kIdent};

// What may stand in x[...] and in f(...), as errors at the end of the text name it.
constexpr std::initializer_list<Token> kStartsIndex = {
    Token::kLeftBracket, Token::kLeftBrace, Token::kLeftParen, Token::kDot,
    Token::kMinus,       Token::kNot,       Token::kQuestion,  Token::kTrue,
    Token::kFalse,       Token::kNull,      Token::kFloat,     Token::kInt,
    Token::kUint,        Token::kString,    Token::kBytes,     Token::kIdent};
constexpr std::initializer_list<Token> kStartsArgument = {
    Token::kLeftBracket, Token::kLeftBrace, Token::kLeftParen, Token::kRightParen,
    Token::kDot,         Token::kMinus,     Token::kNot,       Token::kTrue,
    Token::kFalse,       Token::kNull,      Token::kFloat,     Token::kInt,
    Token::kUint,        Token::kString,    Token::kBytes,     Token::kIdent};

bool is_reserved(std::string_view name) {
  constexpr std::string_view kReserved[] = {
      "as",     "break",  "const", "continue", "else",    "for",       "function",
      "if",     "import", "let",   "loop",     "package", "namespace", "null",
      "return", "true",   "false", "in",       "var",     "void",      "while"};
  return std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved);
}

// Recursive descent. A fault of syntax that cannot be stepped over ends the parse (`broken_`): what
// follows returns at once.
class Parser {
 public:
  Parser(const Source& source, Issues& issues, Ast& ast, bool bindings)
      : source_(source),
        issues_(issues),
        ast_(ast),
        bindings_(bindings),
        tokens_(tokenize(source, issues)) {}

  Expr* run() {
    Expr* e = expression();
    if (!broken_ && peek() != Token::kEnd) {
      unexpected({Token::kEnd});
    }
    return e;
  }

 private:
  // --- tokens ---------------------------------------------------------------------------------

  Token peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)].token;
  }
  const Lexeme& lexeme() const { return tokens_[at_]; }
  Lexeme take() {
    const Lexeme l = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return l;
  }
  bool take_if(Token t) {
    if (broken_ || peek() != t) return false;
    take();
    return true;
  }
  std::string text(const Lexeme& l) const {
    if (l.token == Token::kEnd) return "<EOF>";
    return source_.slice(static_cast<size_t>(l.begin), static_cast<size_t>(l.end));
  }

  // --- faults ---------------------------------------------------------------------------------

  void syntax_fault(const Lexeme& at, const std::string& message) {
    Location l = source_.location(at.begin);
    if (source_.runes().empty()) l.column = -1;
    issues_.add(l, "Syntax error: " + message);
  }
  void fault(int32_t offset, std::string message) {
    issues_.add(source_.location(offset), std::move(message));
  }
  static std::string expecting(std::initializer_list<Token> wanted) {
    if (wanted.size() == 1) return std::string(token_text(*wanted.begin()));
    std::string out = "{";
    for (const Token t : wanted) {
      if (out.size() > 1) out += ", ";
      out += token_text(t);
    }
    return out + "}";
  }

  // The next token is none of `wanted`. If the one after it is, this one is told and dropped;
  // otherwise the parse is over.
  bool unexpected(std::initializer_list<Token> wanted) {
    if (broken_) return false;
    const Lexeme l = lexeme();
    const bool after =
        l.token != Token::kEnd && std::find(wanted.begin(), wanted.end(), peek(1)) != wanted.end();
    syntax_fault(l, std::string(after ? "extraneous" : "mismatched") + " input '" + text(l) +
                        "' expecting " + expecting(wanted));
    if (after) {
      take();
      return true;
    }
    broken_ = true;
    return false;
  }

  // What must come next.
  bool expect(Token t) {
    if (broken_) return false;
    if (take_if(t)) return true;
    const Lexeme l = lexeme();
    if (l.token != Token::kEnd && peek(1) == t) {
      syntax_fault(l, "extraneous input '" + text(l) + "' expecting " + std::string(token_text(t)));
      take();
      take();
      return true;
    }
    if (may_follow(t, l.token)) {
      syntax_fault(l, "missing " + std::string(token_text(t)) + " at '" + text(l) + "'");
      return true;
    }
    syntax_fault(l, "mismatched input '" + text(l) + "' expecting " + std::string(token_text(t)));
    broken_ = true;
    return false;
  }
  // Whether it is likely that only `t` was left out before the token.
  static bool may_follow(Token t, Token next) {
    if (t == Token::kColon) return starts_operand(next);
    return !starts_operand(next) && next != Token::kRightParen && next != Token::kRightBracket &&
           next != Token::kRightBrace;
  }
  static bool starts_operand(Token t) {
    return std::find(kStartsOperand.begin(), kStartsOperand.end(), t) != kStartsOperand.end() &&
           t != Token::kLeftBracket && t != Token::kDot && t != Token::kMinus;
  }
  // The end of a list or a map, before which a comma may stand.
  void expect_end(Token t) {
    if (broken_ || take_if(t)) return;
    if (peek() == Token::kEnd || peek(1) != t) {
      const Lexeme l = lexeme();
      syntax_fault(l,
                   "mismatched input '" + text(l) + "' expecting " + expecting({t, Token::kComma}));
      broken_ = true;
      return;
    }
    expect(t);
  }

  // --- depth ----------------------------------------------------------------------------------

  // Of expressions inside expressions.
  class Level {
   public:
    explicit Level(Parser& p) : parser_(p) {
      if (++p.depth_ <= kMaxExpressionDepth || p.broken_) return;
      p.too_deep("expression recursion limit exceeded: " + std::to_string(kMaxExpressionDepth));
    }
    ~Level() { --parser_.depth_; }
    Level(const Level&) = delete;

   private:
    Parser& parser_;
  };
  void too_deep(std::string message) {
    issues_.add({}, std::move(message));
    broken_ = true;
  }
  // Of operators and steps: a + b + c is two deep. The node knows how deep it is.
  Expr* nested(Expr* e, std::initializer_list<const Expr*> parts) {
    uint16_t depth = 0;
    for (const Expr* part : parts) depth = std::max(depth, part->nesting);
    e->nesting = depth + 1;
    if (e->nesting > kMaxExpressionDepth && !broken_) too_deep("max recursion depth exceeded");
    return e;
  }

  // --- nodes ----------------------------------------------------------------------------------

  Expr* faulty(int32_t offset) { return ast_.make(Expr::Kind::kFaulty, offset); }

  Expr* call(int32_t offset, std::string_view function, std::vector<Expr*> args,
             Expr* target = nullptr) {
    Expansion macro = expand_macro(ast_, offset, function, target, args, bindings_);
    if (macro.fault) {
      fault(macro.fault->offset, std::move(macro.fault->message));
      return faulty(offset);
    }
    if (macro.expr != nullptr) return macro.expr;
    Expr* e = ast_.make(Expr::Kind::kCall, offset);
    e->name = function;
    e->args = std::move(args);
    e->target = target;
    return e;
  }

  // --- grammar --------------------------------------------------------------------------------

  Expr* expression() {
    const Level level(*this);
    if (broken_) return faulty(-1);
    Expr* condition = logical(Token::kOr);
    if (broken_ || peek() != Token::kQuestion) return condition;
    const int32_t offset = take().begin;
    Expr* yes = logical(Token::kOr);
    expect(Token::kColon);
    Expr* no = expression();
    return nested(call(offset, op::kConditional, {condition, yes, no}), {condition, yes, no});
  }

  // a || b || c as one node, and a && b && c.
  Expr* logical(Token t) {
    Expr* first = t == Token::kOr ? logical(Token::kAnd) : relation();
    if (broken_ || peek() != t) return first;
    Expr* e = ast_.make(Expr::Kind::kCall, lexeme().begin);
    e->name = t == Token::kOr ? op::kOr : op::kAnd;
    e->args.push_back(first);
    while (take_if(t)) e->args.push_back(t == Token::kOr ? logical(Token::kAnd) : relation());
    for (const Expr* arg : e->args) e->nesting = std::max(e->nesting, arg->nesting);
    return e;
  }

  static std::string_view relation_of(Token t) {
    switch (t) {
      case Token::kEquals:
        return op::kEquals;
      case Token::kNotEquals:
        return op::kNotEquals;
      case Token::kIn:
        return op::kIn;
      case Token::kLess:
        return op::kLess;
      case Token::kLessEquals:
        return op::kLessEquals;
      case Token::kGreaterEquals:
        return op::kGreaterEquals;
      case Token::kGreater:
        return op::kGreater;
      default:
        return "";
    }
  }
  Expr* binary(int32_t offset, std::string_view function, Expr* left, Expr* right) {
    return nested(call(offset, function, {left, right}), {left, right});
  }

  Expr* relation() {
    Expr* left = sum();
    for (;;) {
      const std::string_view function = broken_ ? "" : relation_of(peek());
      if (function.empty()) return left;
      const int32_t offset = take().begin;
      left = binary(offset, function, left, sum());
    }
  }

  Expr* sum() {
    Expr* left = product();
    while (!broken_ && (peek() == Token::kPlus || peek() == Token::kMinus)) {
      const Lexeme l = take();
      left = binary(l.begin, l.token == Token::kPlus ? op::kAdd : op::kSubtract, left, product());
    }
    return left;
  }

  Expr* product() {
    Expr* left = unary();
    for (;;) {
      const Token t = broken_ ? Token::kEnd : peek();
      if (t != Token::kStar && t != Token::kSlash && t != Token::kPercent) return left;
      const int32_t offset = take().begin;
      const std::string_view function = t == Token::kStar    ? op::kMultiply
                                        : t == Token::kSlash ? op::kDivide
                                                             : op::kModulo;
      left = binary(offset, function, left, unary());
    }
  }

  bool at_signed_number() const {
    return peek() == Token::kMinus && (peek(1) == Token::kInt || peek(1) == Token::kFloat);
  }

  Expr* unary() {
    if (broken_) return faulty(-1);
    if (std::find(kStartsOperand.begin(), kStartsOperand.end(), peek()) == kStartsOperand.end() &&
        !unexpected(kStartsOperand)) {
      return faulty(-1);
    }
    const Token t = peek();
    if (t != Token::kNot && (t != Token::kMinus || at_signed_number())) return member();
    const int32_t offset = lexeme().begin;
    size_t count = 0;
    while (take_if(t)) ++count;
    if (std::find(kStartsOperand.begin(), kStartsOperand.end(), peek()) == kStartsOperand.end()) {
      const Lexeme l = lexeme();
      if (t == Token::kMinus) {
        syntax_fault(l, "no viable alternative at input '-" +
                            (l.token == Token::kEnd ? std::string() : text(l)) + "'");
      }
      syntax_fault(l, std::string(t == Token::kNot ? "extraneous" : "mismatched") + " input '" +
                          text(l) + "' expecting " + expecting(kStartsOperand));
      broken_ = true;
      return faulty(offset);
    }
    Expr* operand = member();
    if (count % 2 == 0) return operand;
    Expr* e = call(offset, t == Token::kNot ? op::kNot : op::kNegate, {operand});
    e->nesting = operand->nesting;
    return e;
  }

  Expr* member() {
    Expr* e = primary();
    while (!broken_) {
      if (peek() == Token::kDot) {
        e = select(e);
      } else if (peek() == Token::kLeftBracket) {
        const int32_t offset = take().begin;
        const bool optional = take_if(Token::kQuestion);
        if (peek() == Token::kEnd) unexpected(kStartsIndex);
        Expr* index = expression();
        expect(Token::kRightBracket);
        e = binary(offset, optional ? op::kOptIndex : op::kIndex, e, index);
      } else {
        return e;
      }
    }
    return e;
  }

  // A field's name; "" when there is none.
  std::string field_name() {
    if (peek() == Token::kEscapedIdent) {
      fault(lexeme().begin, "unsupported syntax: '`'");
      take();
      return "";
    }
    if (peek() != Token::kIdent) {
      const Lexeme l = lexeme();
      const bool word =
          l.token == Token::kTrue || l.token == Token::kFalse || l.token == Token::kNull;
      if (word) {
        syntax_fault(l, "mismatched input '" + text(l) + "' expecting IDENTIFIER");
      } else {
        syntax_fault(l, "no viable alternative at input '." +
                            (l.token == Token::kEnd ? std::string() : text(l)) + "'");
      }
      broken_ = true;
      return "";
    }
    return text(take());
  }

  Expr* select(Expr* operand) {
    const int32_t dot = take().begin;
    if (take_if(Token::kQuestion)) {
      const int32_t at = lexeme().begin;
      std::string field = field_name();
      Expr* e = ast_.make(Expr::Kind::kCall, dot);
      e->name = op::kOptSelect;
      Expr* literal = ast_.make(Expr::Kind::kLiteral, at);
      literal->literal = std::move(field);
      e->args = {operand, literal};
      return nested(e, {operand});
    }
    std::string field = field_name();
    if (broken_) return faulty(dot);
    if (peek() == Token::kLeftParen) {
      const int32_t paren = take().begin;
      std::vector<Expr*> args = arguments();
      uint16_t depth = 0;
      for (const Expr* arg : args) depth = std::max(depth, arg->nesting);
      Expr* e = nested(call(paren, field, std::move(args), operand), {operand});
      e->nesting = std::max<uint16_t>(e->nesting, depth);
      return e;
    }
    Expr* e = ast_.make(Expr::Kind::kSelect, dot);
    e->target = operand;
    e->name = std::move(field);
    return nested(e, {operand});
  }

  // Up to and with the closing parenthesis.
  std::vector<Expr*> arguments() {
    std::vector<Expr*> args;
    if (take_if(Token::kRightParen)) return args;
    if (peek() == Token::kEnd || peek() == Token::kComma) unexpected(kStartsArgument);
    do {
      args.push_back(expression());
    } while (take_if(Token::kComma));
    expect(Token::kRightParen);
    return args;
  }

  // IDENT (. IDENT)* { : a message is made.
  bool at_message() const {
    size_t i = peek() == Token::kDot ? 1 : 0;
    for (;; i += 2) {
      if (peek(i) != Token::kIdent) return false;
      if (peek(i + 1) == Token::kLeftBrace) return true;
      if (peek(i + 1) != Token::kDot) return false;
    }
  }

  Expr* primary() {
    if (broken_) return faulty(-1);
    switch (peek()) {
      case Token::kLeftParen: {
        take();
        Expr* e = expression();
        expect(Token::kRightParen);
        return e;
      }
      case Token::kLeftBracket:
        return list();
      case Token::kLeftBrace:
        return map();
      case Token::kDot:
      case Token::kIdent:
        return at_message() ? message() : name();
      default:
        return literal();
    }
  }

  Expr* name() {
    const int32_t start = lexeme().begin;
    const bool dot = take_if(Token::kDot);
    if (peek() != Token::kIdent) {
      unexpected({Token::kIdent});
      if (broken_) return faulty(start);
    }
    const Lexeme l = take();
    const std::string id = text(l);
    if (is_reserved(id)) {
      fault(start, "reserved identifier: " + id);
      if (take_if(Token::kLeftParen)) arguments();
      return faulty(start);
    }
    if (peek() == Token::kLeftParen) {
      const int32_t paren = take().begin;
      return call(paren, dot ? "." + id : id, arguments());
    }
    Expr* e = ast_.make(Expr::Kind::kIdent, l.begin);
    e->name = dot ? "." + id : id;
    return e;
  }

  Expr* list() {
    Expr* e = ast_.make(Expr::Kind::kList, take().begin);
    if (peek(1) == Token::kRightBracket) take_if(Token::kComma);
    while (!broken_ && peek() != Token::kRightBracket) {
      e->optional.push_back(take_if(Token::kQuestion));
      e->args.push_back(expression());
      if (!take_if(Token::kComma)) break;
    }
    expect_end(Token::kRightBracket);
    return e;
  }

  Expr* map() {
    Expr* e = ast_.make(Expr::Kind::kMap, take().begin);
    if (peek(1) == Token::kRightBrace) take_if(Token::kComma);
    return entries(e, [&] { e->args.push_back(expression()); });
  }

  Expr* message() {
    std::string name;
    if (take_if(Token::kDot)) name = ".";
    name += text(take());
    while (take_if(Token::kDot)) name += "." + text(take());
    Expr* e = ast_.make(Expr::Kind::kStruct, take().begin);
    e->name = std::move(name);
    return entries(e, [&] { e->fields.push_back(field_name()); });
  }

  // What stands between braces: "?KEY: VALUE, ...". `key` reads one.
  template <class Key>
  Expr* entries(Expr* e, Key key) {
    while (!broken_ && peek() != Token::kRightBrace) {
      e->optional.push_back(take_if(Token::kQuestion));
      key();
      e->entry_offsets.push_back(lexeme().begin);
      expect(Token::kColon);
      e->args.push_back(expression());
      if (!take_if(Token::kComma)) break;
    }
    expect_end(Token::kRightBrace);
    return e;
  }

  Expr* literal() {
    const int32_t start = lexeme().begin;
    const bool minus = take_if(Token::kMinus);
    const Lexeme l = take();
    Result<Literal> value = read_literal(l.token, (minus ? "-" : "") + text(l));
    if (!value.ok()) {
      fault(start, value.status().message());
      return faulty(start);
    }
    Expr* e = ast_.make(Expr::Kind::kLiteral, start);
    e->literal = std::move(*value);
    return e;
  }

  const Source& source_;
  Issues& issues_;
  Ast& ast_;
  bool bindings_;
  std::vector<Lexeme> tokens_;
  size_t at_ = 0;
  bool broken_ = false;
  int depth_ = 0;
};

}  // namespace

Expr* Ast::copy(const Expr* e) {
  if (e == nullptr) return nullptr;
  Expr* c = make(e->kind, e->offset);
  *c = *e;
  c->target = copy(e->target);
  for (Expr*& arg : c->args) arg = copy(arg);
  if (e->comprehension != nullptr) {
    c->comprehension = make_comprehension();
    *c->comprehension = *e->comprehension;
    for (Expr** part :
         {&c->comprehension->range, &c->comprehension->init, &c->comprehension->condition,
          &c->comprehension->step, &c->comprehension->result}) {
      *part = copy(*part);
    }
  }
  return c;
}

std::unique_ptr<Ast> parse(const Source& source, Issues& issues, bool bindings) {
  if (source.runes().size() > kMaxExpressionRunes) {
    issues.add({}, "expression code point size exceeds limit: size: " +
                       std::to_string(source.runes().size()) + ", limit " +
                       std::to_string(kMaxExpressionRunes));
    return nullptr;
  }
  auto ast = std::make_unique<Ast>();
  ast->root = Parser(source, issues, *ast, bindings).run();
  if (!issues.empty()) return nullptr;
  return ast;
}

}  // namespace keles::cel
