// yaml_lines: a walk over libyaml's events that keeps where each field stands. It is made only for
// an error's sake, so it may be slow.
#include <yaml.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/config_file.h"

namespace keles {
namespace {

constexpr size_t kMaxFields = 200'000;
constexpr size_t kMaxDepth = 500;

using Lines = std::map<std::string, size_t, std::less<>>;

// Keys that FieldPath would write in brackets: those of maps. Here nobody knows which maps are
// which, so a key that is no plain name is written so.
std::string below(const std::string& path, std::string_view key) {
  if (path.empty()) return std::string(key);
  return path + "." + std::string(key);
}

class Walk {
 public:
  explicit Walk(std::string_view text) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  ~Walk() { yaml_parser_delete(&parser_); }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  Lines lines() {
    for (;;) {
      yaml_event_t e;
      if (!yaml_parser_parse(&parser_, &e)) return std::move(lines_);
      const bool over = e.type == YAML_STREAM_END_EVENT || e.type == YAML_DOCUMENT_END_EVENT ||
                        e.type == YAML_NO_EVENT || lines_.size() > kMaxFields ||
                        open_.size() > kMaxDepth;
      if (!over) take(e);
      yaml_event_delete(&e);
      if (over) return std::move(lines_);
    }
  }

 private:
  struct Open {
    std::string path;
    bool map = false, at_key = true;
    std::string key;
    size_t key_line = 0, index = 0;
  };

  // Where the node that begins now lies; its line is noted.
  std::string begin(size_t line) {
    std::string path;
    if (!open_.empty()) {
      Open& in = open_.back();
      if (in.map) {
        path = below(in.path, in.key);
        line = in.key_line;
        in.at_key = true;
        lines_.try_emplace(in.path + "[" + in.key + "]", line);
      } else {
        path = in.path + "[" + std::to_string(in.index++) + "]";
      }
    }
    lines_.try_emplace(path, line);
    return path;
  }

  void take(const yaml_event_t& e) {
    const size_t line = e.start_mark.line + 1;
    switch (e.type) {
      case YAML_SCALAR_EVENT:
        if (!open_.empty() && open_.back().map && open_.back().at_key) {
          Open& in = open_.back();
          in.key.assign(reinterpret_cast<const char*>(e.data.scalar.value), e.data.scalar.length);
          in.key_line = line;
          in.at_key = false;
          return;
        }
        begin(line);
        return;
      case YAML_ALIAS_EVENT:
        begin(line);
        return;
      case YAML_MAPPING_START_EVENT:
      case YAML_SEQUENCE_START_EVENT: {
        Open in;
        in.path = begin(line);
        in.map = e.type == YAML_MAPPING_START_EVENT;
        open_.push_back(std::move(in));
        return;
      }
      case YAML_MAPPING_END_EVENT:
      case YAML_SEQUENCE_END_EVENT:
        if (!open_.empty()) open_.pop_back();
        return;
      default:
        return;
    }
  }

  yaml_parser_t parser_{};
  std::vector<Open> open_;
  Lines lines_;
};

}  // namespace

Lines yaml_lines(std::string_view text) { return Walk(text).lines(); }

}  // namespace keles
