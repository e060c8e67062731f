// Configuration in TOML (https://toml.io/en/v1.0.0), as far as merging one into another needs it:
// tables of keys, whose values are kept as they are written. Arrays of tables are not understood.
// Pure; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::kind {

class Toml {
 public:
  // At most 1 MiB. The error names the line.
  static Result<Toml> parse(std::string_view text);
  // What `over` says wins: a table is merged key by key, every other value is replaced.
  void merge(const Toml& over);
  std::string text() const;
  // A key's value as written; "" when there is none.
  std::string get(const std::vector<std::string>& table, const std::string& key) const;

 private:
  using Path = std::vector<std::string>;
  void set(const Path& table, const std::string& key, const std::string& value);
  void open(const Path& table);
  std::map<Path, std::map<std::string, std::string>> tables_;
};

}  // namespace keles::kind
