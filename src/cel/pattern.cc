#include "cel/pattern.h"

#include <re2/re2.h>

#include <string>

#include "cel/run.h"
#include "cel/source.h"
#include "machinery/pattern.h"

namespace keles::cel {

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
  if (!impl->re.ok()) return Status(Reason::kInvalid, keles::Pattern::error_of(pattern));
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
