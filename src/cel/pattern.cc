#include "cel/pattern.h"

#include <re2/re2.h>

#include <string>

#include "cel/run.h"
#include "cel/source.h"

namespace keles::cel {
namespace {

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
    default:
      return "expression too large";
  }
}

}  // namespace

struct Pattern::Impl {
  explicit Impl(std::string_view pattern)
      : re(re2::StringPiece(pattern.data(), pattern.size()), options()) {}
  static RE2::Options options() {
    RE2::Options o;
    o.set_log_errors(false);
    return o;
  }
  RE2 re;
};

Pattern::Pattern(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pattern::~Pattern() = default;

Result<std::shared_ptr<const Pattern>> Pattern::compile(std::string_view pattern) {
  auto impl = std::make_unique<Impl>(pattern);
  if (!impl->re.ok()) {
    std::string text = "error parsing regexp: " + std::string(go_words(impl->re.error_code()));
    const std::string& at = impl->re.error_code() == RE2::ErrorMissingParen ||
                                    impl->re.error_code() == RE2::ErrorUnexpectedParen
                                ? std::string(pattern)
                                : impl->re.error_arg();
    if (!at.empty()) text += ": `" + at + "`";
    return Status(Reason::kInvalid, std::move(text));
  }
  return std::shared_ptr<const Pattern>(new Pattern(std::move(impl)));
}

bool Pattern::matches(std::string_view text) const {
  return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), impl_->re);
}

std::string_view Pattern::find(std::string_view text) const {
  const re2::StringPiece in(text.data(), text.size());
  re2::StringPiece match;
  if (!impl_->re.Match(in, 0, in.size(), RE2::UNANCHORED, &match, 1)) return "";
  return {match.data(), match.size()};
}

Val Pattern::find_all(Run& run, std::string_view text, int64_t limit) const {
  Val list = run.make_list();
  const re2::StringPiece in(text.data(), text.size());
  size_t at = 0;
  size_t last_end = std::string_view::npos;
  for (int64_t n = 0; (limit < 0 || n < limit) && at <= text.size();) {
    re2::StringPiece match;
    if (!impl_->re.Match(in, at, in.size(), RE2::UNANCHORED, &match, 1)) break;
    const auto begin = static_cast<size_t>(match.data() - text.data());
    const size_t end = begin + match.size();
    // An empty match right behind another one does not count.
    const bool counts = !(match.empty() && begin == last_end);
    if (end > at) {
      at = end;
    } else if (at < text.size()) {
      next_rune(text, at);
    } else {
      ++at;
    }
    last_end = end;
    if (!counts) continue;
    list = run.append(list, Val::string({match.data(), match.size()}));
    if (run.stopped()) return list;
    ++n;
  }
  return list;
}

}  // namespace keles::cel
