#include "base/mount_table.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/file.h"

namespace keles {
namespace {

constexpr size_t kMostBytes = 16 << 20;

// Blanks, newlines and backslashes are written as \ooo.
std::string unescaped(std::string_view s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    unsigned value = 0;
    const char* end = s.data() + i + 4;
    if (s[i] == '\\' && i + 3 < s.size() &&
        std::from_chars(s.data() + i + 1, end, value, 8).ptr == end && value < 256) {
      out += static_cast<char>(value);
      i += 3;
    } else {
      out += s[i];
    }
  }
  return out;
}

std::string_view next_word(std::string_view* line) {
  const std::string_view word = line->substr(0, line->find(' '));
  line->remove_prefix(std::min(line->size(), word.size() + 1));
  return word;
}

}  // namespace

std::vector<MountedAt> parse_mount_table(std::string_view text) {
  std::vector<MountedAt> out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    MountedAt m;
    const std::string_view id = next_word(&line);
    if (std::from_chars(id.data(), id.data() + id.size(), m.id).ec != std::errc()) continue;
    (void)next_word(&line);  // of the mount that it is in
    m.device = next_word(&line);
    m.root = unescaped(next_word(&line));
    m.place = unescaped(next_word(&line));
    m.options = next_word(&line);
    if (!m.options.empty()) out.push_back(std::move(m));
  }
  return out;
}

Result<std::vector<MountedAt>> read_mount_table() {
  TRY_ASSIGN(text, read_file("/proc/thread-self/mountinfo", kMostBytes));
  return parse_mount_table(text);
}

bool is_at_or_below(std::string_view path, std::string_view directory) {
  return path == directory || (path.starts_with(directory) && path.size() > directory.size() &&
                               (directory.ends_with('/') || path[directory.size()] == '/'));
}

std::vector<std::string> same_elsewhere(const std::vector<MountedAt>& mounts,
                                        const std::string& path) {
  const MountedAt* its = nullptr;  // the deepest, of those at one place the last
  for (const MountedAt& m : mounts)
    if (is_at_or_below(path, m.place) && (!its || m.place.size() >= its->place.size())) its = &m;
  if (!its) return {};
  std::string rest = path.substr(its->place == "/" ? 0 : its->place.size());
  if (rest == "/") rest.clear();
  std::string shown = (its->root == "/" ? "" : its->root) + rest;
  if (shown.empty()) shown = "/";
  std::vector<std::string> out;
  for (const MountedAt& m : mounts)
    if (m.device == its->device && m.root == shown && m.place != path) out.push_back(m.place);
  return out;
}

}  // namespace keles
