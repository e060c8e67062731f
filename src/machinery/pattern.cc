#include "machinery/pattern.h"

#include <re2/re2.h>

namespace keles {
namespace {

// Of one expression with its automaton. Too small a bound would refuse what Go takes.
constexpr int64_t kMaxMemory = 4 << 20;

RE2::Options options() {
  RE2::Options o;
  o.set_log_errors(false);
  o.set_max_mem(kMaxMemory);
  return o;
}

re2::StringPiece piece(std::string_view s) { return {s.data(), s.size()}; }

// Go's words for what RE2 found.
std::string_view go_words(RE2::ErrorCode code) {
  switch (code) {
    case RE2::ErrorBadEscape:
      return "invalid escape sequence";
    case RE2::ErrorBadCharClass:
      return "invalid character class";
    case RE2::ErrorBadCharRange:
      return "invalid character class range";
    case RE2::ErrorMissingBracket:
      return "missing closing ]";
    case RE2::ErrorMissingParen:
      return "missing closing )";
    case RE2::ErrorUnexpectedParen:
      return "unexpected )";
    case RE2::ErrorTrailingBackslash:
      return "trailing backslash at end of expression";
    case RE2::ErrorRepeatArgument:
      return "missing argument to repetition operator";
    case RE2::ErrorRepeatSize:
      return "invalid repeat count";
    case RE2::ErrorRepeatOp:
      return "invalid nested repetition operator";
    case RE2::ErrorBadPerlOp:
      return "invalid or unsupported Perl syntax";
    case RE2::ErrorBadUTF8:
      return "invalid UTF-8";
    case RE2::ErrorBadNamedCapture:
      return "invalid named capture";
    case RE2::ErrorPatternTooLarge:
      return "expression too large";
    default:
      return "regexp/syntax: internal error";
  }
}

}  // namespace

Pattern::~Pattern() { delete static_cast<const RE2*>(compiled_.load()); }

bool Pattern::matches(std::string_view s) const {
  auto* re = static_cast<const RE2*>(compiled_.load(std::memory_order_acquire));
  if (re == nullptr) {
    auto* made = new RE2(piece(text_), options());
    const void* expected = nullptr;
    if (compiled_.compare_exchange_strong(expected, made, std::memory_order_acq_rel)) {
      re = made;
    } else {
      delete made;
      re = static_cast<const RE2*>(expected);
    }
  }
  return re->ok() && RE2::PartialMatch(piece(s), *re);
}

std::string Pattern::error_of(std::string_view text) {
  RE2 re(piece(text), options());
  if (re.ok()) return {};
  // A parenthesis that is missing or too many is shown with the whole expression, as Go does.
  const bool whole =
      re.error_code() == RE2::ErrorMissingParen || re.error_code() == RE2::ErrorUnexpectedParen;
  std::string out = "error parsing regexp: " + std::string(go_words(re.error_code())) + ": `";
  out += whole ? std::string(text) : re.error_arg();
  return out + "`";
}

}  // namespace keles
