#include "cel/source.h"

#include <algorithm>
#include <utility>

namespace keles::cel {
namespace {

constexpr size_t kMaxIssues = 100;
constexpr size_t kMaxSnippet = 16384;

std::string display(const Issue& issue, const Source& source) {
  std::string out = "ERROR: <input>:" + std::to_string(issue.at.line) + ":" +
                    std::to_string(issue.at.column + 1) + ": " + issue.message;
  if (!source.has_line(issue.at.line)) return out;
  std::string snippet = source.line(issue.at.line);
  if (snippet.size() > kMaxSnippet) return out;
  std::replace(snippet.begin(), snippet.end(), '\t', ' ');
  out += "\n | " + snippet + "\n | ";
  size_t at = 0;
  for (int i = 0; i < issue.at.column && at < snippet.size(); ++i) {
    const size_t from = at;
    next_rune(snippet, at);
    out += at - from > 1 ? "\uff0e" : ".";
  }
  const size_t from = at;
  if (at < snippet.size()) next_rune(snippet, at);
  out += at - from > 1 ? "\uff3e" : "^";
  return out;
}

}  // namespace

Source::Source(std::string_view text) {
  runes_.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    runes_.push_back(next_rune(text, at));
    if (runes_.back() == '\n') line_starts_.push_back(static_cast<int32_t>(runes_.size()));
  }
}

Location Source::location(int32_t offset) const {
  if (offset < 0) return {};
  const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  const auto line = next - line_starts_.begin();
  const int32_t start = line == 0 ? 0 : line_starts_[static_cast<size_t>(line) - 1];
  return {static_cast<int>(line) + 1, offset - start};
}

std::string Source::slice(size_t begin, size_t end) const {
  std::string out;
  for (size_t i = begin; i < end && i < runes_.size(); ++i) append_rune(out, runes_[i]);
  return out;
}

bool Source::has_line(int number) const {
  return number >= 1 && static_cast<size_t>(number) <= line_starts_.size() + 1 && !runes_.empty();
}

std::string Source::line(int number) const {
  if (!has_line(number)) return "";
  const auto n = static_cast<size_t>(number);
  const size_t begin = n == 1 ? 0 : static_cast<size_t>(line_starts_[n - 2]);
  const size_t end =
      n <= line_starts_.size() ? static_cast<size_t>(line_starts_[n - 1]) - 1 : runes_.size();
  return slice(begin, end);
}

void Issues::add(Location at, std::string message) {
  if (++count_ <= kMaxIssues) issues_.push_back({at, std::move(message)});
}

std::string Issues::to_string(const Source& source) const {
  std::vector<const Issue*> sorted;
  for (const Issue& issue : issues_) sorted.push_back(&issue);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Issue* a, const Issue* b) { return a->at < b->at; });
  std::string out;
  for (const Issue* issue : sorted) {
    if (!out.empty()) out += '\n';
    out += display(*issue, source);
  }
  if (count_ > kMaxIssues) {
    out += "\n" + std::to_string(count_ - kMaxIssues) + " more errors were truncated";
  }
  return out;
}

void append_rune(std::string& out, char32_t rune) {
  if (!valid_rune(rune)) rune = 0xFFFD;
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xC0 | (rune >> 6));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    out += static_cast<char>(0xE0 | (rune >> 12));
    out += static_cast<char>(0x80 | ((rune >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (rune >> 18));
    out += static_cast<char>(0x80 | ((rune >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((rune >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  }
}

char32_t next_rune(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) {
    ++at;
    return first;
  }
  const size_t length = first >= 0xF0 && first < 0xF5   ? 4
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xC2 && first < 0xE0 ? 2
                                                        : 0;
  if (length == 0 || at + length > text.size()) {
    ++at;
    return 0xFFFD;
  }
  char32_t rune = first & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) {
      ++at;
      return 0xFFFD;
    }
    rune = (rune << 6) | (byte(at + i) & 0x3F);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (rune < kLeast[length] || !valid_rune(rune)) {
    ++at;
    return 0xFFFD;
  }
  at += length;
  return rune;
}

size_t count_runes(std::string_view text) {
  size_t n = 0;
  for (size_t at = 0; at < text.size(); ++n) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
    } else {
      next_rune(text, at);
    }
  }
  return n;
}

bool valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    if (next_rune(text, at) == 0xFFFD && at - from == 1) return false;
  }
  return true;
}

bool valid_rune(char32_t rune) { return rune < 0xD800 || (rune > 0xDFFF && rune <= 0x10FFFF); }

}  // namespace keles::cel
