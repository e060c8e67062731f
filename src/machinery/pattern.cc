#include "machinery/pattern.h"

#include <re2/re2.h>

#include <functional>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

namespace keles {
namespace {

// Of one expression with its automaton, at most. Too small a bound would refuse what Go takes:
// classes of Unicode that are repeated some dozen times need 3 MiB.
constexpr int64_t kMaxMemory = 8 << 20;

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

// What is compiled is shared by all patterns of one text (schemas repeat a few again and again),
// and goes with the last of them.
struct Shared {
  Shared(std::string_view text) : re(piece(text), options()) {}  // NOLINT(implicit)
  const RE2 re;
  size_t holders = 0;  // under the table's lock
};
struct Table {
  std::mutex mutex;
  std::map<std::string, Shared, std::less<>> by_text;
};
Table& table() {
  static Table* const t = new Table;  // patterns of static life may outlive others
  return *t;
}

const Shared* hold(std::string_view text) {
  std::lock_guard lock(table().mutex);
  auto& all = table().by_text;
  auto at = all.find(text);
  if (at == all.end()) {
    at = all.emplace(std::piecewise_construct, std::forward_as_tuple(text),
                     std::forward_as_tuple(text))
             .first;
  }
  ++at->second.holders;
  return &at->second;
}

void release(std::string_view text) {
  std::lock_guard lock(table().mutex);
  auto at = table().by_text.find(text);
  if (at != table().by_text.end() && --at->second.holders == 0) table().by_text.erase(at);
}

}  // namespace

Pattern::~Pattern() {
  if (compiled_.load() != nullptr) release(text_);
}

bool Pattern::matches(std::string_view s) const {
  auto* shared = static_cast<const Shared*>(compiled_.load(std::memory_order_acquire));
  if (shared == nullptr) {
    shared = hold(text_);
    const void* expected = nullptr;
    if (!compiled_.compare_exchange_strong(expected, shared, std::memory_order_acq_rel)) {
      release(text_);  // another thread holds it for this pattern
    }
  }
  return shared->re.ok() && RE2::PartialMatch(piece(s), shared->re);
}

std::string Pattern::error_of(std::string_view text) {
  RE2 re(piece(text), options());
  if (re.ok()) return {};
  // A parenthesis that is missing or too many, and too large an expression, are shown with the
  // whole of it, as Go does.
  const bool whole = re.error_code() == RE2::ErrorMissingParen ||
                     re.error_code() == RE2::ErrorUnexpectedParen ||
                     re.error_code() == RE2::ErrorPatternTooLarge;
  std::string out = "error parsing regexp: " + std::string(go_words(re.error_code())) + ": `";
  out += whole ? std::string(text) : re.error_arg();
  return out + "`";
}

}  // namespace keles
