// JSONPath (machinery/jsonpath.h) for commands: what is wrong with a path is found by the client.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/jsonpath.h"

namespace keles::kubectl {

class JsonPath {
 public:
  static Result<JsonPath> parse(std::string_view text);
  static Result<std::string> relaxed(std::string_view expression);
  void set_allow_missing(bool allow) { path_.set_allow_missing(allow); }
  Result<std::string> execute(const Value& data) const;
  Result<std::vector<std::vector<const Value*>>> find(const Value& data) const;

 private:
  keles::JsonPath path_;
};

using keles::jsonpath_text;

}  // namespace keles::kubectl
