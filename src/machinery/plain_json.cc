#include "machinery/plain_json.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "machinery/codec_json.h"

namespace keles {
namespace {

constexpr size_t kMostBytes = 256 * 1024;
constexpr size_t kLongestKey = 512;  // YAML takes no longer ones than 1,024
constexpr int kDeepest = 100;

bool is_plain(unsigned char c) { return (c >= ' ' && c <= '~' && c != '\\') || c == '\n'; }

// Sixteen at once; what is odd there is looked at.
bool is_plain(std::string_view text) {
  using Block = unsigned char __attribute__((vector_size(16)));
  size_t i = 0;
  for (; i + sizeof(Block) <= text.size(); i += sizeof(Block)) {
    Block b;
    std::memcpy(&b, text.data() + i, sizeof b);
    const auto odd = ((b < ' ') & (b != '\n')) | (b > '~') | (b == '\\');
    uint64_t halves[2];
    static_assert(sizeof halves == sizeof odd);
    std::memcpy(halves, &odd, sizeof odd);
    if ((halves[0] | halves[1]) != 0) return false;
  }
  for (; i < text.size(); ++i) {
    if (!is_plain(static_cast<unsigned char>(text[i]))) return false;
  }
  return true;
}

bool is_plain(const Value& v, int depth) {
  if (v.is_double() || depth > kDeepest) return false;
  for (const Value& item : v.items()) {
    if (!is_plain(item, depth + 1)) return false;
  }
  for (const Member& m : v.members()) {
    if (m.key().size() > kLongestKey || m.key() == "<<") return false;
    if (!is_plain(m.value, depth + 1)) return false;
  }
  return true;
}

}  // namespace

std::optional<Document> read_plain_json(std::string_view text) {
  if (text.empty() || text.front() != '{' || text.size() > kMostBytes || !is_plain(text)) {
    return std::nullopt;
  }
  std::vector<std::string> twice;
  JsonOptions options;
  options.duplicates = &twice;
  auto read = parse_json(text, options);
  if (!read.ok() || !twice.empty() || !is_plain(read->root, 0)) return std::nullopt;
  return std::move(*read);
}

}  // namespace keles
