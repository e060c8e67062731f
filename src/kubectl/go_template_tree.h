// The parts of go_template.h: what a template is read into, its lexer, and its functions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kubectl/go_value.h"

namespace keles::kubectl {

struct TemplateNode {
  enum class Type {
    kText,
    kAction,
    kIf,
    kWith,
    kRange,
    kTemplate,
    kBreak,
    kContinue,
    kList,
    kEnd,
    kElse,
    kPipe,
    kCommand,
    kDot,
    kNil,
    kField,
    kVariable,
    kIdentifier,
    kChain,
    kBool,
    kNumber,
    kString
  };
  using Ptr = std::unique_ptr<TemplateNode>;
  Type type = Type::kText;
  size_t position = 0;
  std::string text;                // as it was written; the value of kText
  std::string value;               // of kString; the name of kTemplate
  std::vector<std::string> names;  // of kField, kVariable, kChain
  bool assigns = false;            // of kPipe: "=", not ":="
  GoValue constant;                // of kBool, kNumber, kString; invalid: a number beyond int
  std::vector<Ptr> declared;       // of kPipe
  std::vector<Ptr> parts;          // of kList, kPipe, kCommand; what a kChain begins with
  Ptr pipe, list, else_list;       // of the actions

  // As Go writes it in errors.
  std::string to_string() const;
};

struct TemplateSet {
  std::string name, text;
  std::map<std::string, TemplateNode::Ptr, std::less<>> templates;
};

struct TemplateToken {
  enum class Type {
    kError,
    kBool,
    kChar,
    kCharConstant,
    kAssign,
    kDeclare,
    kEnd,  // of the text
    kField,
    kIdentifier,
    kLeftDelimiter,
    kLeftParen,
    kNumber,
    kPipe,
    kRawString,
    kRightDelimiter,
    kRightParen,
    kSpace,
    kString,
    kText,
    kVariable,
    // keywords
    kBlock,
    kBreakWord,
    kContinueWord,
    kDefine,
    kDot,
    kElseWord,
    kEndWord,
    kIfWord,
    kNilWord,
    kRangeWord,
    kTemplateWord,
    kWithWord
  };
  Type type = Type::kEnd;
  size_t position = 0;
  std::string text;
  int line = 0;
};

class TemplateLexer {
 public:
  explicit TemplateLexer(std::string_view text) : in_(text) {}
  TemplateToken next();

 private:
  using Type = TemplateToken::Type;
  bool lex_text(TemplateToken* out);
  bool left_delimiter(TemplateToken* out);
  bool comment(TemplateToken* out);
  TemplateToken right_delimiter();
  TemplateToken inside();
  TemplateToken space();
  TemplateToken field_or_variable(Type type);
  TemplateToken identifier();
  TemplateToken number();
  bool scan_number();
  TemplateToken quoted_text(char quote, Type type, const char* unterminated);
  TemplateToken emit(Type type);
  TemplateToken error(std::string message);
  TemplateToken bad_character();
  bool at_right_delimiter(bool* trims) const;
  bool at_terminator() const;
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool more() const { return at_ < in_.size(); }
  bool accept(std::string_view set);
  void run_of(std::string_view set);
  void ignore();

  std::string_view in_;
  size_t at_ = 0, start_ = 0;
  int line_ = 1, start_line_ = 1, parens_ = 0;
  bool in_action_ = false;
};

// Go's strconv.Unquote; false when it is no Go literal.
bool go_unquote(std::string_view quoted, std::string* out);
// Whether a text is one of Go's integers of 64 bits, of its numbers.
bool go_integer(std::string_view text);
bool go_float(std::string_view text);
// One character of a literal; false when it is none.
bool go_unquote_char(std::string_view* rest, char quote, char32_t* out, bool* is_byte);

Result<std::unique_ptr<TemplateSet>> parse_template(std::string_view name, std::string_view text);

// --- functions
struct TemplateFunction {
  enum class Takes { kReflected, kAny, kString };
  const char* name;
  size_t fixed;  // arguments that must be there
  bool variadic;
  Takes first, rest;
  Result<GoValue> (*run)(std::span<const GoValue> args);
};
const TemplateFunction* template_function(std::string_view name);
bool is_true(const GoValue& v);

}  // namespace keles::kubectl
