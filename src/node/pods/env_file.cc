#include "node/pods/env_file.h"

#include <algorithm>
#include <optional>

namespace keles::node {
namespace {

constexpr std::string_view kBlank = " \t";

std::string_view without_blanks(std::string_view s) {
  s.remove_prefix(std::min(s.find_first_not_of(kBlank), s.size()));
  return s;
}

class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  std::optional<std::string_view> next() {
    if (rest_.empty()) return std::nullopt;
    ++number_;
    std::string_view line = rest_.substr(0, rest_.find('\n'));
    rest_.remove_prefix(std::min(rest_.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }
  int number() const { return number_; }

 private:
  std::string_view rest_;
  int number_ = 0;
};

Status wrong(int line, std::string_view what) {
  return Status::bad_request("line " + std::to_string(line) + ": " + std::string(what));
}

// From behind the first quote to the second, over as many lines as it takes.
Result<std::string> quoted_value(Lines& lines, std::string_view rest) {
  const int first = lines.number();
  std::string value;
  while (true) {
    const size_t end = rest.find('\'');
    if (end != rest.npos) {
      value += rest.substr(0, end);
      std::string_view after = without_blanks(rest.substr(end + 1));
      if (!after.empty() && !after.starts_with('#'))
        return wrong(lines.number(), "there is more after the closing quote");
      return value;
    }
    value += rest;
    value += '\n';
    auto line = lines.next();
    if (!line) return wrong(first, "the quote is not closed");
    rest = *line;
  }
}

}  // namespace

Result<std::string> env_file_value(std::string_view text, std::string_view key) {
  Lines lines(text);
  while (auto next = lines.next()) {
    std::string_view line = without_blanks(*next);
    if (line.empty() || line.starts_with('#')) continue;
    const size_t equals = line.find('=');
    if (equals == line.npos) return wrong(lines.number(), "there is no '='");
    std::string_view name = line.substr(0, equals), value = line.substr(equals + 1);
    if (without_blanks(name).empty()) return wrong(lines.number(), "there is no name");
    if (name.ends_with(' ') || name.ends_with('\t'))
      return wrong(lines.number(), "there is a blank before '='");
    if (value.starts_with(' ') || value.starts_with('\t')) {  // as a shell has it: nothing is set
      if (name == key) return std::string();
      continue;
    }
    if (!value.starts_with('\'')) return wrong(lines.number(), "the value is not quoted");
    TRY_ASSIGN(whole, quoted_value(lines, value.substr(1)));
    if (name == key) return whole;
  }
  return std::string();
}

}  // namespace keles::node
