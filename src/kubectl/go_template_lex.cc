#include <algorithm>

#include "kubectl/go_format.h"
#include "kubectl/go_template_tree.h"

namespace keles::kubectl {
namespace {

constexpr std::string_view kSpaces = " \t\r\n", kOpen = "{{", kClose = "}}";

bool is_space(char c) { return c != '\0' && kSpaces.find(c) != kSpaces.npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return c == '_' || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool trims_left(std::string_view s) { return s.size() >= 2 && s[0] == '-' && is_space(s[1]); }
bool trims_right(std::string_view s) { return s.size() >= 2 && is_space(s[0]) && s[1] == '-'; }

TemplateToken::Type keyword(std::string_view word) {
  using Type = TemplateToken::Type;
  static const std::map<std::string_view, Type> kWords = {{"block", Type::kBlock},
                                                          {"break", Type::kBreakWord},
                                                          {"continue", Type::kContinueWord},
                                                          {"define", Type::kDefine},
                                                          {"else", Type::kElseWord},
                                                          {"end", Type::kEndWord},
                                                          {"if", Type::kIfWord},
                                                          {"nil", Type::kNilWord},
                                                          {"range", Type::kRangeWord},
                                                          {"template", Type::kTemplateWord},
                                                          {"with", Type::kWithWord},
                                                          {"true", Type::kBool},
                                                          {"false", Type::kBool}};
  auto found = kWords.find(word);
  return found == kWords.end() ? Type::kIdentifier : found->second;
}

}  // namespace

TemplateToken TemplateLexer::emit(Type type) {
  TemplateToken t{type, start_, std::string(in_.substr(start_, at_ - start_)), start_line_};
  line_ += static_cast<int>(std::count(t.text.begin(), t.text.end(), '\n'));
  start_ = at_;
  start_line_ = line_;
  return t;
}

void TemplateLexer::ignore() {
  std::string_view passed = in_.substr(start_, at_ - start_);
  line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
  start_ = at_;
  start_line_ = line_;
}

TemplateToken TemplateLexer::error(std::string message) {
  TemplateToken t{Type::kError, start_, std::move(message), start_line_};
  in_ = {};
  at_ = start_ = 0;
  in_action_ = false;
  return t;
}

TemplateToken TemplateLexer::bad_character() {
  return error("bad character " + (more() ? rune_name(first_rune(in_.substr(at_)).value) : ""));
}

TemplateToken TemplateLexer::next() {
  if (in_action_) return inside();
  TemplateToken t;
  while (!lex_text(&t)) {
  }
  return t;
}

// Up to the next action and its delimiter; false after a comment.
bool TemplateLexer::lex_text(TemplateToken* out) {
  size_t open = in_.find(kOpen, at_);
  if (open == in_.npos) {
    at_ = in_.size();
    *out = emit(at_ > start_ ? Type::kText : Type::kEnd);
    return true;
  }
  if (open > at_) {
    at_ = open;
    if (trims_left(in_.substr(open + 2))) {
      while (at_ > start_ && is_space(in_[at_ - 1])) --at_;
    }
    const bool any = at_ > start_;
    if (any) *out = emit(Type::kText);
    at_ = open;
    ignore();
    if (any) return true;
  }
  return left_delimiter(out);
}

bool TemplateLexer::left_delimiter(TemplateToken* out) {
  at_ += kOpen.size();
  const size_t marker = trims_left(in_.substr(at_)) ? 2 : 0;
  if (in_.substr(at_ + marker).starts_with("/*")) {
    at_ += marker;
    ignore();
    return comment(out);
  }
  *out = emit(Type::kLeftDelimiter);
  in_action_ = true;
  parens_ = 0;
  at_ += marker;
  ignore();
  return true;
}

bool TemplateLexer::comment(TemplateToken* out) {
  size_t end = in_.find("*/", at_ + 2);
  if (end == in_.npos) {
    *out = error("unclosed comment");
    return true;
  }
  at_ = end + 2;
  bool trims = false;
  if (!at_right_delimiter(&trims)) {
    *out = error("comment ends before closing delimiter");
    return true;
  }
  at_ += kClose.size() + (trims ? 2 : 0);
  while (trims && is_space(peek())) ++at_;
  ignore();
  return false;
}

bool TemplateLexer::at_right_delimiter(bool* trims) const {
  std::string_view rest = in_.substr(at_);
  *trims = trims_right(rest) && rest.substr(2).starts_with(kClose);
  return *trims || rest.starts_with(kClose);
}

TemplateToken TemplateLexer::right_delimiter() {
  bool trims = false;
  at_right_delimiter(&trims);
  if (trims) {
    at_ += 2;
    ignore();
  }
  at_ += kClose.size();
  TemplateToken t = emit(Type::kRightDelimiter);
  while (trims && is_space(peek())) ++at_;
  ignore();
  in_action_ = false;
  return t;
}

TemplateToken TemplateLexer::inside() {
  bool trims = false;
  if (at_right_delimiter(&trims)) {
    return parens_ == 0 ? right_delimiter() : error("unclosed left paren");
  }
  if (!more()) return error("unclosed action");
  const char c = peek();
  if (is_space(c)) return space();
  if (c == '+' || c == '-' || is_digit(c) || (c == '.' && is_digit(peek(1)))) return number();
  if (is_word(c)) return identifier();
  ++at_;
  switch (c) {
    case '=':
      return emit(Type::kAssign);
    case ':':
      if (peek() != '=') return error("expected :=");
      ++at_;
      return emit(Type::kDeclare);
    case '|':
      return emit(Type::kPipe);
    case '"':
      return quoted_text('"', Type::kString, "unterminated quoted string");
    case '\'':
      return quoted_text('\'', Type::kCharConstant, "unterminated character constant");
    case '`': {
      size_t end = in_.find('`', at_);
      if (end == in_.npos) return error("unterminated raw quoted string");
      at_ = end + 1;
      return emit(Type::kRawString);
    }
    case '$':
      return field_or_variable(Type::kVariable);
    case '.':
      return field_or_variable(Type::kField);
    case '(':
      ++parens_;
      return emit(Type::kLeftParen);
    case ')':
      if (--parens_ < 0) return error("unexpected right paren");
      return emit(Type::kRightParen);
    default:
      if (c > ' ' && c < 0x7f) return emit(Type::kChar);
      return error("unrecognized character in action: " + rune_name(static_cast<unsigned char>(c)));
  }
}

TemplateToken TemplateLexer::space() {
  while (is_space(peek())) ++at_;
  // A trim marker needs the blank before it.
  std::string_view last = in_.substr(at_ - 1);
  if (trims_right(last) && last.substr(2).starts_with(kClose)) {
    --at_;
    if (at_ == start_) return inside();
  }
  return emit(Type::kSpace);
}

bool TemplateLexer::at_terminator() const {
  if (!more()) return true;
  char c = peek();
  return is_space(c) || std::string_view(".,|:)(").find(c) != std::string_view::npos ||
         in_.substr(at_).starts_with(kClose);
}

TemplateToken TemplateLexer::field_or_variable(Type type) {
  if (at_terminator()) return emit(type == Type::kVariable ? type : Type::kDot);
  while (more() && is_word(peek())) ++at_;
  return at_terminator() ? emit(type) : bad_character();
}

TemplateToken TemplateLexer::identifier() {
  while (more() && is_word(peek())) ++at_;
  if (!at_terminator()) return bad_character();
  return emit(keyword(in_.substr(start_, at_ - start_)));
}

bool TemplateLexer::accept(std::string_view set) {
  if (!more() || set.find(peek()) == set.npos) return false;
  ++at_;
  return true;
}

void TemplateLexer::run_of(std::string_view set) {
  while (accept(set)) {
  }
}

bool TemplateLexer::scan_number() {
  constexpr std::string_view kDecimal = "0123456789_", kHex = "0123456789abcdefABCDEF_";
  std::string_view digits = kDecimal;
  accept("+-");
  if (accept("0")) {
    digits = accept("xX") ? kHex : accept("oO") ? "01234567_" : accept("bB") ? "01_" : kDecimal;
  }
  run_of(digits);
  if (accept(".")) run_of(digits);
  if ((digits == kDecimal && accept("eE")) || (digits == kHex && accept("pP"))) {
    accept("+-");
    run_of(kDecimal);
  }
  accept("i");
  if (more() && is_word(peek())) {
    at_ += first_rune(in_.substr(at_)).size;
    return false;
  }
  return true;
}

TemplateToken TemplateLexer::number() {
  bool good = scan_number();
  if (good && (peek() == '+' || peek() == '-')) {
    good = scan_number() && in_[at_ - 1] == 'i';
  }
  if (good) return emit(Type::kNumber);
  return error("bad number syntax: " + go_quote(in_.substr(start_, at_ - start_)));
}

TemplateToken TemplateLexer::quoted_text(char quote, Type type, const char* unterminated) {
  for (;; ++at_) {
    if (more() && peek() == '\\')
      ++at_;
    else if (more() && peek() == quote)
      break;
    if (!more() || peek() == '\n') return error(unterminated);
  }
  ++at_;
  return emit(type);
}

}  // namespace keles::kubectl
