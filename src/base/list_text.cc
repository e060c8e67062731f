#include "base/list_text.h"

#include <algorithm>

#include "base/encoding.h"

namespace keles {

std::string aggregate(std::span<const std::string> errors) {
  std::string out;
  size_t told = 0;
  for (auto e = errors.begin(); e != errors.end(); ++e) {
    if (std::find(errors.begin(), e, *e) != e) continue;
    if (told++ > 0) out += ", ";
    out += *e;
  }
  return told > 1 ? "[" + out + "]" : out;
}

std::string aggregate(std::span<const StatusCause> errors) {
  std::vector<std::string> texts;
  texts.reserve(errors.size());
  for (const StatusCause& c : errors) texts.push_back(c.field + ": " + c.message);
  return aggregate(texts);
}

std::string go_list(std::span<const std::string> texts) {
  std::string out = "[";
  for (const std::string& t : texts) {
    if (out.size() > 1) out += ' ';
    out += t;
  }
  return out + "]";
}

std::string go_quoted_list(std::span<const std::string> texts) {
  std::string out = "[";
  for (const std::string& t : texts) {
    if (out.size() > 1) out += ' ';
    append_quoted(out, t);
  }
  return out + "]";
}

}  // namespace keles
