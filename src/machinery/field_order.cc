#include "machinery/field_order.h"

namespace keles {
namespace {

// Walks the text once, with the path of the present member at hand.
class Walk {
 public:
  Walk(std::string_view text, std::unordered_map<std::string, std::vector<size_t>>& found)
      : s_(text), found_(found) {}

  void run() {
    while (at_ < s_.size()) step();
  }

 private:
  struct Level {
    bool list;
    size_t length;  // of the path outside
    size_t index = 0;
  };

  void step() {
    const char c = s_[at_];
    if (c == '"') {
      string();
      return;
    }
    ++at_;
    if (c == '{' || c == '[') {
      levels_.push_back({c == '[', path_.size()});
      if (c == '[') element();
      key_ = c == '{';
    } else if (c == '}' || c == ']') {
      if (levels_.empty()) return;
      path_.resize(levels_.back().length);
      levels_.pop_back();
      key_ = false;
    } else if (c == ',' && !levels_.empty()) {
      path_.resize(levels_.back().length);
      if (levels_.back().list) element();
      key_ = !levels_.back().list;
    } else if (c == ':') {
      key_ = false;
    }
  }

  void element() { path_ += '[' + std::to_string(levels_.back().index++) + ']'; }

  void string() {
    const size_t begin = at_ + 1;
    size_t end = begin;
    while (end < s_.size() && s_[end] != '"') end += s_[end] == '\\' ? 2 : 1;
    if (end > s_.size()) end = s_.size();
    at_ = end + 1;
    if (!key_) return;
    if (!path_.empty()) path_ += '.';
    path_ += s_.substr(begin, end - begin);
    auto wanted = found_.find(path_);
    if (wanted != found_.end()) wanted->second.push_back(begin);
  }

  std::string_view s_;
  std::unordered_map<std::string, std::vector<size_t>>& found_;
  size_t at_ = 0;
  std::string path_;
  std::vector<Level> levels_;
  bool key_ = false;
};

}  // namespace

std::unordered_map<std::string, std::vector<size_t>> field_offsets(
    std::string_view json, const std::vector<std::string>& paths) {
  std::unordered_map<std::string, std::vector<size_t>> found;
  for (const std::string& p : paths) found.try_emplace(p);
  Walk(json, found).run();
  return found;
}

}  // namespace keles
