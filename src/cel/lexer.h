// Tokens of CEL. Source: the CEL language definition, "Syntax".
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cel/source.h"

namespace keles::cel {

// In the order in which syntax errors name what they expected.
enum class Token : uint8_t {
  kEnd,
  kEquals,
  kNotEquals,
  kIn,
  kLess,
  kLessEquals,
  kGreaterEquals,
  kGreater,
  kAnd,
  kOr,
  kLeftBracket,
  kRightBracket,
  kLeftBrace,
  kRightBrace,
  kLeftParen,
  kRightParen,
  kDot,
  kComma,
  kMinus,
  kNot,
  kQuestion,
  kColon,
  kPlus,
  kStar,
  kSlash,
  kPercent,
  kTrue,
  kFalse,
  kNull,
  kFloat,
  kInt,
  kUint,
  kString,
  kBytes,
  kIdent,
  kEscapedIdent,
};

struct Lexeme {
  Token token;
  int32_t begin, end;  // code points
};

// As an error names it: "'=='", "NUM_INT", "<EOF>".
std::string_view token_text(Token t);

// All tokens, an end after the last. What is no token is told in `issues` and skipped.
std::vector<Lexeme> tokenize(const Source& source, Issues& issues);

}  // namespace keles::cel
